"""Every HTTP exchange counted, timed and traced, whatever its dialect.

Plain ASGI, outermost, so that it sees the answer as the client gets it. Decides nothing and changes nothing.
"""

import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from limner.logs import bind_trace
from limner.metrics import Metrics
from limner.tracing import Span, Tracing

UNMATCHED = "other"  # every path that is no route of ours
LEFT = 499  # nothing was answered: the client had gone
UNTRACED = ("/health", "/metrics", "/favicon.ico")  # asked for every few seconds, and nobody's request


class Watch:
    """Counts and times exchanges. ``metrics_of`` and ``tracing_of`` answer None while the server is starting."""

    def __init__(
        self, app: ASGIApp, *, metrics_of: Callable[[], Metrics | None], tracing_of: Callable[[], Tracing | None]
    ) -> None:
        self._app = app
        self._metrics_of, self._tracing_of = metrics_of, tracing_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        metrics, tracing = self._metrics_of(), self._tracing_of()
        if scope["type"] != "http" or metrics is None or tracing is None:
            await self._app(scope, receive, send)
            return
        reply, started_s = _Reply(send), time.monotonic()
        metrics.request_began()
        try:
            await self._traced(tracing, scope, receive, reply)
        finally:
            metrics.request_ended(route_of(scope), scope["method"], reply.status, time.monotonic() - started_s)

    async def _traced(self, tracing: Tracing, scope: Scope, receive: Receive, reply: "_Reply") -> None:
        if not tracing.on or scope["path"].startswith(UNTRACED):
            await self._app(scope, receive, reply)
            return
        headers = dict(Headers(scope=scope))
        with tracing.request(scope["method"], headers, **{"http.request.method": scope["method"]}) as span:
            bind_trace(tracing.trace_id())
            try:
                await self._app(scope, receive, reply)
            finally:
                _tell(span, scope, reply.status)


class _Reply:
    """A ``send`` that remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = LEFT

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def route_of(scope: Scope) -> str:
    """The template of the route that took the request, such as ``/v1/models/{model_id:path}``."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else UNMATCHED


def _tell(span: Span, scope: Scope, status: int) -> None:
    route = route_of(scope)
    span.rename(f"{scope['method']} {route}")
    span.set("http.route", route)
    span.set("http.response.status_code", status)
    span.set("limner.request_id", scope.get("state", {}).get("request_id"))
