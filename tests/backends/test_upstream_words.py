"""Somebody else's vision model: what is asked of it, and what its answers and refusals come to."""

import base64
import io
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import PIL.Image
import pytest
import pytest_asyncio

from limner.backends import Backend, upstream_words
from limner.backends.upstream_replies import MAX_ANSWER_BYTES
from limner.backends.upstream_words import UpstreamWords
from limner.core import Event, Finished, Operation, Picture, Request, Said, Size, Tokens, Words
from limner.errors import (
    InvalidRequest,
    LimnerError,
    NotReady,
    Overloaded,
    PolicyDeclined,
    TooLarge,
    UpstreamFailed,
    UpstreamTimeout,
)
from tests.fakes import until
from tests.webhooks.receiver import Receiver, receiving, reply

KEY = "sk-very-secret"
SMALL, LARGE = (Picture("RGB", size, bytes((200, 10, 10)) * size.pixels) for size in (Size(20, 10), Size(600, 600)))


def request(**fields: Any) -> Request:
    params = {"max_tokens": 64, "temperature": 0.0, **fields.pop("params", {})}
    return Request(Operation.DESCRIBE, "seer", fields.pop("prompt", "what is it?"), params=params, seed=7, **fields)


def http(status: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""))
    return head.encode() + body


def streamed(*events: Mapping[str, Any] | str) -> bytes:
    lines = (event if isinstance(event, str) else json.dumps(event) for event in events)
    body = "".join(f": a comment, to keep the line open\n\ndata: {line}\n\n" for line in lines)
    return http("200 OK", body.encode(), "Content-Type: text/event-stream")


def words(text: str | None, **more: Any) -> dict[str, Any]:
    return {"model": "seer-2026", "choices": [{"index": 0, "delta": {"content": text}, **more}]}


USAGE = {"model": "seer-2026", "choices": [], "usage": {"prompt_tokens": 120, "completion_tokens": 3}}
ANSWER = streamed(words("a red "), words(None), words("square", finish_reason="stop"), USAGE, "[DONE]")


def refused(status: str, message: str = "no", *headers: str, **error: Any) -> bytes:
    return http(status, json.dumps({"error": {"message": message, **error}}).encode(), *headers)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest_asyncio.fixture
async def backend(server: Receiver) -> AsyncIterator[UpstreamWords]:
    made = UpstreamWords(f"http://127.0.0.1:{server.port}/v1/", "seer", KEY, silence_s=0.3)
    yield made
    await made.aclose()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_words, "FIRST_PAUSE_S", 0.01)


async def collect(backend: Backend, asked: Request) -> tuple[list[Event], Finished]:
    events = [event async for event in backend.generate(asked)]
    assert isinstance(events[-1], Finished)
    return events[:-1], events[-1]


async def test_words_come_and_then_all_of_them(server: Receiver, backend: UpstreamWords) -> None:
    server.answers = [ANSWER]
    events, end = await collect(backend, request(inputs=(SMALL,)))
    assert events == [Words("a red "), Words("square")]
    assert (end.text, end.tokens, end.model_revision) == ("a red square", Tokens(120, 3), "seer-2026")
    assert set(end.timings_s) == {"first_word", "total"}  # none of which is time of a device of ours
    assert end.warnings == ()


async def test_what_is_asked(server: Receiver, backend: UpstreamWords) -> None:
    server.answers = [ANSWER]
    history = (Said("system", "be brief"), Said("user", "hello"), Said("assistant", "hi"))
    await collect(backend, request(inputs=(SMALL, LARGE), history=history, params={"top_p": None}))
    [seen] = server.seen
    assert seen.target == "POST /v1/chat/completions HTTP/1.1"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    asked = json.loads(seen.body)
    messages = asked.pop("messages")
    assert asked == {
        "model": "seer", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 64,
        "temperature": 0.0,
    }  # fmt: skip
    assert messages[:3] == [{"role": said.role, "content": said.text} for said in history]
    small, large, question = messages[3]["content"]
    assert question == {"type": "text", "text": "what is it?"}
    for part, picture, kind in ((small, SMALL, "png"), (large, LARGE, "jpeg")):
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == f"data:image/{kind};base64"
        assert PIL.Image.open(io.BytesIO(base64.b64decode(data))).size == (
            picture.size.width_px,
            picture.size.height_px,
        )


