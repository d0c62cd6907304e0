"""An edit of something that is not in the picture: a question back where people converse, a 400 everywhere else."""

import json
from typing import Any

import httpx2
import pytest

from limner.errors import RegionIsAll, RegionNotFound
from tests.api.test_chat import RED, first_colors
from tests.api.test_chat_turns import DRAWN, GEMINI, said, user
from tests.api.test_chat_turns import app as app  # a fixture
from tests.fakes import FakeBackend

STAR = "make the star red"
WORDS = "I cannot find “the star” in the picture"
NOTHING = "Nothing of 'the star' was found in the picture"
INPUT = [{"role": "user", "content": [{"type": "input_text", "text": STAR}, {"type": "input_image", "image_url": RED}]}]
RESPONSE: dict[str, Any] = {"model": "limner/auto", "input": INPUT, "tools": [{"type": "image_generation"}]}
PART = {"inlineData": {"mimeType": "image/png", "data": RED.partition(",")[2]}}
CONTENT: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": STAR}, PART]}]}


@pytest.fixture(autouse=True)
def _nothing_found(backend: FakeBackend) -> None:
    backend.error = RegionNotFound(NOTHING, param="region")


def events(text: str) -> list[dict[str, Any]]:
    lines = (line.removeprefix("data: ") for line in text.splitlines())
    return [json.loads(line) for line in lines if line.startswith("{")]


async def test_chat_answers_in_words_and_charges_nothing(client: httpx2.AsyncClient) -> None:
    body = await said(client, *DRAWN, user(STAR))
    assert body["choices"][0]["message"]["content"].startswith(WORDS)
    assert (body["limner"]["operation"], body["usage"]["compute_points_used"]) == ("region_edit", 0)
    assert [warning["message"] for warning in body["limner"]["warnings"]][-1] == NOTHING
    job = (await client.get(f"/v1/jobs/{body['limner']['job_id']}")).json()
    assert (job["status"], job["error"]["code"], job["cost"]["credits"]) == ("failed", "region_not_found", 0)


async def test_chat_streams_the_same_words(client: httpx2.AsyncClient) -> None:
    body = {"model": "limner/auto", "messages": [*DRAWN, user(STAR)], "stream": True}
    chunks = events((await client.post("/v1/chat/completions", json=body)).text)
    deltas = [choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]]
    assert "".join(deltas).startswith(WORDS)
    assert (chunks[-1]["choices"][0]["finish_reason"], "error" in chunks[-1]) == ("stop", False)


async def test_what_is_all_of_the_picture_is_asked_back_too(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.error = RegionIsAll("'the star' would be the whole picture", param="region")
    body = await said(client, *DRAWN, user(STAR))
    assert body["choices"][0]["message"]["content"].startswith("“the star” seems to be the whole picture")
    job = (await client.get(f"/v1/jobs/{body['limner']['job_id']}")).json()
    assert job["error"]["code"] == "region_is_all"


async def test_responses_say_it_in_a_message_after_the_call_that_failed(client: httpx2.AsyncClient) -> None:
    body = (await client.post("/v1/responses", json=RESPONSE)).json()
    assert [(one["type"], one["status"]) for one in body["output"]] == [
        ("image_generation_call", "failed"),
        ("message", "completed"),
    ]
    assert body["output"][1]["content"][0]["text"].startswith(WORDS)
    again = (await client.get(f"/v1/responses/{body['id']}")).json()
    assert (again["status"], again["output"]) == ("completed", body["output"])
    for before in ({"input": [*INPUT, *body["output"], user_input("hello")]}, {"previous_response_id": body["id"]}):
        reply = await client.post("/v1/responses", json={**RESPONSE, "input": "hello", **before})
        assert reply.json()["output"][0]["content"][0]["text"].startswith("Hello"), reply.text


async def test_the_turn_after_a_question_back_still_has_the_picture(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    asked_back = (await client.post("/v1/responses", json=RESPONSE)).json()
    backend.error = None
    after = {**RESPONSE, "input": "make it blue", "previous_response_id": asked_back["id"]}
    assert (await client.post("/v1/responses", json=after)).json()["status"] == "completed"
    assert (backend.requests[-1].operation, first_colors(backend)) == ("edit", [b"\xff\x00\x00"])


async def test_responses_stream_the_message_at_its_place(client: httpx2.AsyncClient) -> None:
    told = events((await client.post("/v1/responses", json={**RESPONSE, "stream": True})).text)
    added, done = (
        {one["output_index"]: one["item"]["type"] for one in told if one["type"] == f"response.output_item.{kind}"}
        for kind in ("added", "done")
    )
    assert added == done == {0: "image_generation_call", 1: "message"}
    assert [one["output_index"] for one in told if one["type"] == "response.output_text.delta"] == [1]
    assert told[-1]["response"]["output"][1]["content"][0]["text"].startswith(WORDS)
    assert [one["sequence_number"] for one in told] == list(range(len(told)))


async def test_gemini_says_it_whole_and_in_a_stream(client: httpx2.AsyncClient) -> None:
    whole = (await client.post(GEMINI, json=CONTENT)).json()
    [streamed] = (await client.post(GEMINI.replace(":generate", ":streamGenerate"), json=CONTENT)).json()
    for body in (whole, streamed):
        assert body["candidates"][0]["content"]["parts"][0]["text"].startswith(WORDS)


async def test_who_wants_pictures_alone_hears_of_an_error(client: httpx2.AsyncClient) -> None:
    body = {"model": "limner/auto", "messages": [*DRAWN, user(STAR)], "modalities": ["image"]}
    reply = await client.post("/v1/chat/completions", json=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "region_not_found")


@pytest.mark.parametrize("route", ["edits", "region-edit"])
async def test_the_images_api_refuses(client: httpx2.AsyncClient, route: str) -> None:
    fields = {"operation": "region_edit"} if route == "edits" else {}
    body = {**fields, "image": RED, "region": "the star", "prompt": "a red star"}
    reply = await client.post(f"/v1/images/{route}", json=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "region_not_found")
    assert reply.json()["error"]["message"] == NOTHING


def user_input(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}
