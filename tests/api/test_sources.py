"""Pictures as clients name them: whose own pictures a conversation may speak of."""

import asyncio
import base64
import io
import time
from typing import Any

import httpx2
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.requests import Request as HttpRequest

from limner.accounts import NewKey
from limner.api.app import create_app
from limner.api.gateway import Gateway
from limner.api.sources import read_sources
from limner.blobs.links import LinkSigner
from limner.config import Settings
from limner.errors import UnsupportedMedia
from tests.api.test_chat import RED, URL, message_of
from tests.fakes import FakeBackend, opener

ASKED: dict[str, Any] = {
    "messages": [{"role": "user", "content": "a red circle"}],
    "modalities": ["image"],
    "image_config": {"num_images": 1},
}


def about(source: str) -> dict[str, Any]:
    return {**ASKED, "image_config": {"image_prompt": source}}


def id_of(link: str) -> str:
    return link.partition("?")[0].rpartition("/")[2].partition(".")[0]


def link_of(reply: httpx2.Response) -> str:
    link: str = message_of(reply)["images"][0]["image_url"]["url"]
    return link


@pytest.fixture
async def people(app: FastAPI) -> dict[str, httpx2.AsyncClient]:
    gateway = app.state.gateway
    assert isinstance(gateway, Gateway)
    found = {}
    for name in ("anna", "bert"):
        secret, _ = await gateway.keyring.create(NewKey(name, frozenset({"generate", "read"})))
        headers = {"Authorization": f"Bearer {secret}"}
        transport = httpx2.ASGITransport(app=app)
        found[name] = httpx2.AsyncClient(transport=transport, base_url="http://limner.test", headers=headers)
    return found


async def test_an_id_is_its_owners_and_a_link_is_whoever_holds_it(people: dict[str, httpx2.AsyncClient]) -> None:
    link = link_of(await people["anna"].post(URL, json=ASKED))
    message_of(await people["anna"].post(URL, json=about(id_of(link))))
    message_of(await people["bert"].post(URL, json=about(link)))
    for unsigned in (id_of(link), link.partition("?")[0]):
        refused = await people["bert"].post(URL, json=about(unsigned))
        assert (refused.status_code, refused.json()["error"]["param"]) == (404, "image_prompt")


async def test_what_came_with_a_response_is_its_owners(people: dict[str, httpx2.AsyncClient]) -> None:
    content = [{"type": "input_text", "text": "make it blue"}, {"type": "input_image", "image_url": RED}]
    asked = {
        "model": "sketch",
        "input": [{"role": "user", "content": content}],
        "tools": [{"type": "image_generation"}],
    }
    response = (await people["anna"].post("/v1/responses", json=asked)).json()
    name = response["id"].replace("resp_", "input_")
    message_of(await people["anna"].post(URL, json=about(f"{name}_0")))
    for who, source in (("bert", f"{name}_0"), ("anna", f"{name}_1"), ("anna", "input_none_0")):
        refused = await people[who].post(URL, json=about(source))
        assert (refused.status_code, refused.json()["error"]["param"]) == (404, "image_prompt")


