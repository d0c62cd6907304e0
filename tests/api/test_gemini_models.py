"""Google's own models by the names that its clients use: sizes, resolutions, shapes and limits of their tables."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from limner.api.app import create_app
from limner.catalogue import Catalogue
from limner.config import Settings
from limner.core import Operation, Size
from tests.api.test_gemini import asking, inline, png, said
from tests.fakes import FakeBackend, opener

FLASH, FLASH_31, PRO = "gemini-2.5-flash-image", "gemini-3.1-flash-image", "gemini-3-pro-image-preview"
IMAGEN = "imagen-4.0-generate-001"


@pytest.fixture
async def client(settings: Settings, backend: FakeBackend) -> AsyncIterator[httpx2.AsyncClient]:
    """To a server on which a fake stands in for every model of the catalogue."""
    app = create_app(settings, opener(backend, stand_in=True))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as http,
    ):
        yield http


async def drawn(client: httpx2.AsyncClient, model: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = await client.post(f"/v1beta/models/{model}:generateContent", json=body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


@pytest.mark.parametrize("name", [FLASH, FLASH_31, PRO, IMAGEN])
def test_googles_names_are_in_the_catalogue(name: str) -> None:
    assert Catalogue.builtin().get(name).family == "google"


@pytest.mark.parametrize(
    ("model", "config", "size"),
    [
        (FLASH, {}, "1024x1024"),
        (FLASH, {"aspectRatio": "16:9"}, "1344x768"),
        (FLASH, {"aspectRatio": "4:5"}, "896x1152"),
        (PRO, {"aspectRatio": "21:9"}, "1536x672"),
        (PRO, {"aspectRatio": "3:2", "imageSize": "2K"}, "2496x1664"),
        (PRO, {"imageSize": "4K"}, "4096x4096"),
        (FLASH_31, {"imageSize": "512"}, "512x512"),
        (FLASH_31, {"aspectRatio": "1:4", "imageSize": "1K"}, "512x2048"),
        ("google/gemini-3-pro-T2I", {"imageSize": "2K"}, "2048x2048"),
    ],
)
async def test_sizes_are_googles(
    client: httpx2.AsyncClient, backend: FakeBackend, model: str, config: dict[str, str], size: str
) -> None:
    await drawn(client, model, asking(said("x"), imageConfig=config))
    assert str(backend.requests[-1].size) == size


@pytest.mark.parametrize(
    ("picture", "size"), [((640, 360), "1344x768"), ((300, 400), "864x1184"), ((100, 100), "1024x1024")]
)
async def test_an_edit_without_a_ratio_has_its_pictures(
    client: httpx2.AsyncClient, backend: FakeBackend, picture: tuple[int, int], size: str
) -> None:
    await drawn(client, FLASH, asking(said("make it blue", inline(png(size=picture)))))
    request = backend.requests[-1]
    assert (request.operation, str(request.size)) == (Operation.EDIT, size)
    await drawn(client, FLASH, asking(said("x", inline(png(size=picture))), imageConfig={"aspectRatio": "1:1"}))
    assert backend.requests[-1].size == Size(1024, 1024)


@pytest.mark.parametrize(
    ("model", "body", "field"),
    [
        (FLASH, asking(said("x"), imageConfig={"imageSize": "2K"}), "generationConfig.imageConfig.imageSize"),
        (FLASH, asking(said("x"), imageConfig={"aspectRatio": "1:8"}), "generationConfig.imageConfig.aspectRatio"),
        (PRO, asking(said("x"), imageConfig={"imageSize": "512"}), "generationConfig.imageConfig.imageSize"),
        (FLASH, asking(said("x"), candidateCount=5), "generationConfig.candidateCount"),
        (FLASH, asking(said("x", *(inline(png((shade, 0, 0))) for shade in range(5)))), "contents"),
        ("gemini_native", asking(said("make it blue")), "contents"),
    ],
)
async def test_their_limits(client: httpx2.AsyncClient, model: str, body: dict[str, Any], field: str) -> None:
    reply = await client.post(f"/v1beta/models/{model}:generateContent", json=body)
    error = reply.json()["error"]
    assert reply.status_code == 400
    (violation,) = [violation for detail in error["details"] for violation in detail.get("fieldViolations", ())]
    assert violation["field"] == field, error["message"]


async def test_many_references(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    await drawn(client, FLASH_31, asking(said("compose", *(inline(png((shade, 0, 0))) for shade in range(14)))))
    assert [picture.pixels[0] for picture in backend.requests[-1].inputs] == list(range(14))


async def test_a_model_that_takes_no_pictures_draws_anew(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    history = [said("a circle"), said(inline(png()), role="model"), said("a square")]
    await drawn(client, IMAGEN, asking(*history))
    assert (backend.requests[-1].operation, backend.requests[-1].prompt) == (Operation.GENERATE, "a square")


async def test_the_reply_names_the_model_that_drew(client: httpx2.AsyncClient) -> None:
    assert (await drawn(client, PRO, asking(said("x"))))["modelVersion"] == "nano_banana_pro"
    assert (await drawn(client, "route-llm", asking(said("x"))))["modelVersion"] == "nano_banana_pro"


async def test_imagens_table(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = {"instances": [{"prompt": "x"}], "parameters": {"aspectRatio": "16:9", "enhancePrompt": False}}
    reply = await client.post(f"/v1/models/{IMAGEN}:predict", json=body)
    assert reply.status_code == 200, reply.text
    assert len([base64.b64decode(one["bytesBase64Encoded"]) for one in reply.json()["predictions"]]) == 4
    assert backend.requests[-1].size == Size(1408, 768)
