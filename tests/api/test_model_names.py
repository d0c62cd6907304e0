"""Which name of a model replies carry: the one that was asked for, unless that meant whichever fits."""

import json
from typing import Any

import httpx2
import pytest

from tests.api.test_gemini_models import client as client  # a fixture

CHAT, IMAGES, RESPONSES = "/v1/chat/completions", "/api/v1/images", "/v1/responses"
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "a red circle"}], "modalities": ["image"]}
TOLD: dict[str, Any] = {"input": "a red circle", "tools": [{"type": "image_generation"}]}


@pytest.mark.parametrize(
    ("asked", "told", "drawn"),
    [
        ("sketch", "sketch", "sketch"),
        ("SKETCH", "SKETCH", "sketch"),
        ("dall-e-3", "dall-e-3", "dalle"),
        ("google/gemini-3-pro-image", "google/gemini-3-pro-image", "nano_banana_pro"),
        ("limner/auto", "sketch", "sketch"),
        ("route-llm", "nano_banana_pro", "nano_banana_pro"),
        (None, "sketch", "sketch"),
    ],
)
@pytest.mark.parametrize("url", [CHAT, IMAGES, RESPONSES])
async def test_the_reply_says_the_name_that_was_asked_for_and_limner_the_id(
    client: httpx2.AsyncClient, url: str, asked: str | None, told: str, drawn: str
) -> None:
    body = {CHAT: ASKED, IMAGES: {"prompt": "a red circle"}, RESPONSES: TOLD}[url]
    reply = await client.post(url, json={**body, "model": asked})
    assert reply.status_code == 200, reply.text
    assert (reply.json()["model"], reply.json()["limner"]["model"]) == (told, drawn)


async def test_so_does_every_chunk_of_a_stream(client: httpx2.AsyncClient) -> None:
    reply = await client.post(CHAT, json={**ASKED, "model": "dall-e-3", "stream": True})
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: {")]
    assert {json.loads(line)["model"] for line in lines} == {"dall-e-3"}
    assert json.loads(lines[-1])["limner"]["model"] == "dalle"


async def test_so_does_every_event_of_a_response(client: httpx2.AsyncClient) -> None:
    reply = await client.post(RESPONSES, json={**TOLD, "model": "dall-e-3", "stream": True})
    events = [json.loads(line.removeprefix("data: ")) for line in reply.text.splitlines() if line.startswith("data: {")]
    assert {event["response"]["model"] for event in events if "response" in event} == {"dall-e-3"}
