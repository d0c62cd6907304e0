"""A language model over HTTP, played by a small server on this machine."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest

from limner.chat.agent import Rules, converse
from limner.chat.language import ToolCall
from limner.chat.language_http import MAX_REPLY_BYTES, HttpLanguageModel
from limner.chat.language_raw import MAX_CALLS
from limner.chat.steps import Done
from limner.core import Tokens
from limner.errors import InvalidRequest, LimnerError, Overloaded, PolicyDeclined, UpstreamFailed, UpstreamTimeout
from tests.chat.scripted import EVERYTHING, Studio, by_rules, said

KEY = "sk-very-secret-key"
HELLO = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "generate_image", "parameters": {}}}
Answer: TypeAlias = tuple[int, dict[str, str], bytes]


def answer(message: dict[str, Any], status: int = 200, **more: Any) -> Answer:
    body = {"choices": [{"message": {"role": "assistant", **message}}], **more}
    return status, {}, json.dumps(body).encode()


def tool_call(name: str, arguments: str, call_id: str = "call_x") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@dataclass
class Upstream:
    """Answers each request with the next of ``answers``, the last one for ever."""

    answers: list[Answer]
    delay_s: float = 0.0
    drip_s: float = 0.0  # between the bytes of a body
    url: str = ""
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        self.paths.append(head[0])
        self.headers.append(headers)
        self.bodies.append(json.loads(await reader.readexactly(int(headers["content-length"]))))
        await asyncio.sleep(self.delay_s)
        status, more, body = self.answers[min(len(self.bodies), len(self.answers)) - 1]
        lines = {"content-length": str(len(body)), "connection": "close", **more}
        writer.write(f"HTTP/1.1 {status} X\r\n".encode())
        writer.write("".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode() + b"\r\n")
        if not self.drip_s:
            writer.write(body)
            body = b""
        for byte in body:
            writer.write(bytes([byte]))
            await asyncio.sleep(self.drip_s)
        await writer.drain()


@asynccontextmanager
async def serving(*answers: Answer, delay_s: float = 0.0, drip_s: float = 0.0) -> AsyncIterator[Upstream]:
    upstream = Upstream(list(answers), delay_s, drip_s)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(upstream.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield upstream
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def model_at(url: str, **options: Any) -> AsyncIterator[HttpLanguageModel]:
    model = HttpLanguageModel(url, "gpt-x", KEY, **options)
    try:
        yield model
    finally:
        await model.aclose()


async def failure(*answers: Answer, delay_s: float = 0.0, drip_s: float = 0.0, **options: Any) -> LimnerError:
    async with (
        serving(*answers, delay_s=delay_s, drip_s=drip_s) as upstream,
        model_at(upstream.url, **options) as model,
    ):
        with pytest.raises(LimnerError) as raised:
            await model.complete(HELLO, [])
    assert KEY not in raised.value.message
    return raised.value


async def test_what_is_asked_and_answered() -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    async with (
        serving(answer({"content": "Hello!"}, usage=usage)) as upstream,
        model_at(upstream.url + "/", params={"temperature": 0.2}) as model,
    ):
        turned = await model.complete(HELLO, [TOOL])
    assert (turned.text, turned.calls, turned.tokens) == ("Hello!", (), Tokens(12, 3))
    assert upstream.paths == ["POST /v1/chat/completions HTTP/1.1"]
    assert upstream.headers[0]["authorization"] == f"bearer {KEY}"
    assert upstream.bodies == [
        {"temperature": 0.2, "model": "gpt-x", "messages": HELLO, "stream": False, "tools": [TOOL]}
    ]


async def test_without_tools_or_key_neither_is_sent() -> None:
    async with serving(answer({"content": "Hello!"})) as upstream:
        model = HttpLanguageModel(upstream.url, "gpt-x")
        assert (await model.complete(HELLO, [])).tokens is None
        await model.aclose()
    assert "tools" not in upstream.bodies[0]
    assert "authorization" not in upstream.headers[0]


async def test_calls_are_read_and_repeated_as_the_server_wants_them() -> None:
    signed = {**tool_call("generate_image", '{"prompt": "a cat"}'), "extra_content": {"google": {"signature": "s"}}}
    message = {"content": None, "tool_calls": [signed], "reasoning_content": "hm", "annotations": []}
    async with serving(answer(message)) as upstream, model_at(upstream.url) as model:
        turned = await model.complete(HELLO, [TOOL])
    assert turned.text == ""
    assert turned.calls == (ToolCall("call_x", "generate_image", {"prompt": "a cat"}),)
    assert turned.repeated() == {
        "role": "assistant",
        "content": "",
        "reasoning_content": "hm",
        "tool_calls": [signed],
    }


@pytest.mark.parametrize(
    ("given", "name", "problem"),
    [
        (tool_call("generate_image", '{"prompt": "a'), "generate_image", "arguments are not valid JSON"),
        (tool_call("generate_image", "[1]"), "generate_image", "must be an object"),
        ({"id": "call_x", "function": {"arguments": "{}"}}, "", "no object with a 'function'"),
        ("generate_image", "", "no object with a 'function'"),
    ],
)
async def test_a_malformed_call_has_a_problem_and_is_repeated_readable(given: Any, name: str, problem: str) -> None:
    async with serving(answer({"content": "", "tool_calls": [given]})) as upstream, model_at(upstream.url) as model:
        turned = await model.complete(HELLO, [TOOL])
    (call,) = turned.calls
    assert (call.name, call.arguments) == (name, {})
    assert problem in (call.problem or "")
    assert turned.repeated()["tool_calls"][0]["function"] == {"name": name, "arguments": "{}"}


@pytest.mark.parametrize("arguments", ["", None, {}])
async def test_no_arguments_are_none(arguments: Any) -> None:
    given = {"function": {"name": "generate_image", "arguments": arguments}}
    async with serving(answer({"tool_calls": [given]})) as upstream, model_at(upstream.url) as model:
        (call,) = (await model.complete(HELLO, [TOOL])).calls
    assert call == ToolCall("call00000", "generate_image", {})


async def test_ids_made_up_for_calls_go_on_from_those_of_earlier_turns() -> None:
    given = {"function": {"name": "generate_image", "arguments": "{}"}}
    messages: list[Any] = [*HELLO]
    async with serving(answer({"tool_calls": [given, given]})) as upstream, model_at(upstream.url) as model:
        for _ in range(2):
            messages.append((await model.complete(messages, [TOOL])).repeated())
    ids = [call["id"] for message in messages[1:] for call in message["tool_calls"]]
    assert ids == ["call00000", "call00001", "call00002", "call00003"]


async def test_an_answer_that_is_cut_off_is_told(caplog: pytest.LogCaptureFixture) -> None:
    cut = {"message": {"content": "Hel"}, "finish_reason": "length"}
    reply: Answer = (200, {}, json.dumps({"choices": [cut]}).encode())
    async with serving(reply, answer({"content": "Hello!"})) as upstream, model_at(upstream.url) as model:
        assert (await model.complete(HELLO, [])).text == "Hel"
        assert "'gpt-x' was cut off" in caplog.text
        caplog.clear()
        await model.complete(HELLO, [])
    assert "cut off" not in caplog.text


async def test_an_answer_that_is_withheld_is_declined() -> None:
    withheld = {"message": {"content": "Hel"}, "finish_reason": "content_filter"}
    error = await failure((200, {}, json.dumps({"choices": [withheld]}).encode()))
    assert type(error) is PolicyDeclined
    assert "'gpt-x' withholds its answer" in error.message


@pytest.mark.parametrize(("key", "sent"), [(KEY, f"bearer {KEY}"), (None, "basic bwu6c2vjqhjlda==")])
async def test_a_name_and_password_in_the_address_are_in_no_log_and_do_not_replace_the_key(
    key: str | None, sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(answer({"content": "Hello!"})) as upstream:
        model = HttpLanguageModel(upstream.url.replace("//", "//me:sec%40ret@"), "gpt-x", key)
        await model.complete(HELLO, [])
        await model.aclose()
    assert upstream.headers[0]["authorization"] == sent  # in small letters, as all that is read there
    assert "/v1/chat/completions" in caplog.text
    assert "ret@" not in caplog.text


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Hello!"}]}, "Hello!"),
        ({"content": None, "refusal": "I will not."}, "I will not."),
        ({"content": "<think>hm</think>Hello!"}, "Hello!"),
        ({"content": None}, ""),
    ],
)
async def test_words_in_other_places(message: dict[str, Any], text: str) -> None:
    async with serving(answer(message)) as upstream, model_at(upstream.url) as model:
        assert (await model.complete(HELLO, [])).text == text


async def test_a_call_that_the_server_left_in_the_text() -> None:
    content = '<tool_call>{"name": "generate_image", "arguments": {"prompt": "a cat"}}</tool_call>'
    async with serving(answer({"content": content})) as upstream, model_at(upstream.url) as model:
        turned = await model.complete(HELLO, [TOOL])
    assert (turned.text, turned.calls[0].arguments) == ("", {"prompt": "a cat"})


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        ((500, {}, b"oops"), UpstreamFailed, "status 500"),
        ((302, {"location": "http://elsewhere.test/"}, b""), UpstreamFailed, "status 302"),
        ((401, {}, f'{{"error": "wrong key {KEY}"}}'.encode()), UpstreamFailed, "does not accept this server's key"),
        ((504, {}, b""), UpstreamTimeout, "status 504"),
        ((200, {}, b"<html>"), UpstreamFailed, "no JSON object"),
        ((200, {}, b"[]"), UpstreamFailed, "no JSON object"),
        ((200, {}, b'{"choices": []}'), UpstreamFailed, "without a message"),
        ((200, {}, b'{"choices": [{"message": "hi"}]}'), UpstreamFailed, "without a message"),
    ],
)
async def test_failures_are_ours_and_name_no_key(reply: Answer, kind: type[LimnerError], said: str) -> None:
    error = await failure(reply)
    assert type(error) is kind
    assert said in error.message


async def test_too_many_requests_tells_when_to_come_back() -> None:
    error = await failure((429, {"retry-after": "7"}, b""))
    assert isinstance(error, Overloaded)
    assert error.retry_after_s == 7.0


async def test_a_slow_answer_is_not_waited_for() -> None:
    assert isinstance(await failure(answer({"content": "x"}), delay_s=5.0, timeout_s=0.05), UpstreamTimeout)


async def test_an_answer_that_comes_in_drops_is_not_waited_for() -> None:
    assert isinstance(await failure(answer({"content": "x" * 50}), drip_s=0.02, timeout_s=0.1), UpstreamTimeout)


async def test_an_endless_answer_is_not_read() -> None:
    error = await failure(answer({"content": "x" * MAX_REPLY_BYTES}))
    assert isinstance(error, UpstreamFailed)
    assert "more than is read" in error.message


async def test_nobody_there() -> None:
    async with serving() as upstream:
        pass
    async with model_at(upstream.url) as model:
        with pytest.raises(UpstreamFailed, match="cannot be reached"):
            await model.complete(HELLO, [])


async def test_a_connection_that_breaks_off() -> None:
    assert isinstance(await failure((200, {"content-length": "100"}, b"{")), UpstreamFailed)


async def test_the_key_is_in_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await failure((401, {}, KEY.encode()))
    async with serving(answer({"content": "Hello!"})) as upstream, model_at(upstream.url) as model:
        await model.complete(HELLO, [])
        assert KEY not in repr(model)
    assert caplog.records
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8080", "ftp://host/v1", "http://", "http://host/v1?key=1", "http://a:b/", "http://1.2.3.999/"],
)
def test_a_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(InvalidRequest, match="Allowed: an http") as raised:
        HttpLanguageModel(url, "gpt-x")
    assert raised.value.param == "language_url"


def test_no_password_is_told_of_a_url_that_cannot_be_used() -> None:
    with pytest.raises(InvalidRequest) as raised:
        HttpLanguageModel("http://me:sec%40ret@1.2.3.999/v1", "gpt-x")
    assert "ret" not in raised.value.message


def test_a_key_that_cannot_be_sent() -> None:
    with pytest.raises(InvalidRequest) as raised:
        HttpLanguageModel("http://host/v1", "gpt-x", "sk-secret\nx-injected: 1")
    assert raised.value.param == "language_key"
    assert "sk-secret" not in raised.value.message


async def test_it_serves_an_agent() -> None:
    async with (
        serving(
            answer({"content": "", "tool_calls": [tool_call("remove_background", '{"image": 1}')]}),
            answer({"content": "Cut out."}),
        ) as upstream,
        model_at(upstream.url) as model,
    ):
        studio = Studio()
        conversation = said("cut it out", "data:photo")
        steps = [s async for s in converse(conversation, model, studio.run, Rules(EVERYTHING), fallback=by_rules)]
    assert steps[-1] == Done("Cut out.", ("img_1",), None, 2)
    assert upstream.bodies[1]["messages"][-2:] == [
        {"role": "assistant", "content": "", "tool_calls": [tool_call("remove_background", '{"image": 1}')]},
        {"role": "tool", "tool_call_id": "call_x", "name": "remove_background", "content": "Done: [image 2]"},
    ]
    assert "data:photo" not in json.dumps(upstream.bodies)


async def test_no_more_calls_are_read_than_anybody_makes() -> None:
    calls = [tool_call("generate_image", "{}", f"call_{number}") for number in range(200)]
    async with serving(answer({"tool_calls": calls})) as upstream, model_at(upstream.url) as model:
        turned = await model.complete(HELLO, [TOOL])
    assert len(turned.calls) == len(turned.repeated()["tool_calls"]) == MAX_CALLS


@pytest.mark.parametrize("arguments", ["[" * 100_000, '{"prompt":' * 100_000])
async def test_arguments_nested_too_deep_are_a_problem(arguments: str) -> None:
    message = {"tool_calls": [tool_call("generate_image", arguments)]}
    async with serving(answer(message)) as upstream, model_at(upstream.url) as model:
        (call,) = (await model.complete(HELLO, [TOOL])).calls
    assert "not valid JSON" in (call.problem or "")
