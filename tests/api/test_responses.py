"""POST /v1/responses with the image_generation tool, through the app, on a fake backend."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from PIL import Image

from limner.api.calls import Call
from limner.api.responses.fields import read_response
from limner.core import Operation
from limner.errors import UpstreamFailed
from limner.jobs import JobEvent
from tests.api.test_chat import BLUE, RED, first_colors, png
from tests.fakes import FakeBackend

URL = "/v1/responses"
TOOL = {"type": "image_generation"}
ASKED: dict[str, Any] = {"model": "sketch", "input": "a red circle", "tools": [TOOL]}


def tool(**fields: Any) -> list[dict[str, Any]]:
    return [{**TOOL, **fields}]


def shows(*urls: str, text: str = "make it blue") -> list[dict[str, Any]]:
    pictures = [{"type": "input_image", "image_url": url} for url in urls]
    return [{"role": "user", "content": [{"type": "input_text", "text": text}, *pictures]}]


def opened(b64: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(b64)))


def events_of(text: str) -> list[dict[str, Any]]:
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("event: ")]
    events = [json.loads(data.removeprefix("data: ")) for _, data in blocks]
    assert [name.removeprefix("event: ") for name, _ in blocks] == [event["type"] for event in events]
    return events


async def shown_as(client: httpx2.AsyncClient, where: str, status: str) -> dict[str, Any]:
    for _ in range(1000):
        body: dict[str, Any] = (await client.get(where)).json()
        if body["status"] == status:
            return body
        await asyncio.sleep(0.01)
    raise AssertionError(f"never {status}: {body}")


async def test_a_prompt_gets_a_call_with_its_picture(client: httpx2.AsyncClient) -> None:
    reply = await client.post(URL, json={**ASKED, "metadata": {"who": "me"}})
    assert reply.status_code == 200, reply.text
    body = reply.json()
    (made,) = body["output"]
    assert opened(made.pop("result")).size == (256, 256)
    job = body["limner"]["job_id"].removeprefix("job_")
    assert made == {
        "id": f"ig_{job}_0",
        "type": "image_generation_call",
        "status": "completed",
        "action": "generate",
        "background": "opaque",
        "output_format": "png",
        "quality": "auto",
        "size": "256x256",
    }
    assert (body["id"], body["object"], body["status"], body["model"]) == (
        f"resp_{job}",
        "response",
        "completed",
        "sketch",
    )
    assert body["metadata"] == {"who": "me"}
    assert body["tools"] == [TOOL]
    assert body["error"] is None
    assert body["usage"]["total_tokens"] == body["usage"]["input_tokens"] + body["usage"]["output_tokens"]
    assert body["limner"]["reason"] == "no picture in the conversation"
    assert reply.headers["x-limner-job"] == body["limner"]["job_id"]


async def test_the_tools_fields_and_the_models_own(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    fields = tool(size="128x192", output_format="webp", output_compression=80, n=2, seed=4, num_inference_steps=3)
    body = (await client.post(URL, json={**ASKED, "tools": fields, "negative_prompt": "red"})).json()
    assert [opened(made["result"]).format for made in body["output"]] == ["WEBP", "WEBP"]
    request = backend.requests[-1]
    assert (request.n, request.seed, str(request.size)) == (2, 4, "128x192")
    assert request.params["num_inference_steps"] == 3
    assert request.params["negative_prompt"] == "red"


async def test_the_tools_model_is_the_one_that_draws(client: httpx2.AsyncClient) -> None:
    asked = {**ASKED, "model": "some-language-model", "tools": tool(model="Qwen/Qwen-Image", num_inference_steps=1)}
    assert (await client.post(URL, json=asked)).json()["model"] == "Qwen/Qwen-Image"
    unknown = await client.post(URL, json={**ASKED, "model": "some-language-model"})
    assert unknown.status_code == 404


async def test_pictures_in_the_input_are_edited(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = (await client.post(URL, json={**ASKED, "input": shows(RED, BLUE)})).json()
    assert body["output"][0]["action"] == "edit"
    assert first_colors(backend) == [b"\xff\x00\x00", b"\x00\x00\xff"]
    assert backend.requests[-1].prompt == "make it blue"


async def test_a_mask_makes_it_an_inpaint(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    mask = {"image_url": png((255, 255, 255))}
    reply = await client.post(URL, json={**ASKED, "input": shows(RED), "tools": tool(input_image_mask=mask)})
    assert reply.status_code == 200, reply.text
    assert backend.requests[-1].operation is Operation.INPAINT


async def test_the_action_is_honoured(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    anew = await client.post(URL, json={**ASKED, "input": shows(RED), "tools": tool(action="generate")})
    assert backend.requests[-1].operation is Operation.GENERATE
    assert [warning["param"] for warning in anew.json()["limner"]["warnings"]] == ["input"]
    edit = await client.post(URL, json={**ASKED, "tools": tool(action="edit")})
    assert (edit.status_code, edit.json()["error"]["param"]) == (400, "input")


async def test_the_turn_before_is_edited(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    first = (await client.post(URL, json={**ASKED, "tools": tool(seed=1)})).json()
    (made,) = first["output"]
    by_id = {"previous_response_id": first["id"], "input": "now make it blue"}
    with_result = {"input": [*shows(text="a red circle"), made, *shows(text="now make it blue")]}
    with_id = {"input": [{"type": "image_generation_call", "id": made["id"]}, *shows(text="now make it blue")]}
    reference = {"input": [{"type": "item_reference", "id": made["id"]}, *shows(text="now make it blue")]}
    kept = {"type": "input_image", "file_id": first["limner"]["files"][0]}
    by_file = {"input": [{"role": "user", "content": [kept, {"type": "input_text", "text": "now make it blue"}]}]}
    seen = []
    for again in (by_id, with_result, with_id, reference, by_file):
        reply = await client.post(URL, json={**ASKED, **again})
        assert reply.status_code == 200, reply.text
        assert backend.requests[-1].operation is Operation.EDIT
        assert backend.requests[-1].prompt == "now make it blue"
        seen += first_colors(backend)
    assert len(set(seen)) == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["x"]}, "input[0].type"),
        ({"input": [{"type": "robot"}]}, "input[0].type"),
        ({"input": [{"type": "image_generation_call", "id": "ig_elsewhere"}]}, "input[0].id"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0].type"),
        ({"input": shows("http://127.0.0.1:9/x.png")}, "input[0].content[1]"),
        ({"input": " "}, "prompt"),
        ({"tools": None}, "tools"),
        ({"tools": []}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [TOOL, TOOL]}, "tools"),
        ({"tools": tool(partial_images=4)}, "tools[0].partial_images"),
        ({"tools": tool(action="paint")}, "tools[0].action"),
        ({"tools": tool(input_image_mask={"uri": "x"})}, "tools[0].input_image_mask"),
        ({"tools": tool(output_format="gif")}, "output_format"),
        ({"tools": tool(size="huge")}, "size"),
        ({"tools": tool(frame_count=3)}, "frame_count"),
        ({"tools": tool(seed=1), "seed": 2}, "seed"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"tool_choice": "none"}, "tool_choice"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "tools": 1}}, "tool_choice"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"stream": True, "background": True}, "stream"),
        ({"stream": "yes"}, "stream"),
        ({"metadata": {"a": 1}}, "metadata.a"),
    ],
)
async def test_a_bad_value_is_refused_by_name(
    client: httpx2.AsyncClient, backend: FakeBackend, fields: dict[str, Any], param: str
) -> None:
    reply = await client.post(URL, json={**ASKED, **fields})
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["param"] == param
    assert backend.requests == []


async def test_a_choice_that_names_the_tool_is_taken_whatever_stands_beside(client: httpx2.AsyncClient) -> None:
    reply = await client.post(URL, json={**ASKED, "tool_choice": {**TOOL, "tools": 1}})
    assert reply.status_code == 200, reply.text


async def test_what_the_sdk_may_send_beside_is_taken_and_told(client: httpx2.AsyncClient) -> None:
    beside = {"instructions": "be brief", "temperature": 1, "store": True, "truncation": "disabled", "user": "me"}
    tools = [*tool(quality="high", moderation="auto"), {"type": "web_search"}]
    choice = {"type": "image_generation"}
    body = (await client.post(URL, json={**ASKED, **beside, "tools": tools, "tool_choice": choice})).json()
    assert {warning["param"] for warning in body["limner"]["warnings"]} == {
        "instructions", "temperature", "tools", "quality",
    }  # fmt: skip
    assert (body["instructions"], body["tool_choice"], body["user"]) == ("be brief", choice, "me")


async def test_the_stream_tells_of_every_step(client: httpx2.AsyncClient) -> None:
    asked = {**ASKED, "stream": True, "tools": tool(partial_images=2, num_inference_steps=3)}
    text = (await client.post(URL, json=asked)).text
    events = events_of(text)
    call = "response.image_generation_call"
    assert [event["type"] for event in events] == [
        "response.created", "response.in_progress", "response.output_item.added", f"{call}.in_progress",
        f"{call}.generating", f"{call}.partial_image", f"{call}.partial_image", f"{call}.completed",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    partial, done, last = events[5], events[-2], events[-1]
    assert opened(partial["partial_image_b64"]).size == (256, 256)
    assert (partial["partial_image_index"], partial["output_index"], partial["output_format"]) == (0, 0, "png")
    item_id = done["item"]["id"]
    assert {event["item_id"] for event in events if "item_id" in event} == {item_id}
    assert events[2]["item"] == {**done["item"], "status": "in_progress", "result": None}
    assert opened(done["item"]["result"]).size == (256, 256)
    assert last["response"]["output"] == [done["item"]]
    assert last["response"]["status"] == "completed"
    assert last["response"]["limner"]["effective"]["num_inference_steps"] == 3
    assert [line for line in text.splitlines() if line.startswith(":")][-1] == ": progress 3/3"


async def test_a_stream_that_fails_says_so_last(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.error = UpstreamFailed("it broke")
    last = events_of((await client.post(URL, json={**ASKED, "stream": True})).text)[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"] == {"code": "upstream_failed", "message": "it broke"}
    assert last["response"]["status"] == "failed"


async def test_a_response_can_be_made_in_the_background(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.delay_s = 0.01
    begun = await client.post(URL, json={**ASKED, "background": True})
    assert begun.status_code == 200
    assert begun.json()["status"] in ("queued", "in_progress")
    assert begun.json()["background"] is True
    where = f"{URL}/{begun.json()['id']}"
    body = await shown_as(client, where, "completed")
    assert opened(body["output"][0]["result"]).size == (256, 256)
    assert (await client.post(f"{where}/cancel")).json()["status"] == "completed"


async def test_pictures_keep_their_ids_when_one_of_them_is_deleted(client: httpx2.AsyncClient) -> None:
    made = (await client.post(URL, json={**ASKED, "tools": tool(n=3)})).json()
    kept = made["output"][1:]
    assert (await client.delete(f"/v1/files/{made['limner']['files'][0]}")).status_code == 204
    left = (await client.get(f"{URL}/{made['id']}")).json()["output"]
    assert [(one["id"], one["result"]) for one in left] == [(one["id"], one["result"]) for one in kept]


async def test_a_stream_keeps_the_ids_of_its_pictures(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is deleted before the end leaves the others in their places."""

    async def events(call: Call) -> AsyncIterator[JobEvent]:
        outcome = await call.outcome()
        yield replace(outcome, pictures=outcome.pictures[1:])

    monkeypatch.setattr(Call, "events", events)
    stream = await client.post(URL, json={**ASKED, "tools": tool(n=2), "stream": True})
    told = events_of(stream.text)
    added = [event for event in told if event["type"] == "response.output_item.added"]
    (done,) = [event for event in told if event["type"] == "response.output_item.done"]
    (completed,) = [event for event in told if event["type"] == "response.image_generation_call.completed"]
    (item,) = told[-1]["response"]["output"]
    assert done["output_index"] == completed["output_index"] == 1
    assert done["item"]["id"] == completed["item_id"] == item["id"] == added[1]["item"]["id"]


