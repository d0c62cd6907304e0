"""A1111's img2img: pictures, masks and everything that is said about them."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from limner.api.app import create_app
from limner.config import Settings
from limner.core import Operation, Picture, Size
from tests.api.test_a1111 import MODELS, opened, warned
from tests.api.test_edits import data_url, png
from tests.fakes import FakeBackend, flat, opener

RED = base64.b64encode(png(size=(128, 128))).decode()


@pytest.fixture
async def client(settings: Settings, backend: FakeBackend) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings, opener(backend, *MODELS))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test/sdapi/v1") as http,
    ):
        yield http


def noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def encoded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def square_mask(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", size, 0)
    mask.paste(255, box)
    return mask


def pixels(picture: Picture | Image.Image) -> NDArray[np.int16]:
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB")).astype(np.int16)
    shape = (picture.size.height_px, picture.size.width_px, len(picture.mode))
    return np.frombuffer(picture.pixels, np.uint8).reshape(shape).astype(np.int16)


async def drawn(client: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    reply = await client.post("/img2img", json={"prompt": "a dog", "init_images": [RED], **fields})
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    body["info"] = json.loads(body["info"])
    return body


async def test_a_picture_is_drawn_over(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = await drawn(client, width=256, height=192, denoising_strength=0.5, steps=20)
    (request,) = backend.requests
    assert request.operation is Operation.EDIT
    assert request.size == request.inputs[0].size == Size(256, 192)
    assert request.params["strength"] == 0.5
    assert opened(body["images"][0]).size == (256, 192)
    assert body["info"]["denoising_strength"] == 0.5
    assert "Denoising strength: 0.5" in body["info"]["infotexts"][0]
    assert (body["parameters"]["init_images"], body["parameters"]["mask"]) == (None, None)
    assert warned(body) == []


@pytest.mark.parametrize("source", [RED, f"data:image/png;base64,{RED}", data_url(png())])
async def test_every_way_to_send_a_picture(client: httpx2.AsyncClient, backend: FakeBackend, source: str) -> None:
    await drawn(client, init_images=[source])
    assert backend.requests[0].inputs[0].pixels[:3] == b"\xff\x00\x00"


async def test_the_usual_strength_is_a1111s(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    await drawn(client)
    assert backend.requests[0].params["strength"] == 0.75
    assert backend.requests[0].size == Size(512, 512)


async def test_models_that_edit_by_words_have_no_strength(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    assert warned(await drawn(client, model="sketch")) == []
    assert warned(await drawn(client, model="sketch", denoising_strength=0.4)) == ["denoising_strength"]
    assert "strength" not in backend.requests[1].params


@pytest.mark.parametrize(("mode", "left"), [(0, (200, 0)), (1, (0, 0)), (2, (200, 200))])
async def test_pictures_of_other_proportions_are_brought_to_size(
    client: httpx2.AsyncClient, backend: FakeBackend, mode: int, left: tuple[int, int]
) -> None:
    """A wide picture with a white stripe at its left edge, drawn as a square."""
    wide = Image.new("RGB", (256, 128))
    wide.paste((200, 200, 200), (0, 0, 32, 128))
    await drawn(client, init_images=[encoded(wide)], resize_mode=mode, width=128, height=128)
    given = pixels(backend.requests[0].inputs[0])
    assert (abs(given[64, 2, 0] - left[0]) < 30, abs(given[2, 2, 0] - left[1]) < 250) == (True, True)
    assert given.shape == (128, 128, 3)


async def test_several_pictures_are_drawn_one_by_one(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    blue = base64.b64encode(png((0, 0, 255))).decode()
    body = await drawn(client, init_images=[RED, blue], seed=7, n_iter=2)
    assert [request.seed for request in backend.requests] == [7, 8, 9, 10]
    assert [request.inputs[0].pixels[2] for request in backend.requests] == [0, 255, 0, 255]
    assert len(body["images"]) == 4


async def test_a_mask_says_what_is_repainted(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    mask = encoded(square_mask((128, 128), (32, 32, 96, 96)))
    await drawn(client, mask=mask, mask_blur=0, inpaint_full_res=False, inpainting_fill=1, width=128, height=128)
    await drawn(client, mask=mask, mask_blur=0, inpaint_full_res=False, inpainting_mask_invert=1, width=128, height=128)
    one, two = backend.requests
    assert one.operation is Operation.INPAINT
    assert one.mask is not None
    assert two.mask is not None
    values = pixels(one.mask)[:, :, 0]
    assert (values[32:96, 32:96] == 255).all()
    assert values.sum() == 255 * 64 * 64
    assert (pixels(two.mask)[:, :, 0] == 255 - values).all()


async def test_blur_and_fill_prepare_what_is_repainted(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    picture = Image.new("RGB", (128, 128), (250, 0, 0))
    picture.paste((0, 250, 0), (48, 48, 80, 80))
    mask = encoded(square_mask((128, 128), (40, 40, 88, 88)))
    given = {"init_images": [encoded(picture)], "mask": mask, "inpaint_full_res": False, "width": 128, "height": 128}
    for fill in (0, 1):
        await drawn(client, **given, inpainting_fill=fill)
    for request, green in zip(backend.requests, (False, True), strict=True):
        assert request.mask is not None
        assert (len(np.unique(pixels(request.mask))) > 8) is green  # blurred by default, unless it is pasted softly
        assert (pixels(request.inputs[0])[64, 64, 1] > 200) is np.bool_(green)
    body = await drawn(client, **given, inpainting_fill=2)
    assert warned(body) == ["inpainting_fill"]


async def test_only_what_is_masked_is_drawn_and_put_back(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    """The usual way of A1111: the masked part is drawn large, and the picture keeps its own size."""
    picture = noise(200, 160)
    mask = encoded(square_mask((200, 160), (100, 60, 140, 90)))
    body = await drawn(client, init_images=[encoded(picture)], mask=mask, mask_blur=0, inpaint_full_res_padding=10,
                       width=256, height=256, seed=4)  # fmt: skip
    (request,) = backend.requests
    assert request.size == request.inputs[0].size == Size(256, 256)
    part = pixels(request.mask) if request.mask is not None else np.zeros(0)
    assert part.mean() / 255 == pytest.approx(40 * 30 / 60**2, abs=0.05)  # 60x50 with padding, grown to a square
    whole = opened(body["images"][0])
    assert whole.size == (200, 160)
    assert whole.info["parameters"] == body["info"]["infotexts"][0]
    result, original = pixels(whole), pixels(picture)
    inside = np.zeros((160, 200), bool)
    inside[60:90, 100:140] = True
    assert (result[~inside] == original[~inside]).all()
    assert (result[inside] == pixels(flat(Size(1, 1), 4))[0, 0]).all()


SOFT = encoded(square_mask((200, 160), (80, 50, 140, 100)))


def softened(mask: str) -> NDArray[np.float64]:
    """How much of the drawn picture A1111's usual blur leaves to see, per pixel and channel."""
    blurred = opened(mask).convert("L").filter(ImageFilter.GaussianBlur(4))
    return np.asarray(blurred)[:, :, None] / 255


