"""What happens to every HTTP exchange, whatever its dialect: an id, a body limit and a last resort for errors.

Plain ASGI, so that bodies stream and disconnects arrive.
"""

import asyncio
import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from limner.api.envelope import Envelopes
from limner.errors import (
    ClientLeft,
    DeadlineExceeded,
    InternalError,
    LimnerError,
    NotReady,
    Overloaded,
    TooLarge,
)
from limner.logs import bind_request

logger = logging.getLogger(__name__)


STALL_S = 30.0  # how long a client may send nothing of a body it has announced, or read nothing of a reply
PIECE_BYTES = 65_536  # of a stream are sent at once: that much must be read within STALL_S, however long its parts are


class Exchange:
    """Gives each request an id (``X-Request-Id``, taken over from the client if it is sane), bounds its body to
    ``max_body_bytes`` (all bodies in work to ``max_bodies_bytes``) and turns what no handler caught into a 500 that
    names the id."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        max_bodies_bytes: int,
        stall_s: float = STALL_S,
        envelopes: Envelopes | None = None,
    ) -> None:
        self._app = app
        self._envelopes = envelopes or Envelopes()
        self._max_body_bytes = max_body_bytes
        self._bodies = _Bodies(max_bodies_bytes)
        self._stall_s = stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        bind_request(request_id)
        reply = _Reply(send, request_id, self._stall_s, self._envelopes)
        body = _Bounded(receive, self._max_body_bytes, self._bodies, self._stall_s)
        try:
            self._refuse_declared(headers)
            await self._app(scope, body, reply)
        except (ClientDisconnect, ClientLeft):
            logger.info("%s 499 the client left", request_id)
        except LimnerError as error:
            await reply.refuse(scope, receive, error)
        except asyncio.CancelledError:
            # The exchange's root: only the server's shutdown cancels it, and the client should hear of that.
            leaving = NotReady("the server is shutting down", retry_after_s=5)
            await reply.refuse(scope, receive, leaving)
        except Exception:  # the exchange's root: the client must get an answer and the log the reason
            if body.left:
                logger.info("%s 499 the client left", request_id)
                return
            logger.exception("request %s failed", request_id)
            told = f"internal error; the server's log has the reason under {request_id}"
            await reply.refuse(scope, receive, InternalError(told))
        finally:
            self._bodies.held_bytes -= body.seen_bytes

    def _refuse_declared(self, headers: Headers) -> None:
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_body_bytes:
            raise _too_large(self._max_body_bytes)


@dataclass(slots=True)
class _Bodies:
    """Body bytes of all exchanges that have not ended."""

    limit_bytes: int
    held_bytes: int = 0


class _Reply:
    """A ``send`` that adds the request's id and gives up on a client that does not read."""

    def __init__(self, send: Send, request_id: str, stall_s: float, envelopes: Envelopes) -> None:
        self._send = send
        self._envelopes = envelopes
        self._request_id = request_id
        self._stall_s = stall_s
        self._started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            MutableHeaders(scope=message)["X-Request-Id"] = self._request_id
        for piece in _pieces(message):
            await self._give(piece)

    async def _give(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._stall_s):
                await self._send(message)
        except TimeoutError as error:
            raise ClientLeft(f"the client has read nothing for {self._stall_s:g} s") from error

    async def refuse(self, scope: Scope, receive: Receive, error: LimnerError) -> None:
        """Answer with ``error``, unless a reply has begun: it can then only break off."""
        if self._started:
            logger.warning("%s broke off: %s", self._request_id, error)
            return
        headers = scope["state"].get("headers")  # of the job, if it came that far
        await self._envelopes.response(scope["path"], error, headers)(scope, receive, self)


def _pieces(message: Message) -> Iterator[Message]:
    """What stands for ``message``. A reply's last part stays whole: nothing waits until it has been read."""
    body = message.get("body", b"")
    if not message.get("more_body", False) or len(body) <= PIECE_BYTES:
        yield message
        return
    for start in range(0, len(body), PIECE_BYTES):
        yield {**message, "body": body[start : start + PIECE_BYTES]}


class _Bounded:
    """A ``receive`` that counts body bytes, for chunked bodies declare no length, and waits ``stall_s`` for more."""

    def __init__(self, receive: Receive, limit_bytes: int, bodies: _Bodies, stall_s: float) -> None:
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._bodies = bodies
        self._stall_s = stall_s
        self._complete = False
        self.seen_bytes = 0
        self.left = False

    async def __call__(self) -> Message:
        message = await (self._receive() if self._complete else self._more())
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self._complete = not message.get("more_body", False)
        else:
            self.left = True
        return message

    async def _more(self) -> Message:
        try:
            async with asyncio.timeout(self._stall_s):
                return await self._receive()
        except TimeoutError as error:
            raise DeadlineExceeded(f"nothing of the request's body came for {self._stall_s:g} s") from error

    def _count(self, size: int) -> None:
        self.seen_bytes += size
        self._bodies.held_bytes += size
        if self.seen_bytes > self._limit_bytes:
            raise _too_large(self._limit_bytes)
        if self._bodies.held_bytes > self._bodies.limit_bytes:
            raise Overloaded("too many large request bodies at once; try again soon", retry_after_s=5)


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the request body is larger than {limit_bytes} bytes, the most this server takes")


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    if 0 < len(given) <= 128 and all(c.isalnum() or c in "-_." for c in given) and given.isascii():
        return given
    return f"req_{random.getrandbits(128):032x}"
