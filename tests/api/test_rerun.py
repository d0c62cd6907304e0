"""Drawing a picture again from its recipe."""

import base64
import io
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from PIL import Image

from limner.api.app import create_app
from limner.config import Settings
from limner.core import Lora, Operation
from limner.media.decode import DecodeLimits, decode
from tests.api.test_edits import data_url, png
from tests.fakes import FakeBackend, builtin, opener

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
ASKED = {"prompt": "a red circle", "size": "256x256", "num_inference_steps": 3, "response_format": "url"}


async def draw(client: httpx2.AsyncClient, path: str = GENERATIONS, **more: Any) -> list[str]:
    """The rerun addresses of what was drawn."""
    reply = await client.post(path, json=ASKED | more)
    assert reply.status_code == 200, reply.text
    return [f"{urlsplit(picture['url']).path}/rerun" for picture in reply.json()["data"]]


RED, BLUE, GREEN = (data_url(png(color)) for color in ((255, 0, 0), (0, 0, 255), (0, 255, 0)))
MASK = data_url(png((255, 255, 255, 0)))


def corner_mask() -> str:
    """White, which is repainted, in one corner alone."""
    image, buffer = Image.new("RGB", (64, 64)), io.BytesIO()
    image.paste((255, 255, 255), (0, 0, 16, 16))
    image.save(buffer, "PNG")
    return data_url(buffer.getvalue())