@pytest.mark.parametrize("fill", [0, 1])
async def test_a_parts_soft_edge_is_blended_once(client: httpx2.AsyncClient, backend: FakeBackend, fill: int) -> None:
    """The model repaints all that the edge shows of its work; what it is blended with is the original."""
    picture = noise(200, 160)
    body = await drawn(client, init_images=[encoded(picture)], mask=SOFT, inpainting_fill=fill, seed=4)
    (request,) = backend.requests
    assert request.mask is not None
    assert np.unique(pixels(request.mask)).tolist() == [0, 255]
    share = softened(SOFT)
    mixed = pixels(flat(Size(1, 1), 4))[0, 0] * share + pixels(picture) * (1 - share)
    assert np.abs(pixels(opened(body["images"][0])) - mixed).max() <= 1


async def test_soft_edges_show_the_original_and_not_what_fills_the_mask(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    picture = noise(200, 160)
    body = await drawn(client, init_images=[encoded(picture)], mask=SOFT, inpainting_fill=0, inpaint_full_res=False,
                       width=200, height=160, seed=4)  # fmt: skip
    (request,) = backend.requests
    assert request.mask is not None
    hidden = pixels(request.mask)[:, :, 0] == 255
    given = pixels(request.inputs[0])
    assert (given[~hidden] == pixels(picture)[~hidden]).all()
    assert np.abs(given - pixels(picture))[hidden].mean() > 20
    result = opened(body["images"][0])
    share = np.asarray(opened(SOFT).convert("L").filter(ImageFilter.GaussianBlur(4)).resize(result.size))[..., None]
    original = pixels(picture.resize(result.size, Image.Resampling.LANCZOS))
    mixed = (pixels(flat(Size(1, 1), 4))[0, 0] * (share / 255)) + original * (1 - share / 255)
    assert np.abs(pixels(result) - mixed).mean() < 1


async def test_what_nobody_waits_for_is_filled_only_where_nothing_else_shows(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    picture = noise(200, 160)
    asked = {"prompt": "x", "init_images": [encoded(picture)], "mask": SOFT, "inpainting_fill": 0}
    reply = await client.post("/img2img", json={**asked, "width": 200, "height": 160, "inpaint_full_res": False},
                              headers={"Prefer": "respond-async"})  # fmt: skip
    assert reply.status_code == 202, reply.text
    for _ in range(100):
        if backend.requests:
            break
        await asyncio.sleep(0.05)
    (request,) = backend.requests
    assert request.mask is not None
    whole = pixels(request.mask)[:, :, 0] == 255
    changed = (pixels(request.inputs[0]) != pixels(picture)).any(axis=2)
    assert changed[whole].mean() > 0.9
    assert not changed[~whole].any()


async def test_init_images_come_back_only_where_asked(client: httpx2.AsyncClient) -> None:
    body = await drawn(client, include_init_images=True)
    assert body["parameters"]["init_images"] == [RED]


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"init_images": []}, 422, "init_images"),
        ({"init_images": ["%%%"]}, 422, "init_images"),
        ({"init_images": [base64.b64encode(b"no picture").decode()]}, 415, "init_images"),
        ({"init_images": [RED], "mask": encoded(Image.new("L", (128, 128), 0))}, 422, "mask"),
        ({"init_images": [RED], "denoising_strength": 1.5}, 422, "denoising_strength"),
        ({"init_images": [RED], "resize_mode": 7}, 422, "resize_mode"),
        ({"init_images": [RED], "seed": 2**63 - 1, "n_iter": 2}, 422, "seed"),
        ({"init_images": [RED], "width": 10**12, "height": 10**12}, 422, "size"),
        ({"init_images": [RED], "mask": RED, "width": 64, "height": 10**12}, 422, "size"),
        ({"init_images": [RED] * 17}, 422, "init_images"),
        ({"init_images": [RED] * 16, "n_iter": 7}, 422, "n_iter"),
        ({"init_images": ["http://127.0.0.1:9/x.png"]}, 422, "init_images"),
    ],
)
async def test_bad_pictures_are_refused(
    client: httpx2.AsyncClient, backend: FakeBackend, fields: dict[str, Any], status: int, param: str
) -> None:
    reply = await client.post("/img2img", json={"prompt": "x", **fields})
    assert (reply.status_code, reply.json()["param"]) == (status, param), reply.text
    assert backend.requests == []
