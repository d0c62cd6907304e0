"""Conversations turn by turn, through the app on a fake backend: what runs on which model, and answers in words."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from limner.api.app import create_app
from limner.config import Settings
from limner.core import Operation
from limner.errors import UpstreamFailed
from tests.api.test_chat import BLUE, GREEN, RED, png
from tests.chat.scripted import ScriptedModel, call, calls, words
from tests.fakes import FakeBackend, opener

URL = "/v1/chat/completions"
GEMINI = "/v1beta/models/limner%2Fauto:generateContent"


@pytest.fixture
async def app(settings: Settings, backend: FakeBackend) -> AsyncIterator[FastAPI]:
    application = create_app(settings, opener(backend, "sketch", "reader", "cutout", "resample"))
    async with application.router.lifespan_context(application):
        yield application


def user(text: str, *urls: str) -> dict[str, Any]:
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": "user", "content": [{"type": "text", "text": text}, *pictures]}


def drew(url: str) -> dict[str, Any]:
    return {"role": "assistant", "content": f"![image]({url})"}


DRAWS = [{"type": "image_generation"}]
DRAWN = [user("draw a red circle"), drew(RED)]


async def said(client: httpx2.AsyncClient, *messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    reply = await client.post(URL, json={"model": "limner/auto", "messages": list(messages), **fields})
    assert reply.status_code == 200, reply.text[:500]
    body: dict[str, Any] = reply.json()
    return body


@pytest.mark.parametrize(
    ("messages", "operation", "model"),
    [
        ([user("draw a cat")], "generate", "sketch"),
        ([*DRAWN, user("make it blue")], "edit", "sketch"),
        ([*DRAWN, user("remove the background")], "remove_background", "cutout"),
        ([*DRAWN, user("make the circle blue")], "region_edit", "sketch"),
        ([*DRAWN, user("extend left")], "outpaint", "sketch"),
        ([*DRAWN, user("upscale it 2x")], "upscale", "resample"),
        ([*DRAWN, user("what is in the picture?")], "describe", "reader"),
        ([*DRAWN, user("now draw a dog")], "generate", "sketch"),
    ],
)
async def test_a_turn_goes_to_the_model_that_does_it(
    client: httpx2.AsyncClient, backend: FakeBackend, messages: list[dict[str, Any]], operation: str, model: str
) -> None:
    body = await said(client, *messages)
    limner = body["limner"]
    assert (limner["operation"], limner["model"], body["model"]) == (operation, model, model)
    assert limner["reason"]
    assert backend.requests[-1].operation == operation
    if operation == "outpaint":
        assert backend.requests[-1].params["left"] == 256
    if operation == "upscale":
        assert backend.requests[-1].params["scale"] == "2"
        assert str(backend.requests[-1].size) == "128x128"
    if operation == "region_edit":
        assert backend.requests[-1].params["region"] == "the circle"


async def test_words_where_nothing_is_to_be_drawn(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    for text in ("hello", "what can you do?", "make it blue", "describe this picture"):
        body = await said(client, user(text))
        message = body["choices"][0]["message"]
        assert isinstance(message["content"], str)
        assert message["content"]
        assert "images" not in message
        assert (body["limner"]["operation"], body["limner"]["job_id"]) == (None, None)
        assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"] > 0
    assert backend.requests == []


async def test_a_question_is_answered_with_what_was_said_before(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    system = {"role": "system", "content": "Be brief."}
    body = await said(client, system, *DRAWN, user("what is in it?"), max_tokens=99, temperature=0.5)
    assert body["choices"][0]["message"]["content"] == "A red circle."
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (80, 4)
    (request,) = backend.requests
    assert [(one.role, one.text) for one in request.history] == [
        ("system", "Be brief."),
        ("user", "draw a red circle"),
        ("assistant", "(a picture)"),
    ]
    assert [picture.pixels[:3] for picture in request.inputs] == [b"\xff\x00\x00"]
    job = (await client.get(f"/v1/jobs/{body['limner']['job_id']}")).json()
    assert (job["operation"], job["result"]["text"]) == ("describe", "A red circle.")


async def test_an_answer_streams_word_by_word(client: httpx2.AsyncClient) -> None:
    body = {"model": "limner/auto", "messages": [*DRAWN, user("what is in it?")], "stream": True}
    lines = (await client.post(URL, json=body)).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    deltas = [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta for delta in deltas if delta) == "A red circle."
    assert deltas.count(" red") == 1
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    assert lines[-2] == "data: [DONE]"


async def test_a_reply_in_words_streams_as_well(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = {"model": "limner/auto", "messages": [user("hello")], "stream": True}
    text = (await client.post(URL, json=body)).text
    assert '"content":"Hello!' in text
    assert text.endswith("data: [DONE]\n\n")
    assert backend.requests == []


@pytest.mark.parametrize("modalities", [["image"], ["image", "text"]])
async def test_where_the_reply_has_to_be_a_picture_it_is_one(
    client: httpx2.AsyncClient, backend: FakeBackend, modalities: list[str]
) -> None:
    body = await said(client, user("hello"), modalities=modalities)
    assert (body["limner"]["operation"] is None) == ("text" in modalities)
    drawn = ["hello"] if modalities == ["image"] else []
    assert [request.prompt for request in backend.requests] == drawn


async def test_words_only(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = await said(client, user("make it blue", RED), modalities=["text"])
    assert "images" not in body["choices"][0]["message"]
    refused = await said(client, user("draw a cat"), modalities=["text"])
    assert "in words only" in refused["choices"][0]["message"]["content"]
    assert all(request.operation is Operation.DESCRIBE for request in backend.requests)


async def test_a_picture_marked_as_a_mask(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    await said(client, user("put a blue star here", GREEN), mask=png((255, 255, 255)))
    assert backend.requests[-1].operation is Operation.INPAINT
    assert backend.requests[-1].mask is not None


async def test_several_pictures_go_together(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    await said(client, user("put the character from image 1 in the outfit from image 2", RED, BLUE))
    assert [picture.pixels[:3] for picture in backend.requests[-1].inputs] == [b"\xff\x00\x00", b"\x00\x00\xff"]
    many = await said(client, user("combine all of them", *([RED, GREEN, BLUE] * 5)))
    assert many["limner"]["operation"] is None  # 3 different ones, and sketch takes two
    assert "2" in many["choices"][0]["message"]["content"]


async def test_fields_that_the_chosen_operation_lacks_are_told(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    body = await said(client, *DRAWN, user("remove the background"), num_inference_steps=8, size="512x512")
    assert {warning["param"] for warning in body["limner"]["warnings"]} == {"num_inference_steps", "size"}
    assert "num_inference_steps" not in backend.requests[-1].params


async def test_a_name_that_says_what_is_to_be_done(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    await said(client, *DRAWN, user("a sticker, please"), model="protolabs/qwen-image-bgremove")
    assert backend.requests[-1].operation is Operation.REMOVE_BACKGROUND
    answer = await said(client, *DRAWN, user("hm"), model="reader")
    assert answer["choices"][0]["message"]["content"] == "A red circle."


async def test_a_long_history_is_bounded(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    turns: list[dict[str, Any]] = []
    for index in range(30):
        turns += [user(f"draw a thing, number {index}"), {"role": "assistant", "content": f"![]({RED}) ![]({GREEN})"}]
    await said(client, *turns, user("make it blue"))
    assert len(backend.requests[-1].inputs) == 1
    await said(client, *turns, user("x " * 10_000), user("what is in it?"))
    assert sum(len(one.text) for one in backend.requests[-1].history) <= 32_000


TASKS = {
    "title": '### Task:\nGenerate a concise title.\nJSON format: { "title": "..." }\nUSER: draw a red circle',
    "tags": '### Task:\nGenerate 1-3 broad tags.\nJSON format: { "tags": ["tag1"] }\nUSER: draw a red circle',
    "follow_ups": '### Task:\nPredict 3-5 useful messages.\nJSON format: { "follow_ups": ["..."] }',
    "queries": '### Task:\nAnalyze the chat history.\nJSON format: { "queries": ["..."] }',
}


@pytest.mark.parametrize("model", ["sketch", "reader", "limner/auto", "protolabs/qwen-image-bgremove"])
@pytest.mark.parametrize("task", list(TASKS))
async def test_what_a_client_asks_for_itself_is_never_drawn(
    client: httpx2.AsyncClient, backend: FakeBackend, model: str, task: str
) -> None:
    body = await said(client, user(TASKS[task]), model=model, seed=3, max_completion_tokens=1000)
    assert list(json.loads(body["choices"][0]["message"]["content"])) == [task]
    assert (body["model"], body["limner"]["operation"]) == (model, None)
    assert body["usage"]["prompt_tokens"] > 5
    assert backend.requests == []


async def test_who_says_how_to_draw_is_no_client_that_wants_a_title(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    await said(client, user(TASKS["title"]), model="sketch", modalities=["image"])
    await said(client, user(TASKS["title"]), model="sketch", size="512x512")
    documents = "### Task:\nRespond to the user query using the provided context.\n<context>x</context>\n"
    await said(client, user(documents + "draw a red circle"), model="sketch")
    assert len(backend.requests) == 3
    await said(client, user(documents + "draw a red circle"))
    assert backend.requests[-1].prompt == "draw a red circle"


@pytest.mark.parametrize("model", ["limner/auto", "sketch"])
@pytest.mark.parametrize("drawn", ["created by the system successfully", "edited and created"])
async def test_what_the_client_had_drawn_elsewhere_is_not_drawn_again(
    client: httpx2.AsyncClient, backend: FakeBackend, model: str, drawn: str
) -> None:
    told = {"role": "system", "content": f"<context>The requested image has been {drawn} and is now shown.</context>"}
    body = await said(client, told, user("draw a red circle"), model=model)
    assert body["choices"][0]["message"]["content"] == "Here it is."
    assert backend.requests == []


async def test_a_picture_is_found_again_behind_a_clients_own_address(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    drawn = (await said(client, user("draw a red circle")))["choices"][0]["message"]["content"]
    alt = drawn.partition("](")[0]
    moved = {"role": "assistant", "content": f"{alt}](/api/v1/files/1b9d6bcd-bbfd/content)"}
    await said(client, user("draw a red circle"), moved, user("make it blue"))
    assert (backend.requests[-1].operation, len(backend.requests[-1].inputs)) == (Operation.EDIT, 1)


async def test_a_question_beside_a_list_of_files(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    listed = '<attached_files>\n<file type="image" id="1b9d" url="1b9d" name="cat.png"/>\n</attached_files>\n\n'
    asked = user("What is in this picture?", RED)
    asked["content"].insert(0, {"type": "text", "text": listed})
    body = await said(client, asked)
    assert body["limner"]["operation"] == "describe"
    assert backend.requests[-1].prompt == "What is in this picture?"


async def test_a_page_in_place_of_a_picture(client: httpx2.AsyncClient) -> None:
    html = "data:image/png;base64,PGh0bWw+PC9odG1sPg=="
    reply = await client.post(URL, json={"model": "limner/auto", "messages": [user("make it blue", html)]})
    assert (reply.status_code, reply.json()["error"]["param"]) == (415, "messages[0].content[1]")


async def test_gemini_answers_in_words(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    data = {"inlineData": {"mimeType": "image/png", "data": RED.partition(",")[2]}}
    asked = {
        "contents": [{"role": "user", "parts": [{"text": "what is in this picture?"}, data]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"maxOutputTokens": 50, "topK": 3},
    }
    body = (await client.post(GEMINI, json=asked)).json()
    assert body["candidates"][0]["content"]["parts"] == [{"text": "A red circle."}]
    assert body["usageMetadata"]["candidatesTokenCount"] == 4
    assert [warning["param"] for warning in body["limner"]["warnings"]] == ["generationConfig.topK", "max_tokens"]
    assert backend.requests[-1].history[0].text == "Be brief."
    hello = (await client.post(GEMINI, json={"contents": {"parts": [{"text": "hello"}]}})).json()
    assert hello["candidates"][0]["content"]["parts"][0]["text"].startswith("Hello!")
    stream = await client.post(GEMINI.replace("generate", "streamGenerate"), params={"alt": "sse"}, json=asked)
    pieces = [json.loads(line.removeprefix("data: ")) for line in stream.text.split("\r\n\r\n") if line]
    texts = [part["text"] for piece in pieces for part in piece["candidates"][0]["content"]["parts"]]
    assert "".join(texts) == "A red circle."


async def test_responses_answer_in_words(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    content = [{"type": "input_text", "text": "what is in it?"}, {"type": "input_image", "image_url": RED}]
    asked = {"model": "limner/auto", "input": [{"role": "user", "content": content}], "instructions": "Be brief."}
    body = (await client.post("/v1/responses", json=asked)).json()
    (message,) = body["output"]
    assert (message["type"], message["content"][0]["text"]) == ("message", "A red circle.")
    assert body["usage"]["output_tokens"] == 4
    assert backend.requests[-1].history[0].text == "Be brief."
    next_one = {"model": "limner/auto", "input": "hello", "previous_response_id": body["id"]}
    hello = (await client.post("/v1/responses", json=next_one)).json()
    assert hello["output"][0]["content"][0]["text"].startswith("Hello!")
    assert hello["store"] is False
    for stream in ({**asked, "stream": True}, {**next_one, "stream": True}):
        text = (await client.post("/v1/responses", json=stream)).text
        names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
        assert names[:4] == [
            "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        ]  # fmt: skip
        assert names[-4:] == [
            "response.output_text.done", "response.content_part.done", "response.output_item.done",
            "response.completed",
        ]  # fmt: skip
        assert set(names[4:-4]) == {"response.output_text.delta"}
    refused = await client.post("/v1/responses", json={**asked, "model": "sketch"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tools")


@pytest.mark.parametrize(
    "text",
    ["make the circle blue", "extend left", "upscale it 2x", "remove the background", "make it blue", "what is in it?"],
)
async def test_responses_draw_anew_what_the_words_would_change(
    client: httpx2.AsyncClient, backend: FakeBackend, text: str
) -> None:
    """Where the tool's action says so, whatever routing makes of the words."""
    content = [{"type": "input_text", "text": text}, {"type": "input_image", "image_url": RED}]
    tool = {**DRAWS[0], "action": "generate", "input_image_mask": {"image_url": png((255, 255, 255))}}
    for tools in ([{**DRAWS[0], "action": "generate"}], [tool]):
        asked = {"model": "limner/auto", "input": [{"role": "user", "content": content}], "tools": tools}
        reply = await client.post("/v1/responses", json=asked)
        assert reply.status_code == 200, reply.text
        request = backend.requests[-1]
        assert (request.operation, request.model, request.prompt) == (Operation.GENERATE, "sketch", text)
        assert (request.inputs, request.mask) == ((), None)
        ignored = [warning["param"] for warning in reply.json()["limner"]["warnings"]]
        assert ignored == ["input", *(["tools[0].input_image_mask"] if "input_image_mask" in tools[0] else [])]


