"""Somebody else's vision model as a backend: any API that speaks OpenAI's chat completions, by its base URL.

Owns one request to it, from pictures to retries; what its answers and refusals mean is `upstream_replies`' business.
"""

import asyncio
import io
import logging
from collections.abc import AsyncGenerator, Mapping
from time import monotonic
from typing import Any

import httpx2
import orjson
import pybase64

from limner.backends.dialogue import dialogue, looked_at
from limner.backends.upstream_replies import Delta, Refusal, deltas, refusal, unheard
from limner.core import Event, Finished, Picture, Request, Tokens, Warning, Words
from limner.errors import InvalidRequest, NotReady, UpstreamFailed

logger = logging.getLogger(__name__)

CONNECT_S = 10.0
SILENCE_S = 120.0  # until the first word, which comes after the pictures are read, and between two
TRIES = 3
PATIENCE_S = 10.0  # the longest wait that is asked of us and still waited out; a client waits meanwhile
FIRST_PAUSE_S = 0.5
LOSSLESS_PIXELS = 512 * 512  # pictures up to this are sent as PNG: they are small, and often drawings or text
JPEG_QUALITY = 92
STREAM_OPTIONS = "stream_options"  # asks for the usage, which some give anyway and some never
MANNER = ("max_tokens", "temperature", "top_p")
OPTIONAL = (*MANNER, STREAM_OPTIONS)
RENAMED = {"max_tokens": "max_completion_tokens"}  # what newer models of OpenAI call it


