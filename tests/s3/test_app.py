"""The whole server with its pictures on S3."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import FastAPI

from limner.api.app import create_app
from limner.api.gateway import Gateway
from limner.config import load_settings
from tests.api.test_edits import RED, data_url
from tests.fakes import FakeBackend, opener, until
from tests.s3.test_blobs import keys_in

pytestmark = pytest.mark.s3
ASKED = {"prompt": "a red circle", "size": "256x256", "seed": 7}


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
async def app(bucket: str, tmp_path: Path, backend: FakeBackend) -> AsyncIterator[FastAPI]:
    settings = load_settings(None, {"data": tmp_path / "data", "blobs": f"s3://{bucket}/limner", "lease_s": 2})
    application = create_app(settings, opener(backend))
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as http:
        yield http


async def test_a_picture_is_drawn_stored_and_served(
    client: httpx2.AsyncClient, endpoint: str, bucket: str, tmp_path: Path
) -> None:
    body = (await client.post("/v1/images/generations", json={**ASKED, "response_format": "url"})).json()
    (key,) = keys_in(endpoint, bucket)
    assert key.startswith("limner/20")
    url = body["data"][0]["url"]
    whole = await client.get(url)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "image/png")
    part = await client.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert (await client.head(url)).headers["content-length"] == str(len(whole.content))
    assert (await client.get(f"{url}&w=64")).status_code == 200
    assert keys_in(endpoint, bucket) == [key]
    assert not (tmp_path / "data" / "files").exists()
    assert (await client.delete(urlsplit(url).path)).status_code == 204
    assert (await client.get(url)).status_code == 404
    assert keys_in(endpoint, bucket) == [key]  # goes with a sweep: the same picture may be on its way in


async def test_input_pictures_go_when_the_job_has_ended(
    client: httpx2.AsyncClient, app: FastAPI, backend: FakeBackend, endpoint: str, bucket: str
) -> None:
    seen: list[list[str]] = []
    draw = backend.generate

    def generate(request: object) -> object:
        seen.append(keys_in(endpoint, bucket))
        return draw(request)  # type: ignore[arg-type]

    backend.generate = generate  # type: ignore[method-assign,assignment]
    reply = await client.post("/v1/images/edits", json={"prompt": "make it blue", "image": data_url(RED), "seed": 1})
    assert reply.status_code == 200, reply.text
    job = reply.headers["x-limner-job"]
    assert seen == [[f"limner/inputs/{job}/0.png"]]
    gateway = app.state.gateway
    assert isinstance(gateway, Gateway)
    await gateway.service.aclose()  # which waits for what is cleared up after a job
    assert [key for key in keys_in(endpoint, bucket) if "/inputs/" in key] == []


async def test_a_store_that_stays_away_fails_the_job_and_not_the_server(
    client: httpx2.AsyncClient, endpoint: str, bucket: str
) -> None:
    removed = httpx2.delete(f"{endpoint}/{bucket}")
    assert removed.status_code == 204
    failed = await client.post("/v1/images/generations", json={**ASKED, "timeout": 1})
    assert failed.status_code >= 500
    assert bucket not in failed.text
    assert (await client.get("/health")).status_code == 200


async def test_a_drawing_waits_for_a_store_that_is_away(
    client: httpx2.AsyncClient, backend: FakeBackend, endpoint: str, bucket: str
) -> None:
    httpx2.delete(f"{endpoint}/{bucket}").raise_for_status()
    asked = asyncio.create_task(client.post("/v1/images/generations", json=ASKED))
    await until(lambda: backend.requests)
    httpx2.put(f"{endpoint}/{bucket}").raise_for_status()
    drawn = await asked
    assert len(backend.requests) == 1
    assert base64.b64decode(drawn.json()["data"][0]["b64_json"]).startswith(b"\x89PNG")
