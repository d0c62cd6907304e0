"""Wires that promise pictures, asked of a model that only speaks: refused before anything is run."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from limner.api.app import create_app
from limner.config import Settings
from limner.core import Operation
from tests.api.test_chat import RED
from tests.fakes import FakeBackend, opener

CHAT, IMAGES, RESPONSES = "/v1/chat/completions", "/api/v1/images", "/v1/responses"
FLUX, EDIT = "/v2/image/flux/generate", "/v2/image/gpt-image/edit"
SAID: dict[str, Any] = {"messages": [{"role": "user", "content": "a red circle"}], "modalities": ["image"]}
CONTENTS: dict[str, Any] = {
    "contents": [{"role": "user", "parts": [{"text": "a red circle"}]}],
    "generationConfig": {"responseModalities": ["IMAGE"]},
}
PREDICTED: dict[str, Any] = {"instances": [{"prompt": "x"}], "parameters": {"aspectRatio": "1:1"}}
DRAWS: dict[str, Any] = {"input": "x", "tools": [{"type": "image_generation", "action": "generate"}]}
MODALITIES = "generationConfig.responseModalities"


@pytest.fixture
async def app(settings: Settings, backend: FakeBackend) -> AsyncIterator[FastAPI]:
    application = create_app(settings, opener(backend, "sketch", "reader"))
    async with application.router.lifespan_context(application):
        yield application


def of_google(model: str, method: str) -> str:
    return f"/v1beta/models/{model.replace('/', '%2F')}:{method}"


@pytest.mark.parametrize("model", ["reader", "limner/describe"])
@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, SAID, "modalities"),
        ("generateContent", CONTENTS, MODALITIES),
        ("predict", PREDICTED, "model"),
        (IMAGES, {"prompt": "x", "aspect_ratio": "1:1"}, "operation"),
        (IMAGES, {"prompt": "x", "input_references": [RED]}, "operation"),
        (RESPONSES, DRAWS, "model"),
    ],
)
async def test_words_are_no_picture(
    client: httpx2.AsyncClient, backend: FakeBackend, model: str, path: str, body: dict[str, Any], param: str
) -> None:
    google = not path.startswith("/")
    reply = await client.post(
        of_google(model, path) if google else path, json=body if google else {**body, "model": model}
    )
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    violations = [one for detail in error.get("details", ()) for one in detail.get("fieldViolations", ())]
    assert param == (violations[0]["field"] if google else error["param"])
    assert "served here that can: sketch" in error["message"]
    assert backend.requests == []


@pytest.mark.parametrize("model", ["reader", "limner/describe"])
@pytest.mark.parametrize(("path", "more"), [(FLUX, {"width": 512}), (EDIT, {"image": RED})])
async def test_the_relay_says_the_same_in_its_way(
    client: httpx2.AsyncClient, backend: FakeBackend, model: str, path: str, more: dict[str, Any]
) -> None:
    reply = await client.post(path, json={"prompt": "x", "model": model, **more})
    assert reply.status_code == 422, reply.text
    assert "served here that can: sketch" in reply.json()["detail"]
    assert backend.requests == []


async def test_where_words_will_do_it_answers(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    reply = await client.post(CHAT, json={**SAID, "model": "reader", "modalities": ["image", "text"]})
    assert reply.json()["choices"][0]["message"]["content"] == "A red circle."
    assert backend.requests[-1].operation is Operation.DESCRIBE


async def test_a_server_that_only_speaks_draws_for_nobody(settings: Settings, backend: FakeBackend) -> None:
    """Nor where the request leaves the model to the server."""
    application = create_app(settings, opener(backend, "reader"))
    async with application.router.lifespan_context(application):
        transport = httpx2.ASGITransport(app=application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as client:
            for path, body in ((CHAT, SAID), (IMAGES, {"prompt": "x"})):
                reply = await client.post(path, json=body)
                assert reply.status_code == 400, reply.text
                assert "no model served here can" in reply.json()["error"]["message"]
    assert backend.requests == []