async def test_words_alone_are_plain_content_and_no_key_sends_none(server: Receiver) -> None:
    server.answers = [ANSWER]
    backend = UpstreamWords(f"http://127.0.0.1:{server.port}", "seer")
    await collect(backend, request(prompt="hello"))
    await backend.aclose()
    assert json.loads(server.seen[0].body)["messages"] == [{"role": "user", "content": "hello"}]
    assert "authorization" not in server.seen[0].headers


async def test_an_answer_in_one_piece_is_taken_too(server: Receiver, backend: UpstreamWords) -> None:
    whole = {"choices": [{"message": {"content": "a square"}, "finish_reason": "length"}], "usage": None}
    server.answers = [http("200 OK", json.dumps(whole).encode(), "Content-Type: application/json")]
    events, end = await collect(backend, request())
    assert events == [Words("a square")]
    assert end.tokens is None
    assert [(warning.param, warning.code) for warning in end.warnings] == [("max_tokens", "adjusted")]


async def test_an_answer_is_text_whatever_is_in_it(server: Receiver, backend: UpstreamWords) -> None:
    line_ends = json.dumps(words("a\u2028b\u0085c"), ensure_ascii=False)
    server.answers = [streamed(line_ends, words("\ud83d half"), "[DONE]")]
    _, end = await collect(backend, request())
    assert end.text == "a\u2028b\u0085c? half"


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (refused("400 Bad Request", "image  is\nbroken"), InvalidRequest, "seer: image is broken$"),
        (refused("400 Bad Request", code="content_policy_violation"), PolicyDeclined, "no"),
        (http("422 Unprocessable", b'{"detail": "too many images"}'), InvalidRequest, "too many images"),
        (refused("413 Too Large"), TooLarge, "no"),
        (refused("401 Unauthorized", f"bad key {KEY}"), UpstreamFailed, "refused the key"),
        (refused("403 Forbidden", code="content_filter"), PolicyDeclined, "seer: no$"),
        (refused("403 Forbidden", code=403, metadata={"reasons": ["violence"]}), PolicyDeclined, "seer: no$"),
        (refused("403 Forbidden", metadata={"flagged_input": "a fight"}), PolicyDeclined, "seer: no$"),
        (refused("403 Forbidden", metadata={"provider_name": "x"}), UpstreamFailed, "refused the key"),
        (refused("400 Bad Request", code=["safety"]), InvalidRequest, "seer: no$"),
        (refused("402 Payment Required"), UpstreamFailed, "no credit left"),
        (refused("429 Too Many", code="insufficient_quota"), UpstreamFailed, "no credit left"),
        (refused("429 Too Many", type="insufficient_quota"), UpstreamFailed, "no credit left"),
        (refused("429 Too Many", code="billing_hard_limit_reached"), UpstreamFailed, "no credit left"),
        (refused("500 Oops"), UpstreamFailed, "status 500"),
        (refused("502 Bad"), UpstreamFailed, "status 502"),
        (http("400 Bad Request", b'[{"error": {"code": 400, "message": "no image"}}]'), InvalidRequest, "no image$"),
        (
            http("422 Unprocessable", b'{"detail": [{"loc": ["body", "messages", 0], "msg": "is long"}]}'),
            InvalidRequest,
            "seer: messages.0: is long$",
        ),
        (
            http("422 Unprocessable", b'{"message": {"detail": [{"loc": ["body", "top_p"], "msg": "is 2"}]}}'),
            InvalidRequest,
            "seer: top_p: is 2$",
        ),
        (refused("404 Not Found"), UpstreamFailed, "no such model or path"),
        (refused("408 Timeout"), UpstreamTimeout, "in time"),
        (reply("302 Found", "Location: http://elsewhere/"), UpstreamFailed, "status 302"),
        (http("200 OK", b"<html>", "Content-Type: text/html"), UpstreamFailed, "without a word"),
        (streamed("{"), UpstreamFailed, "not JSON"),
        (streamed("[]"), UpstreamFailed, "no chat completion"),
        (streamed({"error": {"message": f"overheated {KEY}"}}), UpstreamFailed, r"overheated \*\*\*$"),
        (streamed({"error": {"message": "slow down", "code": 429}}), Overloaded, "no more requests"),
        (streamed({"error": {"message": "bad image", "code": 400}}), InvalidRequest, "seer: bad image$"),
        (streamed({"error": {"message": "no", "code": 403, "metadata": {"reasons": ["hate"]}}}), PolicyDeclined, "no$"),
        (streamed({"error": {"message": "no", "code": "content_filter"}}), PolicyDeclined, "no$"),
        (streamed({"error": {"message": "no", "code": "server_error"}}), UpstreamFailed, "seer: no$"),
        (streamed(words(None, finish_reason="content_filter")), PolicyDeclined, "withholds"),
        (streamed(words("a red")), UpstreamFailed, "broke its answer off"),
        (streamed(words("a red", finish_reason=None)), UpstreamFailed, "broke its answer off"),
        (streamed("[" * 200_000), UpstreamFailed, "not JSON"),
        (http("400 Bad Request", b"[" * 50_000), InvalidRequest, "status 400"),
        (b"HTTP/1.1 401 No\r\nContent-Length: 999\r\n\r\n{", UpstreamFailed, "refused the key"),
        (streamed({"choices": [{"delta": "a"}]}, "[DONE]"), UpstreamFailed, "without a word"),
        (streamed(words("a" * (MAX_ANSWER_BYTES + 1))), UpstreamFailed, "more than is read"),
        (
            http("200 OK", json.dumps(words("a" * (MAX_ANSWER_BYTES + 1))).encode(), "Content-Type: application/json"),
            UpstreamFailed,
            "more than is read",
        ),
    ],
)
async def test_refusals_are_told_by_what_they_mean(
    answer: bytes, kind: type[LimnerError], message: str, server: Receiver, backend: UpstreamWords
) -> None:
    server.answers = [answer]
    with pytest.raises(kind, match=message) as caught:
        await collect(backend, request())
    assert type(caught.value) is kind
    assert KEY not in caught.value.message
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", ["429 Too Many", "503 Busy"])
async def test_what_is_only_busy_is_asked_again(status: str, server: Receiver, backend: UpstreamWords) -> None:
    server.answers = [refused(status), refused(status, "no", "Retry-After: 0"), ANSWER]
    _, end = await collect(backend, request())
    assert end.text == "a red square"
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad"])
async def test_what_may_have_been_answered_is_asked_again_only_where_wished(
    status: str, server: Receiver, backend: UpstreamWords
) -> None:
    server.answers = [refused(status, "no", "Retry-After: 0"), refused(status), ANSWER]
    with pytest.raises(UpstreamFailed, match=f"status {status[:3]}"):
        await collect(backend, request())
    assert len(server.seen) == 2