async def test_a_response_can_be_cancelled(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.delay_s = 5
    begun = (await client.post(URL, json={**ASKED, "background": True})).json()
    cancelled = await client.post(f"{URL}/{begun['id']}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    assert (await client.get(f"{URL}/{begun['id']}")).json()["status"] == "cancelled"


@pytest.mark.parametrize(("query", "status"), [("stream=true", 400), ("stream=false", 200), ("", 200)])
async def test_a_response_comes_whole_when_it_is_asked_for_again(
    client: httpx2.AsyncClient, query: str, status: int
) -> None:
    begun = (await client.post(URL, json={**ASKED, "background": True})).json()
    reply = await client.get(f"{URL}/{begun['id']}?{query}")
    assert (reply.status_code, reply.json().get("detail", "").count("/events")) == (status, int(status == 400))


async def test_a_failed_response_says_why(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.error = UpstreamFailed("it broke")
    begun = (await client.post(URL, json={**ASKED, "background": True})).json()
    body = await shown_as(client, f"{URL}/{begun['id']}", "failed")
    assert body["error"] == {"code": "upstream_failed", "message": "it broke"}
    direct = await client.post(URL, json=ASKED)
    assert (direct.status_code, direct.json()["error"]["message"]) == (502, "it broke")


async def test_an_unknown_response_is_not_found(client: httpx2.AsyncClient) -> None:
    for reply in (await client.get(f"{URL}/resp_none"), await client.post(f"{URL}/resp_none/cancel")):
        assert (reply.status_code, reply.json()["error"]["param"]) == (404, "response_id")
    again = await client.post(URL, json={**ASKED, "previous_response_id": "resp_none"})
    assert (again.status_code, again.json()["error"]["param"]) == (404, "previous_response_id")


@pytest.mark.parametrize(("mode", "modalities"), [("auto", None), ("required", {"image"})])
def test_allowed_tools_demand_a_picture_only_where_they_say_so(mode: str, modalities: set[str] | None) -> None:
    choice = {"type": "allowed_tools", "mode": mode, "tools": [TOOL]}
    assert read_response({**ASKED, "tool_choice": choice}).modalities == modalities


async def test_partial_pictures_without_a_stream_are_told(client: httpx2.AsyncClient) -> None:
    body = (await client.post(URL, json={**ASKED, "tools": tool(partial_images=2)})).json()
    assert [(told["param"], told["code"]) for told in body["limner"]["warnings"]] == [
        ("tools[0].partial_images", "ignored")
    ]


async def test_what_cannot_be_streamed_is_called_as_it_was_sent(client: httpx2.AsyncClient) -> None:
    reply = await client.post(URL, json={**ASKED, "stream": True, "background": True})
    assert "'background'" in reply.json()["error"]["message"]
    assert "Prefer" not in reply.json()["error"]["message"]
