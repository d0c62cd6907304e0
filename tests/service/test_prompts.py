"""Prompts in better words: whose, what the reply tells of it, and what happens when nobody finds any."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from limner.accounts import OPEN
from limner.api.app import create_app
from limner.config import load_settings
from limner.errors import UpstreamFailed
from tests.chat.scripted import ScriptedModel, words
from tests.fakes import FakeBackend, opener

URL = "/v1/images/generations"
BETTER = "a cat in a red hat, soft light, sitting on a wall"


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
async def app(tmp_path: Path, backend: FakeBackend) -> AsyncIterator[FastAPI]:
    settings = load_settings(None, {"data": tmp_path / "data"})
    application = create_app(settings, opener(backend, "sketch", stand_in=True))
    async with application.router.lifespan_context(application):
        yield application


def language(app: FastAPI, *lines: Any) -> ScriptedModel:
    model = ScriptedModel(lines)
    app.state.gateway.service.language = model
    return model


async def drawn(app: FastAPI, **fields: Any) -> dict[str, Any]:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as client:
        headers = {"Idempotency-Key": "one"} if fields.pop("once", False) else {}
        reply = await client.post(URL, json={"prompt": "a cat in a red hat", **fields}, headers=headers)
    assert reply.status_code == 200, reply.text[:300]
    body: dict[str, Any] = reply.json()
    return body


@pytest.mark.parametrize("asked", [{"model": "seedream"}, {"model": "sketch", "rewrite_prompt": True}])
async def test_a_prompt_is_rewritten_where_that_is_asked_or_usual(
    app: FastAPI, backend: FakeBackend, asked: dict[str, Any]
) -> None:
    language(app, words(BETTER))
    body = await drawn(app, **asked)
    assert backend.requests[-1].prompt == BETTER
    assert body["data"][0]["revised_prompt"] == body["limner"]["effective"]["revised_prompt"] == BETTER
    assert not any(warning["param"] == "rewrite_prompt" for warning in body["limner"]["warnings"])


@pytest.mark.parametrize("asked", [{"model": "seedream", "rewrite_prompt": False}, {"model": "sketch"}])
async def test_and_not_elsewhere(app: FastAPI, backend: FakeBackend, asked: dict[str, Any]) -> None:
    model = language(app, words(BETTER))
    body = await drawn(app, **asked)
    assert backend.requests[-1].prompt == "a cat in a red hat"
    assert "revised_prompt" not in body["data"][0]
    assert not any(warning["param"] == "rewrite_prompt" for warning in body["limner"]["warnings"])
    assert model.heard == []


async def test_a_rewriter_that_fails_leaves_the_prompt_as_it_was(app: FastAPI, backend: FakeBackend) -> None:
    language(app, UpstreamFailed("it is away"))
    body = await drawn(app, model="seedream")
    assert backend.requests[-1].prompt == "a cat in a red hat"
    assert "it is away" in next(w["message"] for w in body["limner"]["warnings"] if w["param"] == "rewrite_prompt")


async def test_a_repeated_request_is_not_rewritten_again(app: FastAPI, backend: FakeBackend) -> None:
    model = language(app, words(BETTER), words("something else altogether, a cat in a red hat"))
    first = await drawn(app, model="seedream", once=True)
    again = await drawn(app, model="seedream", once=True)
    assert first["limner"]["job_id"] == again["limner"]["job_id"]
    assert len(model.heard) == len(backend.requests) == 1


@pytest.mark.parametrize(
    "wrong", [{"colour": "red"}, {"size": "nonsense"}, {"n": 99}, {"num_inference_steps": 0}, {"size": "1x1"}]
)
async def test_what_is_refused_anyway_is_not_rewritten(app: FastAPI, wrong: dict[str, Any]) -> None:
    model = language(app, words(BETTER))
    asked = {"prompt": "a cat in a red hat", "model": "sketch", "rewrite_prompt": True, **wrong}
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as client:
        assert (await client.post(URL, json=asked)).status_code == 400
    assert model.heard == []


async def test_a_size_in_the_better_words_counts(app: FastAPI, backend: FakeBackend) -> None:
    language(app, words("a cat in a red hat, portrait format"))
    await drawn(app, model="sketch", rewrite_prompt=True)
    size = backend.requests[-1].size
    assert size is not None
    assert size.height_px > size.width_px


async def test_words_of_a_key_kept_to_this_server_are_not_rewritten_elsewhere(app: FastAPI) -> None:
    service = app.state.gateway.service
    model = language(app, words(BETTER))
    kept = replace(OPEN, local_only=True)
    assert service.language_for(kept) is service.language_for(OPEN) is model
    remote = load_settings(None, {"language_url": "http://127.0.0.1:9/v1", "language_model": "m"})
    service._admission._settings = remote
    assert service.language_for(kept) is None
    assert service.language_for(OPEN) is model