@pytest.mark.parametrize("end", [words("", finish_reason="stop"), "[DONE]"])
async def test_an_answer_ends_with_either_sign(end: Any, server: Receiver, backend: UpstreamWords) -> None:
    server.answers = [streamed(words("a square"), end)]
    _, finished = await collect(backend, request())
    assert finished.text == "a square"


async def test_what_stays_busy_is_told_with_its_wish(server: Receiver, backend: UpstreamWords) -> None:
    server.answers = [refused("429 Too Many", "no", "Retry-After: 77")]
    with pytest.raises(Overloaded) as caught:
        await collect(backend, request())
    assert caught.value.retry_after_s == 77
    assert len(server.seen) == 1  # nobody waits that long for an answer
    server.answers = [refused("503 Busy")] * 5
    with pytest.raises(UpstreamFailed, match="status 503"):
        await collect(backend, request())
    assert len(server.seen) == 1 + upstream_words.TRIES


async def test_what_has_begun_is_not_asked_again(server: Receiver, backend: UpstreamWords) -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\n\r\n"
    server.answers = [begun + f"data: {json.dumps(words('a'))}\n\n".encode(), ANSWER]
    with pytest.raises(UpstreamFailed, match="broke the connection off"):
        await collect(backend, request())
    assert len(server.seen) == 1