async def test_a_name_that_does_not_draw_anew_is_refused_for_it(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    content = [{"type": "input_text", "text": "larger"}, {"type": "input_image", "image_url": RED}]
    asked = {"input": [{"role": "user", "content": content}], "tools": [{**DRAWS[0], "action": "generate"}]}
    for model in ("resample", "limner/upscale"):
        refused = await client.post("/v1/responses", json={**asked, "model": model})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "operation"), refused.text
        assert "resample cannot generate" in refused.json()["error"]["message"]
    assert backend.requests == []


CHAIN = (
    calls(call("remove_background", "call00001", image=1)),
    calls(call("edit_image", "call00002", image=2, instruction="put a sunset behind it")),
    words("Done: a sunset is behind it now."),
)


async def with_language(app: FastAPI, *lines: Any) -> ScriptedModel:
    model = ScriptedModel(lines)
    app.state.gateway.service.language = model
    return model


async def test_a_language_model_chains_operations(
    app: FastAPI, client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    model = await with_language(app, *CHAIN)
    body = await said(client, *DRAWN, user("remove the background, then put a sunset behind"))
    assert [request.operation for request in backend.requests] == [Operation.REMOVE_BACKGROUND, Operation.EDIT]
    content = body["choices"][0]["message"]["content"]
    assert content.startswith("Done: a sunset is behind it now.")
    assert content.count("](data:image/png") == 1
    limner = body["limner"]
    assert [step["operation"] for step in limner["steps"]] == ["remove_background", "edit"]
    assert limner["rounds"] == 3
    assert body["usage"]["completion_tokens_details"]["image_tokens"] > 0
    assert "data:" not in json.dumps(model.heard)


async def test_the_size_that_a_language_model_asks_for_is_drawn(
    app: FastAPI, client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    sized = calls(call("generate_image", "call00001", prompt="a tower", size="128x256"))
    shaped = calls(call("generate_image", "call00002", prompt="a tower", aspect_ratio="16:9"))
    await with_language(app, sized, shaped, words("Here."))
    await said(client, user("two towers, please"))
    exact, wide = (request.size for request in backend.requests)
    assert str(exact) == "128x256"
    assert wide is not None
    assert wide.width_px > 1.5 * wide.height_px


async def test_a_language_model_may_ask_back_and_stream(app: FastAPI, client: httpx2.AsyncClient) -> None:
    await with_language(app, words("Which colour would you like?"))
    body = {"model": "limner/auto", "messages": [user("draw a car")], "stream": True}
    text = (await client.post(URL, json=body)).text
    assert "Which colour would you like?" in text
    assert text.endswith("data: [DONE]\n\n")


async def test_without_its_language_model_plain_rules_decide(
    app: FastAPI, client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    await with_language(app, UpstreamFailed("it is away"))
    body = await said(client, *DRAWN, user("make it blue"))
    assert backend.requests[-1].operation is Operation.EDIT
    assert "it is away" in body["limner"]["warnings"][-1]["message"]


async def test_a_led_answer_has_one_place_in_the_queue(settings: Settings, backend: FakeBackend) -> None:
    """Its calls need no further ones, or the last few answers would keep each other from every picture."""
    backend.delay_s = 0.02
    application = create_app(settings.model_copy(update={"queue_limit": 1}), opener(backend, "sketch", "cutout"))
    async with application.router.lifespan_context(application):
        both = (call("generate_image", f"call0000{number}", prompt="a tower") for number in range(2))
        await with_language(application, calls(*both), words("Here."))
        transport = httpx2.ASGITransport(app=application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as http:
            body = await said(http, user("two towers, please"))
            assert body["choices"][0]["message"]["content"].startswith("Here.")
            assert len(body["limner"]["steps"]) == 2
            streamed = {"model": "limner/auto", "messages": [user("another")], "stream": True}
            await with_language(application, calls(call("generate_image", "call00001", prompt="x")), words("There."))
            assert "data:image/png" in (await http.post(URL, json=streamed)).text


async def test_what_only_a_single_job_can_do_is_refused(app: FastAPI, client: httpx2.AsyncClient) -> None:
    await with_language(app, words("x"))
    body = {"model": "limner/auto", "messages": [user("draw a car")]}
    refused = await client.post(URL, json=body, headers={"Idempotency-Key": "k"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "model")
    named = await client.post(URL, json={**body, "model": "sketch"}, headers={"Idempotency-Key": "k"})
    assert named.status_code == 200


def test_the_data_of_conversations_is_packaged() -> None:
    import limner.chat

    folder = Path(limner.chat.__file__).parent
    assert {"words.toml", "rewriting.toml"} <= {path.name for path in folder.iterdir()}


async def test_responses_go_on_from_one_another(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    """A question in between does not hide the picture that it was about."""
    previous = None
    for words_said in ("draw a red circle", "what is in it?", "make it blue"):
        asked = {"model": "limner/auto", "input": words_said, "previous_response_id": previous, "tools": DRAWS}
        body = (await client.post("/v1/responses", json=asked)).json()
        previous = body["id"]
    assert [request.operation for request in backend.requests] == ["generate", "describe", "edit"]
    assert len(backend.requests[-1].inputs) == 1


async def test_what_came_with_a_response_is_there_for_the_next(
    client: httpx2.AsyncClient, backend: FakeBackend, app: FastAPI
) -> None:
    """A picture that was asked about can be edited then, by its id alone, unless it was not to be stored."""
    parts = [{"type": "input_text", "text": "what is in it?"}, {"type": "input_image", "image_url": BLUE}]
    asked = {"model": "limner/auto", "input": [{"role": "user", "content": parts}], "tools": DRAWS}
    for store in (False, None):
        told = (await client.post("/v1/responses", json={**asked, "store": store})).json()
        assert told["store"] is (store is not False)
        assert [warning["param"] for warning in told["limner"]["warnings"]] == ["store"] * (store is False)
        await app.state.gateway.service.sweep()
        after = {**asked, "input": "make it red", "previous_response_id": told["id"]}
        done = await client.post("/v1/responses", json=after)
        assert done.status_code == 200, done.text
        assert [one.operation for one in backend.requests].count(Operation.EDIT) == (store is None)
    assert backend.requests[-1].inputs[0].pixels[:3] == b"\x00\x00\xff"


async def test_what_came_with_a_response_is_forgotten_after_its_time(
    client: httpx2.AsyncClient, backend: FakeBackend, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turns after it go on without it, with what is there."""
    asked = {"model": "limner/auto", "tools": DRAWS}

    async def show(url: str, previous: str | None) -> str:
        parts = [{"type": "input_text", "text": "what is in it?"}, {"type": "input_image", "image_url": url}]
        body = {**asked, "input": [{"role": "user", "content": parts}], "previous_response_id": previous}
        told: str = (await client.post("/v1/responses", json=body)).json()["id"]
        return told

    first = await show(BLUE, None)
    later_s = time.time() + app.state.gateway.settings.keep_images_s
    monkeypatch.setattr(time, "time", lambda: later_s)
    await app.state.gateway.service.sweep()
    second = await show(RED, first)
    body = {**asked, "input": "compare the two pictures", "previous_response_id": second}
    reply = await client.post("/v1/responses", json=body)
    assert reply.status_code == 200, reply.text
    assert [picture.pixels[:3] for picture in backend.requests[-1].inputs] == [b"\xff\x00\x00"]


async def test_words_alone_cost_nothing(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    hello = {"model": "limner/auto", "messages": [user("hello")]}
    estimate = (await client.post(URL, json=hello, params={"estimate": "true"})).json()
    assert (estimate["object"], estimate["cost"]["credits"]) == ("estimate", 0)
    refused = await client.post(URL, json=hello, headers={"Idempotency-Key": "two words"})
    assert refused.status_code == 400
    counted = (await client.post(GEMINI.replace("generateContent", "countTokens"), json=gemini("hello"))).json()
    assert counted["totalTokens"] == 2


def gemini(text: str) -> dict[str, Any]:
    return {"contents": [{"parts": [{"text": text}]}]}


async def test_several_answers_are_one(client: httpx2.AsyncClient) -> None:
    body = await said(client, *DRAWN, user("what is in it?"), n=3)
    assert [warning["param"] for warning in body["limner"]["warnings"]] == ["n"]


async def test_the_servers_own_links_are_read_by_every_route(client: httpx2.AsyncClient) -> None:
    made = (await client.post("/v1/images/generations", json={"prompt": "x", "response_format": "url"})).json()
    (link,) = (picture["url"] for picture in made["data"])
    for source in (link, made["limner"]["files"][0]):
        reply = await client.post("/v1/images/describe", json={"image": source})
        assert reply.json()["text"] == "A red circle."
        job = {"operation": "remove_background", "image": source}
        assert (await client.post("/v1/jobs", json=job)).status_code == 202
    caption = await client.post("/sdapi/v1/interrogate", json={"image": RED.partition(",")[2]})
    assert caption.json() == {"caption": "A red circle."}
    listed = [one["title"] for one in (await client.get("/sdapi/v1/sd-models")).json()]
    assert listed == ["sketch"]


BLUE_AND_LARGE = "make it blue, 4000x3000"


@pytest.mark.parametrize("dialect", ["chat", "responses", "gemini", "agent"])
async def test_a_size_in_words_that_cannot_be_drawn_is_told(
    app: FastAPI, client: httpx2.AsyncClient, backend: FakeBackend, dialect: str
) -> None:
    parts = [{"type": "input_text", "text": BLUE_AND_LARGE}, {"type": "input_image", "image_url": RED}]
    part = {"inlineData": {"mimeType": "image/png", "data": RED.partition(",")[2]}}
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "chat": (URL, {"messages": [*DRAWN, user(BLUE_AND_LARGE)]}),
        "responses": ("/v1/responses", {"input": [{"role": "user", "content": parts}], "tools": DRAWS}),
        "gemini": (GEMINI, {"contents": [{"parts": [{"text": BLUE_AND_LARGE}, part]}]}),
        "agent": (URL, {"messages": [user("a tower, as large as you can")]}),
    }
    if dialect == "agent":
        sized = calls(call("generate_image", "call00001", prompt="a tower", size="4000x3000"))
        await with_language(app, sized, words("Here."))
    url, body = asked[dialect]
    reply = await client.post(url, json=body if dialect == "gemini" else {"model": "limner/auto", **body})
    assert reply.status_code == 200, reply.text[:500]
    told = [one for one in reply.json()["limner"]["warnings"] if "4000x3000" in one["message"]]
    assert [(one["param"], one["code"]) for one in told] == [("size", "adjusted")]
    assert str(backend.requests[-1].size) in told[0]["message"]


async def test_a_tier_beside_proportions_in_words(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    await said(client, *DRAWN, user("make it blue, 16:9"), image_config={"image_size": "2K"})
    assert str(backend.requests[-1].size) == "512x352"
    await said(client, *DRAWN, user("make it blue"), image_config={"image_size": "2K"})
    assert str(backend.requests[-1].size) == "512x512"
