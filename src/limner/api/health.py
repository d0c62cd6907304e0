"""How the server is: for people, for what restarts it, for what sends it traffic, and for Prometheus.

Owns ``/health`` and what lies below it, and ``/metrics``. Reasons given here are short, since anybody may ask; the log
has the rest.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response

from limner.api import server_docs
from limner.api.gateway import gateway_of
from limner.errors import LimnerError, NotFound, NotReady
from limner.metrics import CONTENT_TYPE
from limner.service import Service

router = APIRouter(tags=["Server"])
logger = logging.getLogger(__name__)
KEPT_S = 5.0  # how long an answer of database and picture store is good
DEADLINE_S = 3.0  # how long either may take

Check = Callable[[], Awaitable[object]]


class Readiness:
    """What the server needs besides its models, asked at most every KEPT_S and by one at a time.

    ``checks`` are by name; one fails by raising LimnerError or OSError, or by taking longer than DEADLINE_S.
    """

    def __init__(self, checks: Mapping[str, Check], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._checks = checks
        self._clock = clock
        self._asking = asyncio.Lock()
        self._failing: tuple[str, ...] = ()
        self._good_until_s = float("-inf")

    async def failing(self) -> tuple[str, ...]:
        """The names of the checks that fail."""
        async with self._asking:
            if self._clock() >= self._good_until_s:
                works = await asyncio.gather(*(self._works(name, check) for name, check in self._checks.items()))
                self._failing = tuple(name for name, ok in zip(self._checks, works, strict=True) if not ok)
                self._good_until_s = self._clock() + KEPT_S
            return self._failing

    async def _works(self, name: str, check: Check) -> bool:
        try:
            async with asyncio.timeout(DEADLINE_S):
                await check()
        except (LimnerError, OSError) as error:  # of which TimeoutError is one
            logger.warning("not ready: %s: %s", name, str(error) or f"no answer within {DEADLINE_S:g} s")
            return False
        return True


@router.head("/health", include_in_schema=False)
@router.get("/health", openapi_extra=server_docs.HEALTH)
async def health(http: HttpRequest) -> Response:
    """200 when the default model can be used, 503 while it loads or after it has died."""
    try:
        roster = gateway_of(http).service.roster
    except NotReady:
        return _json({"status": "loading", "model": None, "ready": False, "models": []}, status=503)
    states = [{"id": m.spec.id, "state": m.state, "error": str(m.error) if m.error else None} for m in roster.own]
    state = roster.default.state
    body = {
        "status": "ok" if state == "ready" else state,
        "model": roster.default.spec.id,
        "ready": state == "ready",
        "models": states,
    }
    return _json(body, status=200 if state == "ready" else 503)


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", openapi_extra=server_docs.LIVE)
async def live() -> Response:
    """200 as soon as the process serves: whatever is wrong, restarting it would not help."""
    return _json({"status": "ok"})


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready", openapi_extra=server_docs.READY)
async def ready(http: HttpRequest) -> Response:
    """200 when a job for the default model would be taken and kept, 503 with the reasons otherwise."""
    try:
        reasons = await _reasons(http)
    except NotReady:
        reasons = ["the server is starting"]
    body = {"status": "unavailable" if reasons else "ok", "reasons": reasons}
    return _json(body, status=503 if reasons else 200)


@router.get("/metrics", openapi_extra=server_docs.METRICS, response_class=PlainTextResponse)
async def metrics(http: HttpRequest) -> Response:
    """This process's figures, in Prometheus' text format."""
    gateway = gateway_of(http)
    if not gateway.settings.metrics:
        raise NotFound("no such path: /metrics; the setting metrics is false")
    figures = gateway.service.metrics
    await figures.refresh()
    return Response(await asyncio.to_thread(figures.render), headers={"Content-Type": CONTENT_TYPE})


async def _reasons(http: HttpRequest) -> list[str]:
    service = gateway_of(http).service
    default = service.roster.default
    reasons = ["the server is shutting down"] if service.closing else []
    if default.state != "ready":
        reasons.append(f"the model {default.spec.id!r} {'is loading' if default.state == 'loading' else 'has failed'}")
    return reasons + [f"the {name} does not work" for name in await _readiness(http, service).failing()]


def _readiness(http: HttpRequest, service: Service) -> Readiness:
    """The app's own, made when it is first asked for."""
    known = getattr(http.app.state, "readiness", None)
    if known is None:
        known = Readiness({"database": service.store.check, "picture store": service.blobs.check})
        http.app.state.readiness = known
    assert isinstance(known, Readiness)
    return known


def _json(value: Mapping[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")
