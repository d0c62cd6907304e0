"""POST /v1/images/edits through the app, on a fake backend."""

import base64
import io
from typing import Any

import httpx2
import pytest
from PIL import Image

from limner.core import Operation
from tests.fakes import FakeBackend

URL = "/v1/images/edits"
PROMPT = {"prompt": "make it blue"}


def png(color: tuple[int, ...] = (255, 0, 0), size: tuple[int, int] = (64, 64)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA" if len(color) == 4 else "RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


RED, BLUE = png(), png((0, 0, 255))


@pytest.mark.parametrize(
    ("files", "fields", "count"),
    [
        ([("image", RED)], {}, 1),
        ([("image[]", RED)], {}, 1),
        ([("image", RED), ("image", BLUE)], {}, 2),
        ([("image[]", RED), ("image[]", BLUE)], {}, 2),
        ([("image", RED)], {"url": data_url(BLUE)}, 2),
    ],
)
async def test_every_way_to_send_pictures(
    client: httpx2.AsyncClient, backend: FakeBackend, files: list[Any], fields: dict[str, str], count: int
) -> None:
    uploads = [(name, ("x.png", data, "image/png")) for name, data in files]
    reply = await client.post(URL, data={**PROMPT, **fields}, files=uploads)
    assert reply.status_code == 200, reply.text
    request = backend.requests[-1]
    assert request.operation is Operation.EDIT
    assert len(request.inputs) == count
    assert request.inputs[0].pixels[:3] == b"\xff\x00\x00"


async def test_form_text_becomes_the_models_types(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    fields = {**PROMPT, "n": "2", "seed": "7", "num_inference_steps": "3", "guidance_scale": "2.5", "size": "128x128"}
    reply = await client.post(URL, data=fields, files={"image": RED})
    assert reply.status_code == 200, reply.text
    request = backend.requests[-1]
    assert (request.n, request.seed) == (2, 7)
    assert request.params["num_inference_steps"] == 3
    assert request.params["guidance_scale"] == 2.5


@pytest.mark.parametrize(("field", "value"), [("n", "two"), ("n", "99"), ("seed", "x"), ("num_inference_steps", "x")])
async def test_bad_form_text_is_refused_by_name(client: httpx2.AsyncClient, field: str, value: str) -> None:
    reply = await client.post(URL, data={**PROMPT, field: value}, files={"image": RED})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == field


async def test_json_edits(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    for images in (data_url(RED), [data_url(RED)], [{"image_url": data_url(RED)}]):
        assert (await client.post(URL, json={**PROMPT, "image": images})).status_code == 200
        assert len(backend.requests[-1].inputs) == 1


async def test_a_mask_makes_it_an_inpaint(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    white = png((255, 255, 255))
    clear = png((0, 0, 0, 0))
    for mask in (white, clear):
        reply = await client.post(URL, data=PROMPT, files={"image": RED, "mask": mask})
        assert reply.status_code == 200, reply.text
        request = backend.requests[-1]
        assert request.operation is Operation.INPAINT
        assert request.mask is not None
        assert set(request.mask.pixels) == {255}


async def test_a_mask_of_another_size_is_refused(client: httpx2.AsyncClient) -> None:
    reply = await client.post(URL, data=PROMPT, files={"image": RED, "mask": png((255, 255, 255), (32, 32))})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "mask"


async def test_missing_picture_and_missing_prompt(client: httpx2.AsyncClient) -> None:
    no_image = await client.post(URL, data=PROMPT, files={"mask": RED})
    assert (no_image.status_code, no_image.json()["error"]["param"]) == (400, "image")
    no_prompt = await client.post(URL, files={"image": RED})
    assert (no_prompt.status_code, no_prompt.json()["error"]["param"]) == (400, "prompt")


async def test_too_many_pictures_are_refused_before_any_fetch(client: httpx2.AsyncClient) -> None:
    many = [("image", ("x.png", RED, "image/png"))] * 3
    urls = {"url": [f"http://127.0.0.1:9/{i}.png" for i in range(3)]}
    reply = await client.post(URL, data={**PROMPT, **urls}, files=many)
    assert reply.status_code == 400
    assert "6" in reply.json()["error"]["message"]
    one_only = await client.post(URL, data={**PROMPT, "model": "Qwen/Qwen-Image"}, files=many[:2])
    assert one_only.status_code == 400


async def test_a_private_url_is_not_fetched(client: httpx2.AsyncClient) -> None:
    reply = await client.post(URL, data={**PROMPT, "url": "http://127.0.0.1:9/x.png"})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "url"


@pytest.mark.parametrize("data", [b"", b"not a picture", b"<svg/>", RED[:30]])
async def test_what_is_no_picture_is_a_clear_4xx(client: httpx2.AsyncClient, data: bytes) -> None:
    reply = await client.post(URL, data=PROMPT, files={"image": ("x.png", data, "image/png")})
    assert 400 <= reply.status_code < 500
    assert reply.json()["error"]["param"] == "image"


async def test_a_body_of_another_type_is_a_415(client: httpx2.AsyncClient) -> None:
    reply = await client.post(URL, content=b"hello", headers={"content-type": "text/plain"})
    assert reply.status_code == 415


async def test_a_broken_multipart_body_is_a_400(client: httpx2.AsyncClient) -> None:
    reply = await client.post(
        URL, content=b"--x\r\nbroken", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert reply.status_code == 400
