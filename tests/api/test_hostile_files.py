"""Every hostile file, through the API: a clear refusal that names the parameter, and nothing drawn."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pybase64
import pytest
import pytest_asyncio

from limner.api.app import create_app
from limner.config import load_settings
from tests.fakes import FakeBackend, opener
from tests.media.hostile import black_png, png
from tests.media.hostile_files import HARMLESS, LIMITS, REFUSED

EDITS = "/v1/images/edits"
BACKEND = FakeBackend()
pytestmark = pytest.mark.asyncio(loop_scope="module")  # one app for all of them


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx2.AsyncClient]:
    data: Path = tmp_path_factory.mktemp("hostile") / "data"
    limits = {"max_image_bytes": LIMITS.max_bytes, "max_image_pixels": LIMITS.max_pixels}
    app = create_app(load_settings(None, {"data": data, **limits}), opener(BACKEND, "sketch"))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as http,
    ):
        yield http


async def uploaded(client: httpx2.AsyncClient, data: bytes, field: str = "image") -> httpx2.Response:
    files = {"image": ("x.png", black_png(), "image/png"), field: ("x.png", data, "image/png")}
    return await client.post(EDITS, data={"prompt": "x"}, files=files)


async def embedded(client: httpx2.AsyncClient, data: bytes) -> httpx2.Response:
    url = "data:image/png;base64," + pybase64.b64encode_as_string(data)
    return await client.post(EDITS, json={"prompt": "x", "image": url})


def assert_refused(reply: httpx2.Response, name: str, param: str = "image") -> None:
    status = REFUSED[name][1].status
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    error = reply.json()["error"]
    assert error["param"] == param
    assert error["message"] == reply.json()["detail"]
    assert len(reply.content) < 2000
    assert BACKEND.requests == []


# An empty file is how browsers send an unused field, so as an upload it is missing rather than damaged.
@pytest.mark.parametrize("name", sorted(REFUSED.keys() - {"empty"}))
async def test_a_hostile_upload_is_refused(client: httpx2.AsyncClient, name: str) -> None:
    assert_refused(await uploaded(client, REFUSED[name][0]()), name)


@pytest.mark.parametrize("name", sorted(REFUSED))
async def test_a_hostile_data_url_is_refused(client: httpx2.AsyncClient, name: str) -> None:
    assert_refused(await embedded(client, REFUSED[name][0]()), name)


@pytest.mark.parametrize("name", ["tiff", "png of 100000 x 100000", "gif of a cut frame", "svg"])
async def test_a_hostile_mask_is_refused(client: httpx2.AsyncClient, name: str) -> None:
    assert_refused(await uploaded(client, REFUSED[name][0](), "mask"), name, "mask")


@pytest.mark.parametrize("name", sorted(HARMLESS))
async def test_a_stowaway_is_neither_drawn_from_nor_given_back(client: httpx2.AsyncClient, name: str) -> None:
    BACKEND.requests.clear()
    reply = await uploaded(client, HARMLESS[name][0]())
    assert reply.status_code == 200, reply.text
    (request,) = BACKEND.requests
    BACKEND.requests.clear()
    (picture,) = request.inputs
    assert len(picture.pixels) == picture.size.pixels * len(picture.mode)


BAD_URLS = {
    "no base64": ("data:image/png;base64,!!!!", 400),
    "no payload": ("data:image/png;base64,", 400),
    "only white space": ("data:image/png;base64," + " \n" * 5000, 400),
    "not base64 by its own word": ("data:image/png,AAAA", 400),
    "no comma": ("data:image/png;base64", 400),
    "of a type that is none": ("data:text/html;base64," + pybase64.b64encode_as_string(b"<html>"), 415),
    "of a script": ("data:image/png;base64," + pybase64.b64encode_as_string(b"<script>"), 415),
    "half a surrogate": ("data:image/png;base64,\\ud800", 400),
    "nulls": ("data:image/png;base64,AAAA\\u0000AAAA", 400),
    "a javascript URL": ("javascript:alert(1)", 415),
    "a file URL": ("file:///etc/passwd", 415),
    "a path": ("/etc/passwd", 415),
    "bare base64": (pybase64.b64encode_as_string(black_png()), 415),
    "nothing": ("", 415),
    "a private address": ("http://169.254.169.254/latest/meta-data/", 400),
}


@pytest.mark.parametrize("name", BAD_URLS)
async def test_a_url_that_gives_no_picture_is_refused(client: httpx2.AsyncClient, name: str) -> None:
    url, status = BAD_URLS[name]
    body = f'{{"prompt":"x","image":"{url}"}}'.replace("\n", "\\n").encode()
    reply = await client.post(EDITS, content=body, headers={"content-type": "application/json"})
    assert reply.status_code == status, reply.text
    assert reply.json()["error"]["code"]
    assert BACKEND.requests == []


async def test_a_data_urls_own_type_counts_for_nothing(client: httpx2.AsyncClient) -> None:
    url = "data:text/html;charset=x;base64," + pybase64.b64encode_as_string(black_png())
    reply = await client.post(EDITS, json={"prompt": "x", "image": url})
    assert reply.status_code == 200, reply.text
    BACKEND.requests.clear()


async def test_a_huge_data_url_is_too_large(client: httpx2.AsyncClient) -> None:
    url = "data:image/png;base64," + "A" * (LIMITS.max_bytes * 4 // 3 + 100)
    reply = await client.post(EDITS, json={"prompt": "x", "image": url})
    assert (reply.status_code, reply.json()["error"]["param"]) == (413, "image")


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (1, 1), (64, 60_000), (60_000, 64)])
async def test_a_picture_of_an_extreme_shape_is_refused_by_its_model(
    client: httpx2.AsyncClient, size: tuple[int, int]
) -> None:
    width, height = size
    reply = await uploaded(client, png(width, height, rows=bytes((3 * width + 1) * height)))
    BACKEND.requests.clear()
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "image")
