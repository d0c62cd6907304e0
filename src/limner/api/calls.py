"""One image call of any dialect, from its checked fields to its reply: what all of them do in the same way.

Owns the order of things: a seat before pictures are read, estimate, acceptance, 202 where it was asked for, waiting,
and what becomes of a job whose client leaves. A dialect says how its wire becomes a Request and an outcome its reply.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from limner.api.asking_back import asked_back
from limner.api.doorkeeper import caller_of
from limner.api.gateway import Gateway, gateway_of
from limner.api.jobs.replies import accepted_response, estimate_response
from limner.api.leaving import Presence, tell_when_left
from limner.api.manners import Manners, manners_of
from limner.api.replies import Links
from limner.core import Operation, Request, Warning
from limner.errors import ClientLeft, InvalidRequest, RegionNotFound
from limner.jobs import Job, JobEvent, Outcome, ResponseFormat, Submission
from limner.store.rows import Hook

KEEP_ALIVE_S = 10.0
_closing: set[asyncio.Task[None]] = set()  # the loop itself holds tasks only weakly
T = TypeVar("T")
Read: TypeAlias = Callable[[], Coroutine[Any, Any, tuple[Request, tuple[Warning, ...]]]]


@dataclass(frozen=True, slots=True)
class Call:
    """An accepted job and the exchange that brought it. ``headers`` are those that every reply about it carries.

    In an exchange that ``converses``, a question back is the outcome of a job that has failed for want of its answer.
    """

    http: HttpRequest
    gateway: Gateway
    job: Job
    headers: dict[str, str]
    converses: bool = False

    @property
    def links(self) -> Links:
        """Makes links to its pictures."""
        return self.gateway.links(self.http)

    async def outcome(self) -> Outcome:
        """Wait for the pictures; raises the job's error."""
        try:
            return await self.job.result()
        except RegionNotFound as error:
            return self._asked_back(error)

    def events(self) -> AsyncIterator[JobEvent | None]:
        """What happens to the job, and None whenever nothing has happened for KEEP_ALIVE_S."""
        return with_keep_alive(self._events())

    async def _events(self) -> AsyncGenerator[JobEvent]:
        try:
            async with aclosing(self.job.events()) as events:
                async for event in events:
                    yield event
        except RegionNotFound as error:
            yield self._asked_back(error)

    def _asked_back(self, error: RegionNotFound) -> Outcome:
        if not self.converses:
            raise error
        return asked_back(self.job, error)


