"""What A1111's clients do with finished pictures: enlarge them and read what made them."""

import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from limner.api.a1111.upscaling import enlarging
from limner.api.app import create_app
from limner.config import Settings
from limner.core import Operation, Picture, Size
from limner.errors import InvalidRequest
from tests.api.test_a1111 import opened
from tests.api.test_a1111_images import encoded, noise, pixels
from tests.fakes import FakeBackend, builtin, opener

ENLARGING = "magnific"


@pytest.fixture
async def client(settings: Settings, backend: FakeBackend) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings, opener(backend, "sketch", ENLARGING))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test/sdapi/v1") as http,
    ):
        yield http


async def enlarged(client: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    reply = await client.post("/extra-single-image", json={"image": encoded(noise(40, 30)), **fields})
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (80, 60)),
        ({"upscaler_1": "Lanczos", "upscaling_resize": 1.5}, (60, 45)),
        ({"upscaler_1": "Nearest", "upscaling_resize": 3}, (120, 90)),
        ({"resize_mode": 1, "upscaling_resize_w": 100, "upscaling_resize_h": 100}, (100, 100)),
        ({"resize_mode": 1, "upscaling_resize_w": 100, "upscaling_resize_h": 100, "upscaling_crop": False}, (100, 75)),
        ({"upscaler_1": "Lanczos", "upscaler_2": "Nearest", "extras_upscaler_2_visibility": 0.5}, (80, 60)),
    ],
)
async def test_pictures_are_resampled(
    client: httpx2.AsyncClient, fields: dict[str, Any], size: tuple[int, int]
) -> None:
    body = await enlarged(client, **fields)
    assert opened(body["image"]).size == size
    assert "enlarged" in body["html_info"]


async def test_each_upscaler_is_what_it_is_called(client: httpx2.AsyncClient) -> None:
    original = noise(40, 30)
    nearest = opened((await enlarged(client, upscaler_1="Nearest"))["image"])
    assert (pixels(nearest) == pixels(original).repeat(2, axis=0).repeat(2, axis=1)).all()
    smooth = opened((await enlarged(client, upscaler_1="Lanczos"))["image"])
    assert (pixels(smooth) == pixels(original.resize((80, 60), Image.Resampling.LANCZOS))).all()
    both = opened((await enlarged(client, upscaler_1="Lanczos", upscaler_2="Nearest",
                                  extras_upscaler_2_visibility=0.5))["image"])  # fmt: skip
    assert np.abs(pixels(both) - (pixels(nearest) + pixels(smooth)) / 2).max() <= 1


async def test_a_model_that_enlarges_is_an_upscaler(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    names = [one["name"] for one in (await client.get("/upscalers")).json()]
    assert names == ["None", "Lanczos", "Nearest", ENLARGING]
    body = await enlarged(client, upscaler_1=ENLARGING)
    (request,) = backend.requests
    assert (request.operation, request.size) == (Operation.UPSCALE, Size(80, 60))
    assert opened(body["image"]).size == (80, 60)


async def test_a_model_of_certain_factors_comes_to_the_size_that_was_asked_for(
    settings: Settings, backend: FakeBackend
) -> None:
    app = create_app(settings, opener(backend, "sketch", "resample"))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://limner.test/sdapi/v1") as client,
    ):
        for factor, drawn in ((2, 2), (2.5, 4), (12, 8)):
            body = await enlarged(client, upscaler_1="resample", upscaling_resize=factor)
            assert backend.requests[-1].size == Size(40 * drawn, 30 * drawn)
            assert opened(body["image"]).size == (round(40 * factor), round(30 * factor))


async def test_what_a_model_has_enlarged_is_blended_with_what_is_resampled(client: httpx2.AsyncClient) -> None:
    """The model's picture has one colour alone."""
    nearest = pixels(noise(40, 30)).repeat(2, axis=0).repeat(2, axis=1)
    second = {"upscaler_1": ENLARGING, "upscaler_2": "Nearest"}
    half = pixels(opened((await enlarged(client, **second, extras_upscaler_2_visibility=0.5))["image"]))
    assert np.ptp(2 * half - nearest, axis=(0, 1)).max() <= 2
    part = {"resize_mode": 1, "upscaling_resize_w": 60, "upscaling_resize_h": 60, "extras_upscaler_2_visibility": 1}
    assert (pixels(opened((await enlarged(client, **second, **part))["image"])) == nearest[:, 10:70]).all()
    clear = encoded(Image.new("RGBA", (40, 30), (0, 0, 0, 0)))
    assert "image" in await enlarged(client, **second, image=clear, extras_upscaler_2_visibility=0.5)