async def test_silence_is_a_timeout(server: Receiver, backend: UpstreamWords) -> None:
    server.delay_s = 2
    with pytest.raises(UpstreamTimeout, match="in time"):
        await collect(backend, request())
    assert len(server.seen) == 1


async def test_a_server_that_is_not_there() -> None:
    backend = UpstreamWords("http://127.0.0.1:9", "seer", KEY)
    with pytest.raises(UpstreamFailed, match="cannot be reached"):
        await collect(backend, request())
    was_healthy = backend.healthy
    await backend.aclose()
    assert (was_healthy, backend.healthy) == (True, False)
    with pytest.raises(NotReady):
        await collect(backend, request())


async def test_optional_fields_that_are_refused_are_left_out(server: Receiver, backend: UpstreamWords) -> None:
    """As newer models do: another name for the most tokens, no temperature of one's own, no usage in streams."""
    server.answers = [
        *(refused("400 Bad Request", param=name) for name in ("max_tokens", "temperature", "stream_options")),
        ANSWER,
    ]
    _, end = await collect(backend, request())
    asked = json.loads(server.seen[-1].body)
    assert asked["max_completion_tokens"] == 64
    assert {"max_tokens", "temperature", "stream_options"} & set(asked) == set()
    assert [(warning.param, warning.code) for warning in end.warnings] == [("temperature", "ignored")]


async def test_optional_fields_that_a_list_of_errors_names_are_left_out(
    server: Receiver, backend: UpstreamWords
) -> None:
    details = {"detail": [{"loc": ["body", "stream_options", "include_usage"], "msg": "Extra inputs"}]}
    server.answers = [http("422 Unprocessable", json.dumps(details).encode()), ANSWER]
    await collect(backend, request())
    assert "stream_options" not in json.loads(server.seen[-1].body)


@pytest.mark.parametrize(("key", "sent"), [(KEY, f"Bearer {KEY}"), ("", "Basic bWU6c2VjQHJldA==")])
async def test_a_name_and_password_in_the_address_are_in_no_log_and_do_not_replace_the_key(
    key: str, sent: str, server: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers = [ANSWER]
    backend = UpstreamWords(f"http://me:sec%40ret@127.0.0.1:{server.port}/v1", "seer", key)
    await collect(backend, request())
    await backend.aclose()
    assert server.seen[0].headers["authorization"] == sent
    assert "/v1/chat/completions" in caplog.text
    assert "ret@" not in caplog.text


def test_an_address_that_cannot_be_called() -> None:
    with pytest.raises(InvalidRequest, match=r"Allowed: an http.*/v1$") as raised:
        UpstreamWords("http://me:secret@1.2.3.999/v1", "seer")
    assert raised.value.param == "vision_url"
    assert "'vision_url'" in raised.value.message
    assert "secret" not in raised.value.message


@pytest.mark.parametrize("key", ["schlüssel", "secret\nx-injected: 1"])
def test_a_key_that_cannot_be_sent(key: str) -> None:
    with pytest.raises(InvalidRequest, match=r"'vision_key'\. Allowed: printable ASCII") as raised:
        UpstreamWords("http://host/v1", "seer", key)
    assert raised.value.param == "vision_key"
    assert key not in raised.value.message


async def test_closing_the_iterator_hangs_up(server: Receiver, backend: UpstreamWords) -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    server.answers = [begun + f"data: {json.dumps(words('a'))}\n\n...".encode()]
    async with aclosing(backend.generate(request())) as events:
        assert await anext(events) == Words("a")
        working = server.at_once
    await until(lambda: server.at_once == 0)
    assert working == 1


async def test_the_key_is_in_no_log(server: Receiver, backend: UpstreamWords, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers = [refused("503 Busy", f"bad {KEY}"), ANSWER]
    await collect(backend, request())
    assert "asked again" in caplog.text
    assert KEY not in caplog.text