class UpstreamWords:
    """Answers through ``model`` at ``base_url``, such as ``https://host/v1``. ``key`` is sent as a bearer token and
    appears in no message and no log; "" sends none, but the name and password that ``base_url`` may have. Raises
    InvalidRequest for a URL or key that cannot be used."""

    def __init__(self, base_url: str, model: str, key: str = "", *, silence_s: float = SILENCE_S) -> None:
        url = _completions(base_url)
        _check_key(key)
        self._url = url.copy_with(userinfo=b"")  # no log of the client's may tell them
        self._model, self._key = model, key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        auth = httpx2.BasicAuth(url.username, url.password) if url.userinfo and not key else None
        timeout = httpx2.Timeout(silence_s, connect=CONNECT_S)
        self._client = httpx2.AsyncClient(headers=headers, auth=auth, timeout=timeout)
        self._closed = False

    @property
    def healthy(self) -> bool:
        """Whether it may be asked: whether anybody answers is known when somebody does."""
        return not self._closed

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Words as they come, then Finished with all of them; closing the iterator hangs up.

        Raises InvalidRequest and its kind for what the upstream refuses of the request, Overloaded when it is busy,
        UpstreamTimeout when it is silent, UpstreamFailed for everything else.
        """
        if self._closed:
            raise NotReady("the server is shutting down")
        started = monotonic()
        answer = _Answer(self._model)
        response = await self._accepted(await asyncio.to_thread(self._body, request), answer)
        try:
            async for delta in deltas(response, self._model, self._key):
                answer.add(delta, monotonic() - started)
                if delta.text:
                    yield Words(delta.text)
        except httpx2.HTTPError as error:
            raise unheard(error, self._model).error from error
        finally:
            await response.aclose()
        yield answer.finished(monotonic() - started)

    async def aclose(self) -> None:
        """Hang up."""
        self._closed = True
        await self._client.aclose()

    def _body(self, request: Request) -> dict[str, Any]:
        """Encodes pictures: not for the event loop."""
        *before, asked = dialogue(request)
        pictures = [{"type": "image_url", "image_url": {"url": _data_url(picture)}} for picture in request.inputs]
        content = [*pictures, {"type": "text", "text": asked.text}] if pictures else asked.text
        earlier = ({"role": said.role, "content": said.text} for said in before)
        messages = [*earlier, {"role": "user", "content": content}]
        set_params = {name: request.params[name] for name in MANNER if request.params.get(name) is not None}
        streaming = {"stream": True, STREAM_OPTIONS: {"include_usage": True}}
        # No seed: every resolved request has one, and some APIs refuse whatever has one.
        return {"model": self._model, "messages": messages, **streaming, **set_params}

    async def _accepted(self, body: dict[str, Any], answer: "_Answer") -> httpx2.Response:
        """A response of status 200, its body unread, which the caller closes. What is only busy is asked again, and
        what only misses a liking for one of our optional fields is asked without it."""
        tried = 1
        while True:
            refused = await self._asked(body)
            if isinstance(refused, httpx2.Response):
                return refused
            adapted = answer.adapted(body, refused)
            if adapted is not None:
                body = adapted
                continue
            pause_s = _pause_s(refused, tried)
            if pause_s is None:
                raise refused.error
            logger.info("%s is asked again in %.1f s: %s", self._model, pause_s, refused.error)
            await asyncio.sleep(pause_s)
            tried += 1

    async def _asked(self, body: Mapping[str, Any]) -> httpx2.Response | Refusal:
        content = await asyncio.to_thread(orjson.dumps, body)  # megabytes of pictures
        headers = {"Content-Type": "application/json"}
        try:
            sent = self._client.build_request("POST", self._url, content=content, headers=headers)
            response = await self._client.send(sent, stream=True)
        except httpx2.HTTPError as error:
            return unheard(error, self._model)
        if response.status_code == 200:
            return response
        try:
            return await refusal(response, self._model, self._key)
        finally:
            await response.aclose()


class _Answer:
    """What has come of an answer, and what was done otherwise than asked."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._text: list[str] = []
        self._revision: str | None = None
        self._tokens: Tokens | None = None
        self._warnings: list[Warning] = []
        self._first_word_s: float | None = None

    def add(self, delta: Delta, passed_s: float) -> None:
        """More of it, ``passed_s`` after it was asked for."""
        if delta.text:
            self._text.append(delta.text)
            self._first_word_s = passed_s if self._first_word_s is None else self._first_word_s
        self._revision = delta.model or self._revision
        self._tokens = delta.tokens or self._tokens
        if delta.cut:
            message = "the answer was cut off: it has the most tokens that it may have"
            self._warnings.append(Warning("max_tokens", "adjusted", message))

    def finished(self, total_s: float) -> Finished:
        """The whole. Raises UpstreamFailed where nothing came."""
        if not self._text:
            raise UpstreamFailed(f"{self._model} answered without a word")
        first_s = total_s if self._first_word_s is None else self._first_word_s
        timings_s = {"first_word": round(first_s, 6), "total": round(total_s, 6)}
        text = "".join(self._text)
        return Finished((), self._revision, timings_s, tuple(self._warnings), text, self._tokens)

    def adapted(self, body: dict[str, Any], refused: Refusal) -> dict[str, Any] | None:
        """``body`` without the optional field that was refused, or with its other name; None for any other refusal."""
        name = refused.param
        if name is None or name not in OPTIONAL or name not in body:
            return None
        rest = {field: value for field, value in body.items() if field != name}
        if name in RENAMED:
            return {**rest, RENAMED[name]: body[name]}
        if name != STREAM_OPTIONS:
            message = f"{name!r} was not used: {self._model} does not take {body[name]!r}"
            self._warnings.append(Warning(name, "ignored", message))
        return rest


def _completions(base_url: str) -> httpx2.URL:
    try:
        return httpx2.URL(f"{base_url.rstrip('/')}/chat/completions")
    except httpx2.InvalidURL as error:
        message = f"Invalid value for 'vision_url': {error}. Allowed: an http(s) URL such as http://127.0.0.1:8080/v1"
        raise InvalidRequest(message, param="vision_url") from error


def _check_key(key: str) -> None:
    if not (key.isascii() and key.isprintable()):
        message = "Invalid value for 'vision_key'. Allowed: printable ASCII characters"
        raise InvalidRequest(message, param="vision_key")


def _pause_s(refused: Refusal, tried: int) -> float | None:
    """How long to wait before another try; None where there is none."""
    if not refused.is_passing or tried >= TRIES:
        return None
    asked_s = refused.error.retry_after_s
    pause_s = FIRST_PAUSE_S * 2 ** (tried - 1) if asked_s is None else asked_s
    return pause_s if pause_s <= PATIENCE_S else None


def _data_url(picture: Picture) -> str:
    image = looked_at(picture)
    lossless = image.width * image.height <= LOSSLESS_PIXELS
    file = io.BytesIO()
    if lossless:
        image.save(file, "PNG")
    else:
        image.save(file, "JPEG", quality=JPEG_QUALITY)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{pybase64.b64encode(file.getvalue()).decode('ascii')}"
