"""What an API that speaks OpenAI's chat completions answers: pieces of an answer, and refusals in our terms.

Owns reading that wire. An upstream's own words reach people only where the fault is theirs, and never with the key.
"""

import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from limner.core import Tokens
from limner.errors import (
    InvalidRequest,
    LimnerError,
    Overloaded,
    PolicyDeclined,
    TooLarge,
    UpstreamFailed,
    UpstreamTimeout,
)

MAX_REFUSAL_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 16 * 1024 * 1024  # a long answer, a small event for each of its words
SHOWN_CHARACTERS = 300
POLICY_CODES = frozenset({"content_policy_violation", "content_filter", "moderation_blocked", "safety"})
END = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Delta:
    """One event of a stream: more text, and what else it tells. ``cut``: the answer ends because it is too long."""

    text: str = ""
    model: str | None = None
    tokens: Tokens | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer. ``is_passing``: another try may succeed; ``param`` is the field that the upstream
    blames."""

    error: LimnerError
    is_passing: bool = False
    param: str | None = None


async def deltas(response: httpx2.Response, model: str, key: str) -> AsyncIterator[Delta]:
    """The events of a streamed answer, or the one of an answer in one piece.

    Raises UpstreamFailed for anything else and for more than is read, PolicyDeclined where the answer is withheld.
    """
    if response.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
        parts = [part async for part in _bounded(response, model)]
        yield _delta(_parsed(b"".join(parts), model), model, key)
        return
    async for line in _lines(response, model):
        name, _, data = line.partition(b":")
        if name != b"data" or not data.strip():
            continue
        if data.strip() == END:
            return
        yield _delta(_parsed(data, model), model, key)


async def _lines(response: httpx2.Response, model: str) -> AsyncIterator[bytes]:
    """Ended by line feeds alone: what else ends a line in Python may stand in JSON's text."""
    begun = bytearray()
    async for part in _bounded(response, model):
        first, *rest = part.split(b"\n")
        begun += first
        for more in rest:
            yield bytes(begun)
            begun = bytearray(more)
    yield bytes(begun)


async def _bounded(response: httpx2.Response, model: str) -> AsyncIterator[bytes]:
    read = 0
    async for part in response.aiter_bytes():
        read += len(part)
        if read > MAX_ANSWER_BYTES:
            raise UpstreamFailed(f"{model}: its server answered more than is read")
        yield part


async def refusal(response: httpx2.Response, model: str, key: str) -> Refusal:
    """What a response of another status than 200 means."""
    body = b""
    with contextlib.suppress(httpx2.HTTPError):  # the status alone says what matters
        async for part in response.aiter_bytes():
            body += part
            if len(body) > MAX_REFUSAL_BYTES:
                break
    error = _error_in(body)
    said = _shown(error.get("message"), key)
    param = error.get("param")
    meant = _meaning(response, error, f"{model}: {said or f'status {response.status_code}'}", model)
    passing = response.status_code in (429, 500, 502, 503)
    return Refusal(meant, passing, param if isinstance(param, str) else None)


def unheard(error: httpx2.HTTPError, model: str) -> Refusal:
    """What a connection's failure means; its details are for the log, they may tell of the owner's network."""
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return Refusal(UpstreamFailed(f"{model}: its server cannot be reached"), is_passing=True)
    if isinstance(error, httpx2.TimeoutException):
        return Refusal(UpstreamTimeout(f"{model}: its server did not answer in time"))
    return Refusal(UpstreamFailed(f"{model}: its server broke the connection off ({type(error).__name__})"))


def _meaning(response: httpx2.Response, error: dict[str, Any], message: str, model: str) -> LimnerError:
    wait_s = _retry_after_s(response)
    match response.status_code:
        case 400 | 422 if error.get("code") in POLICY_CODES:
            return PolicyDeclined(message, param="prompt")
        case 400 | 422 | 415:
            return InvalidRequest(message)
        case 413:
            return TooLarge(message)
        case 401 | 403:
            return UpstreamFailed(f"{model}: its server refused the key that this server is configured with")
        case 404:
            return UpstreamFailed(f"{model}: its server knows no such model or path; check the address and the name")
        case 429:
            return Overloaded(f"{model}: its server takes no more requests at the moment", retry_after_s=wait_s)
        case 408 | 504:
            return UpstreamTimeout(f"{model}: its server did not answer in time")
    return UpstreamFailed(f"{model}: its server answered with status {response.status_code}", retry_after_s=wait_s)


def _delta(event: dict[str, Any], model: str, key: str) -> Delta:
    if event.get("error"):
        raise UpstreamFailed(f"{model}: {_shown(_error(event).get('message'), key) or 'its server failed'}")
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    if choice.get("finish_reason") == "content_filter":
        raise PolicyDeclined(f"{model} withholds its answer", param="prompt")
    words = choice.get("delta") or choice.get("message")
    text, name = words.get("content") if isinstance(words, dict) else None, event.get("model")
    return Delta(
        _as_text(text) if isinstance(text, str) else "",
        _as_text(name) if isinstance(name, str) else None,
        _tokens(event.get("usage")),
        choice.get("finish_reason") == "length",
    )


def _tokens(usage: object) -> Tokens | None:
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return Tokens(read, written) if isinstance(read, int) and isinstance(written, int) else None


def _as_text(text: str) -> str:
    """``text`` with "?" for halves of surrogate pairs, which nobody can store or send."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _parsed(text: bytes, model: str) -> dict[str, Any]:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UpstreamFailed(f"{model}: its server answered with something that is not JSON") from error
    if not isinstance(event, dict):
        raise UpstreamFailed(f"{model}: its server answered with something that is no chat completion")
    return event


def _error_in(body: bytes) -> dict[str, Any]:
    """The error object of a refusal; empty where the body is of another kind."""
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return _error(reply) if isinstance(reply, dict) else {}


def _error(reply: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's envelope, or the flat ones that others have."""
    error = reply.get("error", reply)
    if isinstance(error, dict):
        return error if "message" in error else {**error, "message": error.get("detail")}
    return {"message": error}


def _shown(message: object, key: str) -> str:
    """An upstream's own words, on one line, bounded and without the key."""
    if not isinstance(message, str):
        return ""
    line = _as_text(" ".join(message.split()))
    return (line.replace(key, "***") if key else line)[:SHOWN_CHARACTERS]


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Seconds or a date (RFC 9110, section 10.2.3); None for neither."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
