"""A language model behind an OpenAI-compatible /chat/completions.

Owns one request and its reply, with their bounds and errors. The key goes into a header and nowhere else: no message,
log line or representation has it, and what a server says about it is not repeated.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson

from limner.chat.language import Message, ToolCall, ToolSchema, Turned, call_id, calls_in, names_of
from limner.chat.language_raw import MAX_CALLS, read_arguments, read_turn, without_thoughts
from limner.core import Tokens
from limner.errors import InvalidRequest, LimnerError, Overloaded, PolicyDeclined, UpstreamFailed, UpstreamTimeout

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
MAX_REPLY_BYTES = 4 * 1024 * 1024
MAX_RETRY_AFTER_S = 3600.0
# What some servers demand to be told again with a turn, beside its calls.
REPEATED = ("reasoning_content", "reasoning_details")


class HttpLanguageModel:
    """``model`` at ``base_url`` (with its ``/v1``). ``params`` are sent with every request as they are, such as
    ``temperature``; a name and password in ``base_url`` where there is no ``key``. Raises InvalidRequest for a URL or
    key that cannot be used."""

    def __init__(
        self,
        base_url: str,
        model: str,
        key: str | None = None,
        *,
        timeout_s: float = 60.0,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        _check(base_url, key)
        url = httpx2.URL(base_url.rstrip("/") + "/chat/completions")
        self._url = url.copy_with(userinfo=b"")  # no log of the client's may tell them
        self._model = model
        self._timeout_s = timeout_s
        self._params = dict(params or {})
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        auth = httpx2.BasicAuth(url.username, url.password) if url.userinfo and not key else None
        timeout = httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        self._client = httpx2.AsyncClient(headers=headers, auth=auth, timeout=timeout)

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Turned:
        """The next turn. Raises UpstreamFailed, UpstreamTimeout, Overloaded with the server's ``retry_after_s``, or
        PolicyDeclined where the server withholds it."""
        body: dict[str, Any] = {**self._params, "model": self._model, "messages": list(messages), "stream": False}
        if tools:
            body["tools"] = list(tools)
        reply = await self._posted(orjson.dumps(body))
        message, tokens = _message(reply, self._model), _tokens(reply.get("usage"))
        if message.get("tool_calls"):
            return _calling(message, tokens, calls_in(messages))
        # Servers that do not know how their model writes calls leave them in the text.
        read = read_turn(_text(message), names_of(tools), calls_before=calls_in(messages))
        return Turned(read.text, read.calls, tokens)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _posted(self, body: bytes) -> dict[str, Any]:
        """The server's answer, within the whole of the time: a client's own timeouts begin anew with every byte."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._answer(body)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise UpstreamTimeout(
                f"the language model {self._model!r} did not answer within {self._timeout_s:g} s"
            ) from error
        except httpx2.HTTPError as error:
            logger.warning("language model not reached: %s", type(error).__name__)
            raise UpstreamFailed(f"the language model {self._model!r} cannot be reached") from error

    async def _answer(self, body: bytes) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
            content = bytearray()
            async for part in response.aiter_bytes():
                content += part
                if len(content) > MAX_REPLY_BYTES:
                    raise UpstreamFailed(f"the language model {self._model!r} answered more than is read")
        if not response.is_success:
            raise _refused(response, self._model)
        return _object(bytes(content), self._model)


def _check(base_url: str, key: str | None) -> None:
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query + parts.fragment
        _ = parts.port, httpx2.URL(base_url)  # bad ones raise as well
    except (ValueError, httpx2.InvalidURL):
        usable = False
    if not usable:
        shown = "" if "@" in base_url else f": {base_url!r}"  # it may hold a password
        raise InvalidRequest(
            f"Invalid value for 'language_url'{shown}. Allowed: an http(s) URL such as http://127.0.0.1:8080/v1",
            param="language_url",
        )
    if key is not None and not (key.isascii() and key.isprintable()):
        raise InvalidRequest(
            "Invalid value for 'language_key'. Allowed: printable ASCII characters", param="language_key"
        )


def _refused(response: httpx2.Response, model: str) -> LimnerError:
    status = response.status_code
    logger.warning("language model answered with status %d", status)
    if status == 429:
        return Overloaded(f"the language model {model!r} is overloaded", retry_after_s=_retry_after_s(response))
    if status in (408, 504):
        return UpstreamTimeout(f"the language model {model!r} answered with status {status}")
    if status in (401, 403):
        return UpstreamFailed(f"the language model {model!r} does not accept this server's key (status {status})")
    return UpstreamFailed(f"the language model {model!r} answered with status {status}")


def _retry_after_s(response: httpx2.Response) -> float | None:
    value = response.headers.get("retry-after", "").strip()
    return min(float(value), MAX_RETRY_AFTER_S) if value.isascii() and value.isdigit() else None


def _object(content: bytes, model: str) -> dict[str, Any]:
    try:
        value = orjson.loads(content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UpstreamFailed(f"the language model {model!r} answered with what is no JSON object")
    return value


def _message(reply: Mapping[str, Any], model: str) -> dict[str, Any]:
    match reply.get("choices"):
        case [{"finish_reason": "content_filter"}, *_]:
            raise PolicyDeclined(f"the language model {model!r} withholds its answer", param="prompt")
        case [{"message": dict(message), **rest}, *_]:
            if rest.get("finish_reason") == "length":
                logger.warning("language model %r was cut off: its answer has the most tokens that it may have", model)
            return message
        case _:
            raise UpstreamFailed(f"the language model {model!r} answered without a message")


def _calling(message: Mapping[str, Any], tokens: Tokens | None, calls_before: int) -> Turned:
    """Ids of calls that came without one count on from ``calls_before``."""
    every = message["tool_calls"]
    given = every[:MAX_CALLS] if isinstance(every, list) else [every]
    calls = tuple(_call(call, number) for number, call in enumerate(given, calls_before))
    text = without_thoughts(_text(message))
    plain = Turned(text, calls).repeated()
    # Repeated whole, since some servers sign their calls, but with arguments that can be read.
    whole = [
        {**(c if isinstance(c, dict) else {}), **again} for c, again in zip(given, plain["tool_calls"], strict=True)
    ]
    kept = {name: message[name] for name in REPEATED if message.get(name) is not None}
    return Turned(text, calls, tokens, {**plain, **kept, "tool_calls": whole})


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str))


def _call(call: object, number: int) -> ToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return ToolCall(call_id(number), "", {}, "it is no object with a 'function' that has a 'name'")
    own_id = call.get("id")
    usable_id = own_id if isinstance(own_id, str) and own_id else call_id(number)
    return ToolCall(usable_id, function["name"], *read_arguments(function.get("arguments")))


def _tokens(usage: object) -> Tokens | None:
    match usage:
        case {"prompt_tokens": int(read), "completion_tokens": int(written)}:
            return Tokens(read, written)
        case _:
            return None
