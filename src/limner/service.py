"""The waist: every dialect submits here and every backend is driven from here.

Owns a job's life: admission, running, deadline, cancellation. Knows no wire format and no model.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from limner.catalogue.resolve import Policy, resolve
from limner.core import Finished, Queued, Request
from limner.errors import ClientLeft, DeadlineExceeded, InternalError, LimnerError, NotReady, Overloaded
from limner.jobs import Job
from limner.roster import Roster, ServedModel

logger = logging.getLogger(__name__)
IDLE_S = 2.0


@dataclass(slots=True)
class Pace:
    """How fast jobs end: a moving average of the seconds between completions while there was work."""

    seconds_per_job: float = 1.0
    _last_end_s: float | None = None

    def ended(self, started_s: float, now_s: float) -> None:
        """A job that started at ``started_s`` ended at ``now_s`` (monotonic seconds)."""
        since_s = max(started_s, self._last_end_s or started_s)
        self._last_end_s = now_s
        self.seconds_per_job += 0.2 * (max(now_s - since_s, 0.001) - self.seconds_per_job)


@dataclass(frozen=True, slots=True)
class Seat:
    """The right to submit one job; `Service.seat` gives it."""

    _accept: Callable[[Request], Awaitable[Job]]

    async def submit(self, request: Request) -> Job:
        """Accept ``request`` as a job, or raise: ModelNotFound, NotReady, InvalidRequest."""
        return await self._accept(request)


class Service:
    """Accepts requests, runs them as jobs and bounds how many there are at once.

    ``on_idle`` is called in a thread when the last job has ended and none has come for IDLE_S.
    """

    def __init__(
        self, roster: Roster, policy: Policy, *, queue_limit: int, on_idle: Callable[[], object] = lambda: None
    ) -> None:
        self.roster = roster
        self.policy = policy
        self._queue_limit = queue_limit
        self._on_idle = on_idle
        self._pace = Pace()
        self._running: dict[Job, asyncio.Task[None]] = {}
        self._seated = 0
        self._closing = False

    async def ready(self) -> None:
        """Wait until every model is loaded; raises the first one's failure."""
        await self.roster.settled()

    @contextmanager
    def seat(self) -> Iterator["Seat"]:
        """A place in the queue, held while a request is still being read; raises Overloaded when there is none.

        Dialects take it before they read pictures, so that what waits to be decoded is bounded too.
        """
        if len(self._running) + self._seated >= self._queue_limit:
            wait_s = min(max(round(self._pace.seconds_per_job), 1), 60)
            raise Overloaded(
                f"the queue is full ({self._queue_limit} jobs); try again in about {wait_s} s", retry_after_s=wait_s
            )
        self._seated += 1
        try:
            yield Seat(self._accept)
        finally:
            self._seated -= 1

    async def submit(self, request: Request) -> Job:
        """Take a seat and submit at once: see `Seat.submit`."""
        with self.seat() as seat:
            return await seat.submit(request)

    async def _accept(self, request: Request) -> Job:
        if self._closing:
            raise NotReady("the server is shutting down", retry_after_s=5)
        model = self.roster.find(request.model)
        model.require_ready()
        resolution = resolve(request, model.spec, self.policy)
        job = Job(resolution.request, model.spec, resolution.warnings)
        position = len(self._running)
        task = asyncio.create_task(self._run(job, model), name=job.id)
        self._running[job] = task
        task.add_done_callback(lambda _: self._ended(job))
        await job.record(Queued(position, eta_s=(position + 1) * self._pace.seconds_per_job))
        return job

    def stop_accepting(self) -> None:
        """Refuse new jobs from now on; what runs goes on."""
        self._closing = True

    async def aclose(self) -> None:
        """Refuse new jobs, cancel the running ones and close the backends."""
        self._closing = True
        for job in list(self._running):
            job.cancel()
        if self._running:
            await asyncio.wait(list(self._running.values()))
        for backend in {id(model.backend): model.backend for model in self.roster}.values():
            await backend.aclose()

    def _ended(self, job: Job) -> None:
        self._running.pop(job, None)
        if not self._running:
            asyncio.get_running_loop().call_later(IDLE_S, self._rest)

    def _rest(self) -> None:
        if not self._running and not self._closing:
            asyncio.get_running_loop().run_in_executor(None, self._on_idle)

    async def _run(self, job: Job, model: ServedModel) -> None:
        started_s = time.monotonic()
        try:
            await self._work(job, model)
        except LimnerError as error:
            await job.fail(error)
        except TimeoutError:
            await job.fail(
                DeadlineExceeded(f"the job ran past its timeout of {job.request.timeout_s:g} s", param="timeout")
            )
        except Exception:  # the task's root: whatever a backend did, the job must end and the log must say why
            logger.exception("job %s failed", job.id)
            await job.fail(InternalError(f"image generation failed; the server's log has the reason under {job.id}"))
        finally:
            self._pace.ended(started_s, time.monotonic())
            _log_end(job, time.monotonic() - started_s)

    async def _work(self, job: Job, model: ServedModel) -> None:
        """Follow the backend until it finishes, the deadline passes or somebody cancels."""
        async with asyncio.timeout(job.request.timeout_s):
            follow = asyncio.create_task(_follow(job, model))
            leave = asyncio.create_task(job.cancel_requested.wait())
            try:
                await asyncio.wait({follow, leave}, return_when=asyncio.FIRST_COMPLETED)
                if not follow.done():
                    raise ClientLeft("the request was cancelled")
                await follow
            finally:
                follow.cancel()
                leave.cancel()
                await asyncio.wait({follow})  # until the backend has let go of the device


async def _follow(job: Job, model: ServedModel) -> None:
    async with aclosing(model.backend.generate(job.request)) as events:
        async for event in events:
            await job.record(event)
            if isinstance(event, Finished):
                return
    raise InternalError(f"the backend of {model.spec.id!r} ended without a picture")


def _log_end(job: Job, seconds: float) -> None:
    request = job.request
    logger.info(
        "%s %s model=%s operation=%s size=%s n=%d seed=%s steps=%s seconds=%.3f%s",
        job.id, job.status, job.spec.id, request.operation, request.size, request.n, request.seed,
        request.params.get("num_inference_steps"), seconds, f" error={job.error}" if job.error else "",
    )  # fmt: skip
    logger.debug("%s prompt=%r", job.id, request.prompt)
