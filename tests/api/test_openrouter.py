"""POST /api/v1/images through the app, on a fake backend."""

import base64
import io
import json
from typing import Any

import httpx2
import pytest
from PIL import Image

from limner.catalogue.sizing import fit
from limner.core import Operation, Size
from limner.errors import UpstreamFailed
from tests.api.test_chat import BLUE, GREEN, RED, first_colors
from tests.api.test_edits import data_url, png
from tests.fakes import FakeBackend, builtin

URL = "/api/v1/images"
ASKED: dict[str, Any] = {"model": "sketch", "prompt": "a red circle"}


def opened(b64: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(b64)))


async def test_a_prompt_gets_its_picture(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.timings_s = {"denoise": 0.25}
    reply = await client.post(URL, json=ASKED)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    (picture,) = body["data"]
    assert picture["media_type"] == "image/png"
    assert opened(picture["b64_json"]).size == (256, 256)
    assert body["model"] == "sketch"
    assert body["usage"]["cost"] == 0.25
    assert body["usage"]["compute_points_used"] == 25
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    assert reply.headers["x-limner-job"] == body["limner"]["job_id"]


async def test_its_fields(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    fields = {"n": 2, "seed": 3, "output_format": "webp", "output_compression": 50, "background": "opaque"}
    fields |= {"aspect_ratio": "2:1", "resolution": "2K", "quality": "auto", "user": "me"}
    body = (await client.post(URL, json={**ASKED, **fields})).json()
    assert [picture["media_type"] for picture in body["data"]] == ["image/webp"] * 2
    request = backend.requests[-1]
    assert (request.n, request.seed, str(request.size)) == (2, 3, "512x256")
    assert body["limner"]["warnings"] == [
        {
            "param": "size",
            "code": "adjusted",
            "message": "sketch draws 256x256 alone: the picture was drawn at that size and brought to 512x256",
        }
    ]


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"size": "2K"}, "512x512"),
        ({"size": "512"}, "128x128"),
        ({"size": "256x128"}, "256x128"),
        ({"size": "512x256", "aspect_ratio": "2:1"}, "512x256"),
        ({"size": "512x288", "aspect_ratio": "16:9"}, "512x288"),
        ({"size": "1K", "aspect_ratio": "auto"}, "256x256"),
        ({"resolution": "512"}, "128x128"),
    ],
)
async def test_sizes(client: httpx2.AsyncClient, backend: FakeBackend, fields: dict[str, Any], size: str) -> None:
    assert (await client.post(URL, json={**ASKED, **fields})).status_code == 200
    assert str(backend.requests[-1].size) == size


@pytest.mark.parametrize(
    ("prompt", "picture", "ratio"),
    [
        ("a red circle", None, Size(1, 1)),
        ("a red circle, 16:9", None, Size(16, 9)),
        ("a red circle, 128x192", None, Size(2, 3)),
        ("make it blue", (96, 64), Size(3, 2)),
        ("make it blue, 16:9", (64, 96), Size(2, 3)),
    ],
)
@pytest.mark.parametrize(("tier", "side"), [("512", 128), ("1K", 256), ("2K", 512)])
async def test_a_tier_alone_leaves_the_proportions_to_the_picture_or_the_prompt(
    client: httpx2.AsyncClient, backend: FakeBackend, prompt: str, picture: Any, ratio: Size, tier: str, side: int
) -> None:
    references = [] if picture is None else [data_url(png(size=picture))]
    fields = {"prompt": prompt, "input_references": references, "resolution": tier}
    reply = await client.post(URL, json={**ASKED, **fields})
    assert reply.status_code == 200, reply.text
    wanted = fit(builtin().get("sketch").sizes, ratio.width_px, ratio.height_px, side * side)
    assert backend.requests[-1].size == wanted


async def test_a_size_beside_a_tier_is_of_that_tier(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    assert (await client.post(URL, json={**ASKED, "size": "256x320", "resolution": "1K"})).status_code == 200
    assert str(backend.requests[-1].size) == "256x320"
    for tier in ("512", "2K"):
        refused = await client.post(URL, json={**ASKED, "size": "256x320", "resolution": tier})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "size")


async def test_references_are_edited(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    references = [{"type": "image_url", "image_url": {"url": RED}}, BLUE]
    assert (await client.post(URL, json={**ASKED, "input_references": references})).status_code == 200
    assert backend.requests[-1].operation is Operation.EDIT
    assert first_colors(backend) == [b"\xff\x00\x00", b"\x00\x00\xff"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"n": 11}, "n"),
        ({"resolution": "8K"}, "resolution"),
        ({"size": "8K"}, "size"),
        ({"size": "2K", "resolution": "1K"}, "size"),
        ({"aspect_ratio": "wide"}, "aspect_ratio"),
        ({"aspect_ratio": "2:1", "size": "256x256"}, "size"),
        ({"aspect_ratio": "2:1", "size": "512x256", "resolution": "1K"}, "size"),
        ({"output_format": "svg"}, "output_format"),
        ({"input_references": RED}, "input_references"),
        ({"input_references": [5]}, "input_references[0]"),
        ({"input_references": [RED, GREEN, BLUE]}, "input_references[2]"),
        ({"input_references": ["data:image/png;base64,AAAA"]}, "input_references[0]"),
        ({"stream": "yes"}, "stream"),
        ({"no_such_parameter": 1}, "no_such_parameter"),
    ],
)
async def test_a_bad_value_is_refused_by_name(
    client: httpx2.AsyncClient, backend: FakeBackend, fields: dict[str, Any], param: str
) -> None:
    reply = await client.post(URL, json={**ASKED, **fields})
    assert reply.status_code in (400, 415), reply.text
    assert reply.json()["error"]["param"] == param
    assert backend.requests == []


async def test_what_routes_among_providers_is_told(client: httpx2.AsyncClient) -> None:
    body = (await client.post(URL, json={**ASKED, "provider": {"sort": "price"}, "quality": "high"})).json()
    assert [warning["param"] for warning in body["limner"]["warnings"]] == ["provider", "quality"]


async def test_the_stream(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    asked = {**ASKED, "stream": True, "partial_images": 1, "n": 2, "num_inference_steps": 3}
    text = (await client.post(URL, json=asked)).text
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    events = [json.loads(line) for line in lines]
    assert [event["type"] for event in events] == ["image_generation.partial_image"] * 2 + [
        "image_generation.completed"
    ] * 2
    assert all(opened(event["b64_json"]).size == (256, 256) for event in events)
    assert ["limner" in event for event in events] == [False, False, False, True]
    assert events[-1]["usage"]["cost"] >= 0
    backend.error = UpstreamFailed("it broke")
    broken = (await client.post(URL, json={**ASKED, "stream": True})).text
    assert json.loads(broken.split("data: ")[1])["error"]["message"] == "it broke"


async def test_partial_pictures_without_a_stream_are_told(client: httpx2.AsyncClient) -> None:
    body = (await client.post(URL, json={**ASKED, "partial_images": 2})).json()
    assert [(told["param"], told["code"]) for told in body["limner"]["warnings"]] == [("partial_images", "ignored")]
