"""What happens to every HTTP exchange, whatever its dialect: an id, a body limit and a last resort for errors.

Plain ASGI, so that bodies stream and disconnects arrive.
"""

import logging
import uuid
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from limner.api.envelope import error_response
from limner.errors import InternalError, LimnerError, Overloaded, TooLarge

logger = logging.getLogger(__name__)


class Exchange:
    """Gives each request an id (``X-Request-Id``, taken over from the client if it is sane), bounds its body to
    ``max_body_bytes`` (all bodies in work to ``max_bodies_bytes``) and turns what no handler caught into a 500 that
    names the id."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, max_bodies_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._bodies = _Bodies(max_bodies_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        body = _Bounded(receive, self._max_body_bytes, self._bodies)
        error: LimnerError
        try:
            self._refuse_declared(headers)
            await self._app(scope, body, send_with_id)
            return
        except LimnerError as raised:
            error = raised
        except Exception:  # the exchange's root: the client must get an answer and the log the reason
            logger.exception("request %s failed", request_id)
            error = InternalError(f"internal error; the server's log has the reason under {request_id}")
        finally:
            self._bodies.held_bytes -= body.seen_bytes
        if started:
            raise error
        await error_response(error)(scope, receive, send_with_id)

    def _refuse_declared(self, headers: Headers) -> None:
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_body_bytes:
            raise _too_large(self._max_body_bytes)


@dataclass(slots=True)
class _Bodies:
    """Body bytes of all exchanges that have not ended."""

    limit_bytes: int
    held_bytes: int = 0


class _Bounded:
    """A ``receive`` that counts body bytes; chunked bodies declare no length."""

    def __init__(self, receive: Receive, limit_bytes: int, bodies: _Bodies) -> None:
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._bodies = bodies
        self.seen_bytes = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self.seen_bytes += size
            self._bodies.held_bytes += size
            if self.seen_bytes > self._limit_bytes:
                raise _too_large(self._limit_bytes)
            if self._bodies.held_bytes > self._bodies.limit_bytes:
                raise Overloaded("too many large request bodies at once; try again soon", retry_after_s=5)
        return message


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the request body is larger than {limit_bytes} bytes, the most this server takes")


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    if 0 < len(given) <= 128 and all(c.isalnum() or c in "-_." for c in given) and given.isascii():
        return given
    return f"req_{uuid.uuid4().hex}"