class ClosingStream(StreamingResponse):
    """A reply bit by bit, for no cache to keep.

    Closes its body whatever ends the sending: a client that leaves while it is sent something follows no longer.
    """

    def __init__(
        self,
        body: AsyncGenerator[bytes],
        headers: Mapping[str, str] = MappingProxyType({}),
        media_type: str = "text/event-stream",
    ) -> None:
        super().__init__(body, headers={**headers, "Cache-Control": "no-cache"}, media_type=media_type)
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the body to its end, or until the client has left."""
        async with aclosing(self._body):
            await super().__call__(scope, receive, send)


Reply: TypeAlias = Callable[[Call], Coroutine[Any, Any, Response]]
Stream: TypeAlias = Callable[[Call], AsyncIterator[bytes]]


async def job_accepted(call: Call) -> Response:
    """202 with the job object."""
    return await accepted_response(call.http, call.gateway, call.job, call.headers)


@dataclass(frozen=True, slots=True)
class Wire:
    """How a dialect answers: ``reply`` waits for the outcome and renders it; ``stream``, where the client asked for
    one, gives a body of ``stream_type`` bit by bit (errors too) instead; ``accepted`` is the 202 of a job that nobody
    waits for; ``previous`` is the job that this one goes on from, ``attached`` as in Submission; ``converses``: it may
    ask back in words."""

    reply: Reply
    stream: Stream | None = None
    stream_type: str = "text/event-stream"
    accepted: Reply = job_accepted
    response_format: ResponseFormat = "b64_json"
    previous: str | None = None
    attached: tuple[int, ...] = ()
    converses: bool = False


async def conduct(
    http: HttpRequest,
    model: str,
    read: Read,
    wire: Wire,
    *,
    operation: Operation | None = None,
    detached: bool = False,
    hook: Hook | None = None,
) -> Response:
    """Answer one image call; the body must have been read.

    ``model`` is the name that was asked for ("": the default): one that is unknown or not ready is refused before
    pictures are read, and names that mean whichever model fits mean one for ``operation`` where that is known.
    ``read`` makes the Request; ``detached`` answers with the job, as ``Prefer: respond-async`` does.
    """
    gateway, manners, caller = gateway_of(http), manners_of(http), caller_of(http)
    detached = detached or manners.respond_async
    if detached and wire.stream is not None:
        raise InvalidRequest("a stream cannot be answered asynchronously: drop 'stream' or 'Prefer'", param="stream")
    roster = gateway.service.roster
    pictured = operation not in (None, Operation.GENERATE)
    found = roster.find(model) if operation is None else roster.route(model, operation, has_images=pictured)
    if not detached:
        found.require_ready()
    async with Presence(http) as client:
        with gateway.service.seat(caller, detached=detached) as seat:
            request, warnings = await client.unless_left(read())
            if manners.estimate:
                return estimate_response(request, await gateway.service.estimate(request, caller))
            submission = Submission(
                idempotency_key=manners.idempotency_key,
                hook=hook,
                detached=detached,
                warnings=warnings,
                response_format=wire.response_format,
                previous=wire.previous,
                attached=wire.attached,
            )
            job = await seat.submit(request, submission)
        call = Call(http, gateway, job, job_headers(job, replayed=seat.replayed), wire.converses)
        http.state.headers = call.headers  # an error that leaves here is rendered with them
        if detached and not await _ended(job, manners):
            return await wire.accepted(call)
        if wire.stream is not None:
            return ClosingStream(_streamed(call, wire.stream), call.headers, wire.stream_type)
        return await _answered(call, wire.reply, client)


def timeout_s_of(http: HttpRequest, asked_s: float | None, *, detached: bool = False) -> float:
    """The job's deadline in seconds: what was asked for; otherwise the default, or all that is allowed where nobody
    waits."""
    settings = gateway_of(http).settings
    if asked_s is not None:
        return asked_s
    unhurried = detached or manners_of(http).respond_async
    return settings.max_timeout_s if unhurried else settings.default_timeout_s


def job_headers(job: Job, *, replayed: bool) -> dict[str, str]:
    """What every reply about a job carries."""
    return {"X-Limner-Job": job.id, **({"Idempotent-Replayed": "true"} if replayed else {})}


async def _ended(job: Job, manners: Manners) -> bool:
    if manners.wait_s:
        await job.wait(manners.wait_s)
    return job.done and manners.respond_async


async def _answered(call: Call, reply: Reply, client: Presence) -> Response:
    try:
        return await client.unless_left(reply(call))
    except ClientLeft:
        call.gateway.service.left(call.job)
        raise


async def _streamed(call: Call, stream: Stream) -> AsyncGenerator[bytes]:
    service = call.gateway.service
    watcher = asyncio.create_task(tell_when_left(call.http, service, call.job))
    try:
        async for chunk in stream(call):
            yield chunk
    finally:
        watcher.cancel()
        service.left(call.job)


async def with_keep_alive(events: AsyncGenerator[T]) -> AsyncIterator[T | None]:
    """The events, and None whenever nothing has happened for KEEP_ALIVE_S. ``events`` are closed at the end."""
    pending: asyncio.Task[T] | None = None
    try:
        while True:
            pending = pending or asyncio.create_task(_next(events))
            done, _ = await asyncio.wait({pending}, timeout=KEEP_ALIVE_S)
            if not done:
                yield None
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield event
    finally:
        # Its own task: who is cancelled here, because the client has left, may be again at every await.
        closing = asyncio.create_task(_close(events, pending))
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)


async def _close(events: AsyncGenerator[T], pending: asyncio.Task[T] | None) -> None:
    """End ``events`` now: one that a cancellation left between two events is otherwise there until it is collected."""
    if pending is not None:
        pending.cancel()
        await asyncio.wait({pending})
    await events.aclose()


async def _next(events: AsyncIterator[T]) -> T:
    return await anext(events)