async def test_what_the_server_keeps_is_not_bound_by_what_clients_may_send(
    settings: Settings, backend: FakeBackend
) -> None:
    """A picture that came as a small file may lie here as a larger one."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8))
    file = io.BytesIO()
    noise.save(file, "jpeg", quality=30)
    app = create_app(settings.model_copy(update={"max_image_bytes": 2 * file.tell()}), opener(backend))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as client,
    ):
        url = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
        content = [{"type": "input_text", "text": "make it blue"}, {"type": "input_image", "image_url": url}]
        asked = {"model": "sketch", "tools": [{"type": "image_generation"}]}
        first = (
            await client.post("/v1/responses", json={**asked, "input": [{"role": "user", "content": content}]})
        ).json()
        name = first["id"].replace("resp_", "input_") + "_0"
        again = await client.post("/v1/responses", json={**asked, "input": shows_id(name)})
    assert again.status_code == 200, again.text
    assert backend.requests[-1].inputs == backend.requests[0].inputs


def shows_id(name: str) -> list[dict[str, Any]]:
    return [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "make it red"}, {"type": "input_image", "file_id": name}],
        }
    ]


async def test_an_expired_link_still_names_its_owners_picture(
    app: FastAPI, people: dict[str, httpx2.AsyncClient]
) -> None:
    link = link_of(await people["anna"].post(URL, json=ASKED))
    signer = app.state.gateway.blobs._signer
    assert isinstance(signer, LinkSigner)
    expired = f"{link.partition('?')[0]}?{signer.sign(id_of(link), int(time.time()) - 1)}"
    message_of(await people["anna"].post(URL, json=about(expired)))
    assert (await people["bert"].post(URL, json=about(expired))).status_code == 404


async def test_a_server_under_a_path_knows_its_own_links(settings: Settings, backend: FakeBackend) -> None:
    here = settings.model_copy(update={"public_url": "http://pics.test/limner/", "fetch": False})
    app = create_app(here, opener(backend))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as client,
    ):
        link = link_of(await client.post(URL, json=ASKED))
        assert link.startswith("http://pics.test/limner/v1/files/")
        for own in (link, link.partition("?")[0], f"http://limner.test/v1/files/{id_of(link)}"):
            message_of(await client.post(URL, json=about(own)))
        for foreign in ("http://pics.test/other/v1/files/", "http://limner.test/limner/v1/files/"):
            refused = await client.post(URL, json=about(f"{foreign}{id_of(link)}"))
            assert "fetches none" in refused.json()["error"]["message"]


async def test_a_picture_that_is_gone_is_not_found(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    link = link_of(await client.post(URL, json=ASKED))
    assert (await client.delete(f"/v1/files/{id_of(link)}")).status_code == 204
    drawn = len(backend.requests)
    gone = await client.post(URL, json=about(link))
    assert (gone.status_code, gone.json()["error"]["param"]) == (404, "image_prompt")
    assert len(backend.requests) == drawn


async def test_pictures_of_the_history_that_nobody_speaks_of_are_not_read(client: httpx2.AsyncClient) -> None:
    shown = [{"role": "assistant", "content": "", "images": [{"image_url": {"url": f"http://127.0.0.1:9/{i}.png"}}]}
             for i in range(50)]  # fmt: skip
    last = {"role": "user", "content": [
        {"type": "text", "text": "make it blue"}, {"type": "image_url", "image_url": {"url": RED}},
    ]}  # fmt: skip
    message_of(await client.post(URL, json={**ASKED, "messages": [*ASKED["messages"], *shown, last]}))


async def test_reading_takes_no_longer_than_the_job_may(client: httpx2.AsyncClient, app: FastAPI) -> None:
    async def slow(source: str, param: str) -> None:
        await asyncio.sleep(30)

    app.state.gateway.pictures.read = slow
    late = await client.post(URL, json={**about(RED), "timeout": 0.05})
    assert (late.status_code, late.json()["error"]["param"]) == (408, "timeout")


def slow_but_for_data(app: FastAPI) -> asyncio.Event:
    """Let all pictures but those of data: URLs take long; set when the reading of one has ended."""
    read, ended = app.state.gateway.pictures.read, asyncio.Event()

    async def slow_or(source: str, param: str) -> None:
        if source.startswith("data:"):
            await read(source, param)
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    app.state.gateway.pictures.read = slow_or
    return ended


async def test_the_first_picture_that_fails_ends_the_reading_of_the_others(app: FastAPI) -> None:
    ended = slow_but_for_data(app)
    http = HttpRequest({"type": "http", "app": app, "path": "/", "headers": [], "server": ("limner.test", 80)})
    with pytest.raises(UnsupportedMedia):
        await read_sources(http, [("image", "http://slow.test/a.png"), ("image", "data:;base64,bm9uZQ==")], 60)
    await asyncio.wait_for(ended.wait(), 1)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/images/edits", {"prompt": "x", "image": ["http://slow.test/a.png", "data:;base64,bm9uZQ=="]}),
        ("/sdapi/v1/img2img", {"prompt": "x", "init_images": ["http://slow.test/a.png", "bm9uZQ=="]}),
    ],
)
async def test_it_does_so_in_every_dialect(
    client: httpx2.AsyncClient, app: FastAPI, path: str, body: dict[str, Any]
) -> None:
    ended = slow_but_for_data(app)
    assert (await client.post(path, json=body)).status_code == 415
    await asyncio.wait_for(ended.wait(), 1)