@pytest.mark.parametrize(
    ("size", "wanted", "scale"),
    [
        (Size(3000, 2000), Size(7500, 5000), "2"),
        (Size(1000, 2500), Size(3000, 7500), "4"),
        (Size(100, 3000), Size(500, 15_000), "4"),
        (Size(100, 100), Size(50, 50), "2"),
    ],
)
def test_no_factor_makes_more_than_the_model_can(size: Size, wanted: Size, scale: str) -> None:
    picture = Picture("L", size, bytes(size.pixels))
    request = enlarging(builtin().get("resample"), picture, wanted, timeout_s=60, param="upscaler_1")
    assert request.params == {"scale": scale}


def test_a_picture_too_large_for_every_factor_is_refused_by_the_upscalers_name() -> None:
    picture = Picture("L", Size(6000, 4000), bytes(6000 * 4000))
    with pytest.raises(InvalidRequest, match="'resample' makes a picture of 6000x4000") as refused:
        enlarging(builtin().get("resample"), picture, Size(7500, 5000), timeout_s=60, param="hr_upscaler")
    assert refused.value.param == "hr_upscaler"


async def test_several_pictures(client: httpx2.AsyncClient) -> None:
    given = [{"data": encoded(noise(20 + i, 10)), "name": f"{i}.png"} for i in range(3)]
    body = (await client.post("/extra-batch-images", json={"imageList": given, "upscaler_1": "Lanczos"})).json()
    assert [opened(image).size for image in body["images"]] == [(40, 20), (42, 20), (44, 20)]
    refused = await client.post("/extra-batch-images", json={"imageList": given * 6})
    assert (refused.status_code, refused.json()["param"]) == (422, "imageList")


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"upscaler_1": "R-ESRGAN 4x+"}, 422, "upscaler_1"),
        ({"upscaler_2": "R-ESRGAN 4x+", "extras_upscaler_2_visibility": 1}, 422, "upscaler_2"),
        ({"upscaler_1": ENLARGING, "upscaler_2": "R-ESRGAN 4x+"}, 422, "upscaler_2"),
        ({"upscaler_1": ENLARGING, "upscaler_2": ENLARGING}, 422, "upscaler_2"),
        ({"gfpgan_visibility": 0.5}, 422, "gfpgan_visibility"),
        ({"upscaling_resize": 0}, 422, "upscaling_resize"),
        ({"resize_mode": 1, "upscaling_resize_w": 100_000}, 422, "upscaling_resize_w"),
        ({"image": ""}, 422, "image"),
        ({"image": base64.b64encode(b"text").decode()}, 415, "image"),
    ],
)
async def test_what_is_not_done_is_refused_by_name(
    client: httpx2.AsyncClient, fields: dict[str, Any], status: int, param: str
) -> None:
    reply = await client.post("/extra-single-image", json={"image": encoded(noise(40, 30)), **fields})
    assert (reply.status_code, reply.json()["param"]) == (status, param), reply.text


async def test_a_picture_says_what_made_it(client: httpx2.AsyncClient) -> None:
    ask = {"prompt": "a red circle", "negative_prompt": "blue", "seed": 4, "steps": 6, "width": 128, "height": 128}
    drawn = (await client.post("/txt2img", json=ask)).json()
    for picture in (drawn["images"][0], f"data:image/png;base64,{drawn['images'][0]}"):
        body = (await client.post("/png-info", json={"image": picture})).json()
        assert body["info"] == json.loads(drawn["info"])["infotexts"][0]
        assert body["parameters"]["Prompt"] == "a red circle"
        assert body["parameters"]["Negative prompt"] == "blue"
        assert (body["parameters"]["Seed"], body["parameters"]["Size-1"]) == ("4", "128")
        assert json.loads(body["items"]["limner"])["seed"] == 4


async def test_pictures_of_others_are_read_too(client: httpx2.AsyncClient) -> None:
    said = PngImagePlugin.PngInfo()
    said.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512")
    said.add_text("Comment", "hello")
    buffer = io.BytesIO()
    noise(8, 8).save(buffer, "PNG", pnginfo=said)
    reply = await client.post("/png-info", json={"image": base64.b64encode(buffer.getvalue()).decode()})
    assert reply.json()["items"] == {"Comment": "hello"}
    assert reply.json()["parameters"]["Sampler"] == "Euler a"
    plain = (await client.post("/png-info", json={"image": encoded(noise(8, 8))})).json()
    assert plain == {"info": "", "items": {}, "parameters": {}}
    refused = await client.post("/png-info", json={"image": base64.b64encode(b"text").decode()})
    assert (refused.status_code, refused.json()["param"]) == (415, "image")


async def test_nothing_here_describes_pictures(client: httpx2.AsyncClient) -> None:
    reply = await client.post("/interrogate", json={"image": encoded(noise(8, 8)), "model": "clip"})
    assert reply.status_code == 404
    assert "no model served here can describe" in reply.json()["detail"]