async def test_a_picture_is_drawn_again_exactly(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    _, address = await draw(client, n=2, seed=7, guidance_scale=2.5, output_format="webp")
    first = backend.requests[-1]
    reply = await client.post(address)
    assert reply.status_code == 200, reply.text
    again = backend.requests[-1]
    assert (again.seed, again.n) == (8, 1)
    for name in ("operation", "model", "prompt", "size", "params", "output"):
        assert getattr(again, name) == getattr(first, name)
    body = reply.json()
    assert body["limner"]["warnings"] == []
    assert body["limner"]["effective"]["seeds"] == [8]
    whole = (await client.get(address.removesuffix("/rerun"))).content
    drawn = base64.b64decode(body["data"][0]["b64_json"])
    assert decode(drawn, DecodeLimits(), param="image") == decode(whole, DecodeLimits(), param="image")
    assert reply.headers["x-limner-job"] == body["limner"]["job_id"]


async def test_adapters_are_applied_again(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    adapters = [{"path": "fluffy", "scale": 0.5}, {"name": "org/soft"}]
    (address,) = await draw(client, model="Qwen/Qwen-Image", lora=adapters)
    first = backend.requests[-1]
    reply = await client.post(address)
    assert reply.status_code == 200, reply.text
    assert backend.requests[-1].params == first.params
    assert backend.requests[-1].params["lora"] == (Lora("fluffy", 0.5), Lora("org/soft", 1.0, "org/soft"))


async def test_a_drawn_size_and_seed_are_kept(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    (address,) = await draw(client, size="auto", prompt="a circle, portrait format")
    first = backend.requests[-1]
    await client.post(address)
    assert (backend.requests[-1].size, backend.requests[-1].seed) == (first.size, first.seed)


async def test_anything_can_be_changed(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    (address,) = await draw(client, seed=7)
    changes = {"seed": 100, "prompt": "a blue circle", "n": 2, "num_inference_steps": 4, "response_format": "url"}
    reply = await client.post(address, json={**changes, "extra_body": {"guidance_scale": 2.0}})
    assert reply.status_code == 200, reply.text
    again = backend.requests[-1]
    assert (again.seed, again.prompt, again.n) == (100, "a blue circle", 2)
    assert (again.params["num_inference_steps"], again.params["guidance_scale"]) == (4, 2.0)
    assert str(again.size) == "256x256"
    assert len(reply.json()["data"]) == 2
    assert "url" in reply.json()["data"][0]


async def test_null_gives_a_parameter_back_to_the_model(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    (address,) = await draw(client, seed=7)
    assert (await client.post(address, json={"seed": None, "num_inference_steps": None})).status_code == 200
    again = backend.requests[-1]
    assert again.seed != 7
    assert again.params["num_inference_steps"] != 3


@pytest.mark.parametrize(
    ("changes", "status", "param"),
    [
        ({"colour": "blue"}, 400, "colour"),
        ({"operation": "edit"}, 400, "operation"),
        ({"image": "data:image/png;base64,"}, 400, "image"),
        ({"n": 0}, 400, "n"),
        ({"prompt": None}, 400, "prompt"),
        ({"model": "nothing"}, 404, "model"),
        ([], 400, None),
    ],
)
async def test_what_is_not_known_is_refused(
    client: httpx2.AsyncClient, changes: Any, status: int, param: str | None
) -> None:
    (address,) = await draw(client)
    reply = await client.post(address, json=changes)
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)


async def test_a_picture_that_is_not_there_is_not_drawn_again(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/v1/files/img_0_0/rerun")).status_code == 404
    assert (await client.get((await draw(client))[0])).status_code == 405


async def test_an_idempotency_key_draws_once(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    (address,) = await draw(client)
    replies = [await client.post(address, headers={"Idempotency-Key": "again"}) for _ in range(2)]
    assert replies[0].headers["x-limner-job"] == replies[1].headers["x-limner-job"]
    assert len(backend.requests) == 2


async def test_an_edit_needs_its_pictures_again(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    (address,) = await draw(client, EDITS, image=[RED, BLUE])
    first = backend.requests[-1]
    refused = await client.post(address)
    assert (refused.status_code, refused.json()["error"]["param"]) == (409, "image")
    assert "send 'image' (2 in their order) again" in refused.json()["error"]["message"]
    reply = await client.post(address, json={"image": [RED, BLUE]})
    assert reply.status_code == 200, reply.text
    assert reply.json()["limner"]["warnings"] == []
    assert backend.requests[-1] == first


@pytest.mark.parametrize("images", [[GREEN], [RED, BLUE], [{"image_url": {"url": GREEN}}]])
async def test_other_pictures_are_taken_with_a_warning(client: httpx2.AsyncClient, images: list[Any]) -> None:
    (address,) = await draw(client, EDITS, image=RED)
    reply = await client.post(address, json={"image": images, "seed": 1})
    assert reply.status_code == 200, reply.text
    warned = [(warning["param"], warning["code"]) for warning in reply.json()["limner"]["warnings"]]
    assert warned == [("image", "unverified")]


@pytest.mark.parametrize(
    ("body", "param", "told"),
    [({}, "image", "'image' (1 in their order) and 'mask' again"), ({"image": RED}, "mask", "send 'mask' again")],
)
async def test_inpainting_needs_its_mask_again(
    client: httpx2.AsyncClient, backend: FakeBackend, body: dict[str, str], param: str, told: str
) -> None:
    (address,) = await draw(client, EDITS, image=RED, mask=MASK)
    first = backend.requests[-1]
    refused = await client.post(address, json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (409, param)
    assert told in refused.json()["error"]["message"]
    reply = await client.post(address, json={"image": RED, "mask": MASK})
    assert reply.status_code == 200, reply.text
    assert reply.json()["limner"]["warnings"] == []
    assert backend.requests[-1] == first


async def test_an_edit_becomes_an_inpainting_with_a_mask(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    (address,) = await draw(client, EDITS, image=RED)
    reply = await client.post(address, json={"image": RED, "mask": MASK})
    assert reply.status_code == 200, reply.text
    assert backend.requests[-1].operation is Operation.INPAINT


async def test_another_mask_is_taken_with_a_warning(client: httpx2.AsyncClient) -> None:
    (address,) = await draw(client, EDITS, image=RED, mask=MASK)
    reply = await client.post(address, json={"image": RED, "mask": corner_mask()})
    assert reply.status_code == 200, reply.text
    assert [warning["param"] for warning in reply.json()["limner"]["warnings"]] == ["mask"]


async def test_another_model_draws_without_what_it_lacks(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    (address,) = await draw(client, seed=7)
    lacks = set(backend.requests[-1].params) - set(builtin().get("Tongyi-MAI/Z-Image-Turbo").params)
    assert lacks
    reply = await client.post(address, json={"model": "Tongyi-MAI/Z-Image-Turbo"})
    assert reply.status_code == 200, reply.text
    again = backend.requests[-1]
    assert (again.model, again.seed) == ("Tongyi-MAI/Z-Image-Turbo", 7)
    assert lacks <= {warning["param"] for warning in reply.json()["limner"]["warnings"]}
    sent = await client.post(address, json={"model": "Tongyi-MAI/Z-Image-Turbo", min(lacks): 1})
    assert (sent.status_code, sent.json()["error"]["param"]) == (400, min(lacks))


async def test_a_model_that_counts_its_pictures_needs_them_again(settings: Settings, backend: FakeBackend) -> None:
    app = create_app(settings, opener(backend, "openai/gpt-image-1.5-I2I"))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as client,
    ):
        asked = {"prompt": "make it blue", "image": RED, "response_format": "url"}
        drawn = await client.post(EDITS, json=asked)
        assert drawn.status_code == 200, drawn.text
        address = f"{urlsplit(drawn.json()['data'][0]['url']).path}/rerun"
        refused = await client.post(address)
        assert (refused.status_code, refused.json()["error"]["param"]) == (409, "image"), refused.text
        reply = await client.post(address, json={"image": RED})
        assert reply.status_code == 200, reply.text
        assert backend.requests[-1] == backend.requests[0]
