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
UNPAID_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
END = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Delta:
    """One event of a stream: more text, and what else it tells. ``ends``: the answer is complete, and ``cut``: it ends
    because it is too long."""

    text: str = ""
    model: str | None = None
    tokens: Tokens | None = None
    cut: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer. ``is_passing``: another try may succeed; ``param`` is the field that the upstream
    blames."""

    error: LimnerError
    is_passing: bool = False
    param: str | None = None


async def deltas(response: httpx2.Response, model: str, key: str) -> AsyncIterator[Delta]:
    """The events of a streamed answer, or the one of an answer in one piece.

    Raises UpstreamFailed for anything else, for more than is read and for an answer without its end, PolicyDeclined
    where it is withheld.
    """
    if response.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
        parts = [part async for part in _bounded(response, model)]
        yield _delta(_parsed(b"".join(parts), model), model, key)
        return
    begun = ended = False
    async for line in _lines(response, model):
        name, _, data = line.partition(b":")
        if name != b"data" or not data.strip():
            continue
        if data.strip() == END:
            return
        delta = _delta(_parsed(data, model), model, key)
        begun, ended = True, ended or delta.ends
        yield delta
    if begun and not ended:
        raise UpstreamFailed(f"{model}: its server broke its answer off")


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
    return _refused(response.status_code, _error_in(body), _retry_after_s(response), model=model, key=key)


def unheard(error: httpx2.HTTPError, model: str) -> Refusal:
    """What a connection's failure means; its details are for the log, they may tell of the owner's network."""
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return Refusal(UpstreamFailed(f"{model}: its server cannot be reached"), is_passing=True)
    if isinstance(error, httpx2.TimeoutException):
        return Refusal(UpstreamTimeout(f"{model}: its server did not answer in time"))
    return Refusal(UpstreamFailed(f"{model}: its server broke the connection off ({type(error).__name__})"))


def _refused(status: int, error: dict[str, Any], wait_s: float | None, *, model: str, key: str) -> Refusal:
    """What ``error`` means under ``status``. Another try is for what was certainly not answered, which a broken server
    alone does not say: it may have answered, and be paid for it."""
    message = f"{model}: {_shown(error.get('message'), key) or f'status {status}'}"
    codes = _codes(error)
    if status in (400, 401, 403, 422) and (codes & POLICY_CODES or _is_flagged(error)):
        return Refusal(PolicyDeclined(message, param="prompt"))
    if status == 402 or (status == 429 and codes & UNPAID_CODES):
        return Refusal(UpstreamFailed(f"{model}: the account behind it has no credit left"))
    passing = status in (429, 503) or (status in (500, 502) and wait_s is not None)
    param = error.get("param")
    return Refusal(_meaning(status, message, model, wait_s), passing, param if isinstance(param, str) else None)


def _meaning(status: int, message: str, model: str, wait_s: float | None) -> LimnerError:
    match status:
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
    return UpstreamFailed(f"{model}: its server answered with status {status}", retry_after_s=wait_s)


def _codes(error: dict[str, Any]) -> set[str]:
    return {said for name in ("code", "type") if isinstance(said := error.get(name), str)}


def _is_flagged(error: dict[str, Any]) -> bool:
    """Whether it says what of the request was found wanting, as OpenRouter's does."""
    metadata = error.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("reasons") or metadata.get("flagged_input"))


def _failure(error: dict[str, Any], model: str, key: str) -> LimnerError:
    """What an error in the place of an answer means; its code may be the status that came too late."""
    code = error.get("code")
    if isinstance(code, int) and 400 <= code <= 599:
        return _refused(code, error, None, model=model, key=key).error
    message = f"{model}: {_shown(error.get('message'), key) or 'its server failed'}"
    return PolicyDeclined(message, param="prompt") if _codes(error) & POLICY_CODES else UpstreamFailed(message)


def _delta(event: dict[str, Any], model: str, key: str) -> Delta:
    if event.get("error"):
        raise _failure(_error(event), model, key)
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    reason = choice.get("finish_reason")
    if reason == "content_filter":
        raise PolicyDeclined(f"{model} withholds its answer", param="prompt")
    words = choice.get("delta") or choice.get("message")
    text, name = words.get("content") if isinstance(words, dict) else None, event.get("model")
    return Delta(
        _as_text(text) if isinstance(text, str) else "",
        _as_text(name) if isinstance(name, str) else None,
        _tokens(event.get("usage")),
        cut=reason == "length",
        ends=bool(reason),
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
    first = reply[0] if isinstance(reply, list) and reply else reply  # Gemini's is a list of one
    return _error(first) if isinstance(first, dict) else {}


def _error(reply: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's envelope, or the flat ones that others have."""
    error = reply.get("error", reply)
    if not isinstance(error, dict):
        return {"message": error}
    message = error.get("message", error.get("detail"))
    details = message.get("detail") if isinstance(message, dict) else message
    match details:
        case [{"loc": ["body", param, *inner], "msg": str(said)}, *_]:  # pydantic's, of which the first says enough
            return {**error, "message": f"{'.'.join(map(str, (param, *inner)))}: {said}", "param": param}
        case [{"msg": str(said)}, *_]:
            return {**error, "message": said}
    return {**error, "message": details}


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
