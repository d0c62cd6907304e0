"""RouteLLM's tables through chat: what a document lists holds, by the document's own names."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from limner.api.app import create_app
from limner.config import Settings
from limner.core import Operation
from tests.api.test_chat import BLUE, GREEN, RED, URL, first_colors, message_of, shows
from tests.fakes import FakeBackend, opener

SERVED = (
    "sketch", "flux_kontext", "flux_pro", "flux_pro_canny", "gpt_image", "gpt_image_edit", "gpt-5.1", "gemini-2.5-pro",
    "ideogram_character", "imagen", "magnific", "midjourney", "nano_banana2", "qwen_image_edit", "seedream",
)  # fmt: skip
WORDS = [{"role": "user", "content": "a cat"}]


@pytest.fixture
async def client(settings: Settings, backend: FakeBackend) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings, opener(backend, *SERVED))
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://x") as http:
        yield http


def asked(model: str, messages: list[dict[str, Any]] | None = None, **config: Any) -> dict[str, Any]:
    return {"model": model, "messages": messages or WORDS, "modalities": ["image"], "image_config": config}


@pytest.mark.parametrize(
    ("body", "operation", "size", "n"),
    [
        (asked("flux_kontext", mode="max", aspect_ratio="16:9", num_images=2), "generate", None, 2),
        (asked("flux_pro", size="1440x768", seed=5), "generate", "1440x768", 1),
        (asked("gpt_image", size="1024x1536", quality="high", num_images=3), "generate", "1024x1536", 3),
        (asked("gpt-5.1", num_images=1, aspect_ratio="1:1", quality="high"), "generate", "1024x1024", 1),
        (asked("nano_banana2", aspect_ratio="1:1", resolution="2K"), "generate", "2048x2048", 1),
        (asked("gemini-2.5-pro", aspect_ratio="2:3", image_size="1024x1536", resolution="2K"), "generate", None, 1),
        (asked("magnific", image_prompt=RED, scale_factor="2x"), "upscale", "128x128", 1),
        (asked("qwen_image_edit", image_prompt=RED, num_inference_steps=7), "edit", None, 1),
        (asked("flux_pro_canny", control_image=RED), "edit", None, 1),
    ],
)
async def test_what_the_document_allows(
    client: httpx2.AsyncClient, backend: FakeBackend, body: dict[str, Any], operation: str, size: str | None, n: int
) -> None:
    reply = await client.post(URL, json=body)
    assert len(message_of(reply)["images"]) == n
    request = backend.requests[-1]
    assert (request.operation.value, request.n) == (operation, n)
    assert size in (None, str(request.size))
    assert reply.json()["model"] == body["model"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (asked("flux_kontext", num_images=5), "num_images"),
        (asked("flux_kontext", mode="ultra"), "mode"),
        (asked("flux_kontext", aspect_ratio="5:4"), "aspect_ratio"),
        (asked("flux_kontext", guidance_scale=3.3), "guidance_scale"),
        (asked("flux_kontext", image_prompt=[RED] * 4 + [BLUE]), "image_prompt"),
        (asked("flux_kontext", size="1024x1024"), "size"),
        (asked("flux_kontext", n=2), "n"),
        (asked("flux_pro", size="1024x1025"), "size"),
        (asked("gpt_image", seed=1), "seed"),
        (asked("gpt_image_edit"), "image_prompt"),
        (asked("flux_pro_canny"), "control_image"),
        (asked("flux_pro_canny", image_prompt=RED), "image_prompt"),
        (asked("imagen", image_prompt=RED), "image_prompt"),
        (asked("midjourney", num_images=2), "num_images"),
        (asked("midjourney", prompt="a cat --ar 3:2"), "prompt"),
        (asked("nano_banana2", resolution="8K"), "resolution"),
        (asked("nano_banana2", rewrite_prompt="yes"), "rewrite_prompt"),
        (asked("ideogram_character", style_images=RED), "character_images"),
        ({**asked("gpt_image"), "image_config": {"quality": "hd"}}, "quality"),
    ],
)
async def test_what_it_does_not_is_refused_by_its_own_name(
    client: httpx2.AsyncClient, backend: FakeBackend, body: dict[str, Any], param: str
) -> None:
    reply = await client.post(URL, json=body)
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert error["param"] == param
    assert repr(param) in error["message"]
    assert backend.requests == []


async def test_references_belong_to_the_parameter_that_brings_them(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    body = asked("ideogram_character", [shows(GREEN)], style_images=[BLUE], character_images=RED)
    message_of(await client.post(URL, json=body))
    assert first_colors(backend) == [b"\x00\xff\x00", b"\xff\x00\x00", b"\x00\x00\xff"]
    request = backend.requests[-1]
    assert (request.params["character_images"], request.params["style_images"]) == (2, 1)


async def test_what_a_reference_makes_ineffective_is_told_by_its_name(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    body = asked("gpt_image", image_prompt=RED, num_images=3, quality="high", size="1024x1536")
    warnings = (await client.post(URL, json=body)).json()["limner"]["warnings"]
    assert {"num_images", "quality", "size"} <= {warning["param"] for warning in warnings}
    assert backend.requests[-1].operation is Operation.EDIT
    assert backend.requests[-1].n == 1


async def test_openrouters_words_reach_each_models_own(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = asked("nano_banana2", aspect_ratio="1:1", image_size="2K") | {"modalities": ["image", "text"]}
    message_of(await client.post(URL, json=body))
    assert str(backend.requests[-1].size) == "2048x2048"
    refused = await client.post(URL, json=asked("nano_banana2", aspect_ratio="1:1", image_size="8K"))
    assert refused.json()["error"]["param"] == "image_size"
    half = {"model": "nano_banana2", "prompt": "a cat", "resolution": "512", "aspect_ratio": "1:1"}
    assert (await client.post("/api/v1/images", json=half)).status_code == 200
    assert str(backend.requests[-1].size) == "512x512"


async def test_language_models_draw_only_when_asked(client: httpx2.AsyncClient) -> None:
    refused = await client.post(URL, json={"model": "gpt-5.1", "messages": WORDS})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "modalities")
    message_of(await client.post(URL, json={"model": "route-llm", "messages": WORDS}))  # whichever draws
    message_of(await client.post(URL, json={"model": "flux_pro", "messages": WORDS}))
