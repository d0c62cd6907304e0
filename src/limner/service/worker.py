"""The part of the service that works: takes jobs from the store, runs them on their backends, says that it lives.

Owns the jobs that this process has claimed: their leases, their attempts' fencing, their deadlines and how they end. It
also gives back what dead processes have left. Knows nothing of admission.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from limner.backends import Backend
from limner.core import Finished, Queued, Words
from limner.errors import ClientLeft, DeadlineExceeded, InternalError, LimnerError, NotReady
from limner.jobs import Job, Outcome
from limner.logs import bind_job, bind_request
from limner.records import cancellation_of, error_record
from limner.roster import Roster
from limner.service.liveness import Liveness
from limner.service.patience import patiently
from limner.service.publishing import Publisher, image_rows, result_record
from limner.service.tools import Tools
from limner.service.weights import file_sha256s
from limner.store import Beat, Completion, JobRow

T = TypeVar("T")
logger = logging.getLogger(__name__)
POLL_S = 1.0  # how long a job that another process has accepted may go unnoticed, where there is no news
BEATS_PER_LEASE = 3
BEAT_S = 2.0  # at least as often: how long a dead process, or a cancellation by another one, may go unnoticed
STAGES = ("encode", "denoise", "decode")  # of device time


@dataclass(frozen=True, slots=True)
class WorkerRules:
    """``slots`` jobs at once (0: others draw); leases of ``lease_s``; a job is given up after ``max_crashes``."""

    slots: int
    lease_s: float
    max_crashes: int


@dataclass(slots=True)
class Claim:
    """A job that is being drawn here. ``ending``: its end is being recorded, ``over``: it is, and the job ended so."""

    job: Job
    row: JobRow
    task: asyncio.Task[None] | None = None
    ending: bool = False
    over: bool = False

    def stop(self) -> None:
        """Another has the job. Once is enough: a second time would not wait until the backend has let go."""
        if self.task is not None and not self.task.cancelling():
            self.task.cancel()

    async def stopped(self) -> None:
        """As `stop`, and return when it has ended."""
        self.stop()
        if self.task is not None:
            await asyncio.wait({self.task})


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended, for whoever keeps figures. ``over``: the job ended with it, and the store knows.
    ``hooked``: somebody outside is to be told."""

    job: Job
    over: bool
    hooked: bool
    waited_s: float
    wall_s: float


@dataclass(slots=True)
class Worker:
    """One process's worker, called ``id`` in the store. ``job_of`` makes a claimed row a Job, or finds the one that
    somebody here is already waiting for; ``with_inputs`` it has its pictures. ``charge`` prices a finished job,
    ``on_end`` hears of every end here, ``on_given_up`` of the jobs that were given up."""

    id: str
    tools: Tools
    roster: Roster
    publisher: Publisher
    liveness: Liveness | None
    rules: WorkerRules
    job_of: Callable[[JobRow], Awaitable[Job]]
    with_inputs: Callable[[Job, JobRow], AbstractAsyncContextManager[None]]
    charge: Callable[[Job, float], int]
    on_end: Callable[[Ended], None]
    on_given_up: Callable[[Sequence[str]], None]
    _claims: dict[str, Claim] = field(default_factory=dict)
    _promised: int = 0
    _claiming: asyncio.Lock = field(default_factory=asyncio.Lock)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _starved: bool = False  # there was no room when something might have been claimed
    _found_at_s: float = -math.inf  # monotonic: when a claim last found something
    _loops: list[asyncio.Task[None]] = field(default_factory=list)
    _leaving: bool = False

    @property
    def room(self) -> int:
        """How many more jobs can be begun now."""
        return 0 if self._leaving else max(self.rules.slots - len(self._claims) - self._promised, 0)

    @property
    def is_leaving(self) -> bool:
        """Whether nothing more is begun here."""
        return self._leaving

    @property
    def busy(self) -> int:
        """How many jobs are being drawn."""
        return len(self._claims)

    def holds(self, job_id: str) -> bool:
        """Whether the job is being drawn here."""
        return job_id in self._claims

    def lease_until_s(self) -> float:
        """When a lease that is taken now ends."""
        return time.time() + self.rules.lease_s

    @property
    def claimable(self) -> list[str]:
        """The ids of the models whose jobs can be begun here."""
        return [model.spec.id for model in self.roster if model.state == "ready"]

    async def promise(self) -> bool:
        """Keep a slot, if there is one, for a job that is about to be accepted as running; `break_promise` follows."""
        if not self.room:
            async with self._claiming:  # what is kept for a claim may not be needed
                pass
        if not self.room:
            return False
        self._promised += 1
        return True

    def break_promise(self) -> None:
        """Let go of the slot: the job has come, or waits, or will not be; if it waits, `wake` follows."""
        self._promised -= 1
        self._freed()

    def adopt(self, job: Job, row: JobRow) -> None:
        """Begin a job whose row says that this worker has it. Another attempt that is still under way here has lost its
        lease unnoticed, and ends before."""
        earlier = self._claims.get(row.id)
        claim = Claim(job, row)
        self._claims[row.id] = claim
        claim.task = asyncio.create_task(self._run(claim, earlier), name=row.id)

    def wake(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    def _freed(self) -> None:
        """A slot is free again: claim at once if something has waited for it, or comes through other processes."""
        if self._starved or time.monotonic() - self._found_at_s < POLL_S:
            self.wake()

    async def start(self) -> None:
        """Give back what dead processes left, then claim and beat until `stop`."""
        await self._expire()
        self._loops = [
            asyncio.create_task(_for_ever("claiming", self._claim_some)),
            asyncio.create_task(_for_ever("beating", self._beat)),
        ]
        if self.rules.slots:
            self._loops.append(asyncio.create_task(_for_ever("hearing of jobs", self._hear)))

    def leave(self) -> None:
        """Claim nothing more."""
        self._leaving = True

    async def drain(self, limit_s: float) -> None:
        """Claim nothing more, let what runs go on for ``limit_s``, and hand the rest back to the queue."""
        self.leave()
        tasks = [claim.task for claim in self._claims.values() if claim.task is not None]
        if tasks and limit_s > 0:
            await asyncio.wait(tasks, timeout=limit_s)
        left = list(self._claims.values())
        tasks = [claim.task for claim in left if claim.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._hand_back([claim for claim in left if not claim.over])

    async def stop(self) -> None:
        """`drain` without waiting, and end the loops."""
        await self.drain(0)
        for loop in self._loops:
            loop.cancel()
        if self._loops:
            await asyncio.wait(self._loops)

    async def _hear(self) -> None:
        await self.tools.store.news()
        self.wake()

    async def _claim_some(self) -> None:
        await _wait(self._wake, POLL_S)
        self._wake.clear()
        async with self._claiming:
            room, models = (self.room + 1) // 2, self.claimable  # who comes meanwhile need not wait for the answer
            self._starved = not room
            if not room or not models:
                return
            self._promised += room
            try:
                found = await self._claim(models, room)
            finally:
                self._promised -= room
        if found == room:
            self.wake()

    async def _claim(self, models: Sequence[str], limit: int) -> int:
        """Begin the best that wait, and say how many they were."""
        lease_until_s = self.lease_until_s()
        rows = await self.tools.store.claim(self.id, models, limit, now_s=time.time(), lease_until_s=lease_until_s)
        if rows:
            self._found_at_s = time.monotonic()
        for row in rows:
            await self._begin(row)
        return len(rows)

    async def _begin(self, row: JobRow) -> None:
        """Draw a claimed job, or record that its row cannot be understood: another version may have written it."""
        try:
            self.adopt(await self.job_of(row), row)
        except Exception:  # the root of taking up one job: the others must not suffer
            logger.exception("%s could not be taken up again", row.id)
            failure = InternalError(f"the job could not be taken up again; the server's log has the reason at {row.id}")
            await self.tools.store.fail(row.id, row.attempt, "failed", error_record(failure), ended_at_s=time.time())

    async def _beat(self) -> None:
        await asyncio.sleep(min(self.rules.lease_s / BEATS_PER_LEASE, BEAT_S))
        claims = list(self._claims.values())
        if claims:
            beats = [Beat(claim.row.id, claim.row.attempt, claim.job.progress) for claim in claims]
            answer = await self.tools.store.renew(self.id, beats, lease_until_s=self.lease_until_s())
            for claim in claims:
                if (reason := answer.cancelled.get(claim.row.id)) is not None:
                    claim.job.cancel(cancellation_of(reason))
                if claim.row.id in answer.lost and not claim.ending:  # otherwise it may have been lost to its own end
                    claim.stop()
        await self._expire()

    async def _expire(self) -> None:
        dead: frozenset[str] = frozenset()
        if self.liveness is not None:
            holders = await self.tools.store.workers()
            dead = await asyncio.to_thread(self.liveness.dead, holders)
            await asyncio.to_thread(self.liveness.forget, holders)
        gone = await self.tools.store.expire(now_s=time.time(), dead_workers=dead, max_crashes=self.rules.max_crashes)
        for job_id in gone.requeued:
            logger.warning("%s is queued again: the process that drew it has ended", job_id)
        for job_id in gone.failed:
            logger.error("%s was given up", job_id)
        if gone.failed:
            self.on_given_up(gone.failed)
        self.tools.metrics.jobs_taken_over(requeued=len(gone.requeued), given_up=len(gone.failed))
        if gone.requeued:
            self.wake()

    async def _run(self, claim: Claim, earlier: Claim | None) -> None:
        """One attempt, from its first work to its end in the store, once the ``earlier`` one has ended."""
        started_s = time.monotonic()
        bind_request(claim.row.request["request_id"])
        bind_job(claim.row.id)
        claim.job.begin(claim.row.started_at_s)
        waited_s = (claim.row.started_at_s or claim.row.created_at_s) - claim.row.created_at_s
        self.tools.metrics.job_started(claim.row.model, waited_s)
        self.tools.tracing.took("queue", claim.row.created_at_s, waited_s, model=claim.row.model)
        try:
            if earlier is not None:
                await earlier.stopped()
            await self._attempt(claim)
        except asyncio.CancelledError:
            pass  # another worker has the job, or this one leaves and hands it back
        except LimnerError as error:
            await self._fail(claim, error)
        except Exception:  # the task's root: whatever a backend did, the job must end and the log must say why
            logger.exception("job %s failed", claim.job.id)
            message = f"image generation failed; the server's log has the reason under {claim.job.id}"
            await self._fail(claim, InternalError(message))
        finally:
            if self._claims.get(claim.row.id) is claim:
                del self._claims[claim.row.id]
            self._freed()
            hooked = claim.row.hook_url is not None
            self.on_end(Ended(claim.job, claim.over, hooked, waited_s, time.monotonic() - started_s))

    async def _attempt(self, claim: Claim) -> None:
        """Draw and store, or raise why not."""
        job, left_s = claim.job, claim.row.deadline_at_s - time.time()
        try:
            async with asyncio.timeout(left_s) as deadline:
                with self.tools.tracing.span("draw", parent=claim.row.request["trace"], model=job.model, job_id=job.id):
                    finished = await self._unless_cancelled(job, self._draw(claim))
        except TimeoutError as error:
            if not deadline.expired():  # it is some socket's of the backend
                raise
            raise DeadlineExceeded(
                f"the job ran past its timeout of {job.request.timeout_s:g} s", param="timeout"
            ) from error
        with self.tools.tracing.span("store"):
            # Hours of drawing may be in it: even past the deadline it is put away if that goes soon.
            limit_s = max(claim.row.deadline_at_s - time.time(), self.rules.lease_s)
            work = self.publisher.publish(job, claim.row.request, finished, limit_s)
            outcome = await self._unless_cancelled(job, work)
        claim.over = await self._record(claim, outcome)
        if claim.over:
            await job.finish(outcome)
        else:
            logger.warning("%s: attempt %d came too late, another has the job", job.id, claim.row.attempt)

    async def _record(self, claim: Claim, outcome: Outcome) -> bool:
        """Make the end known to everybody, once; False when the job is no longer ours."""
        job, now_s = claim.job, time.time()
        device_s = sum(outcome.timings_s.get(stage, 0.0) for stage in STAGES)
        hashes = await asyncio.to_thread(file_sha256s, job.request) if _has_loras(job) else {}
        job.times.ended_at_s = now_s
        job.account.device_s = device_s
        job.account.cost_micro = self.charge(job, device_s)
        completion = Completion(
            result=result_record(outcome, hashes),
            images=image_rows(job, outcome, now_s),
            cost_micro=job.account.cost_micro,
            device_s=device_s,
            ended_at_s=now_s,
        )
        return await self._finish(claim, completion)

    async def _finish(self, claim: Claim, completion: Completion) -> bool:
        """Record the end, however long the database is away: hours of drawing may be in it, and failing could not be
        recorded either. False once another worker has the job."""
        row, claim.ending = claim.row, True

        async def finish() -> bool:
            if await self.tools.store.finish(row.id, row.attempt, completion):
                return True
            known = await self.tools.store.get(row.id)  # an answer that was lost may have been a yes
            return known.status == "finished" and known.attempt == row.attempt

        return await patiently(finish, math.inf)

    async def _draw(self, claim: Claim) -> Finished:
        async with self.with_inputs(claim.job, claim.row):
            began_s = time.time()
            finished = await self._ask_backend(claim.job)
            self.tools.tracing.stages(began_s, finished.timings_s)
            return finished

    async def _ask_backend(self, job: Job) -> Finished:
        backend: Backend = self.roster.find(job.model).backend
        told, said = job.said, ""  # what an earlier attempt here has told, as far as this one says it again
        async with aclosing(backend.generate(job.request)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event
                if isinstance(event, Words):
                    said += event.text
                    if told.startswith(said):
                        continue
                    event, told, said = Words(said.removeprefix(told)), "", ""
                if not isinstance(event, Queued):
                    await job.record(event)
        raise InternalError(f"the backend of {job.model!r} ended without a picture")

    async def _unless_cancelled(self, job: Job, work: Awaitable[T]) -> T:
        """The work's result; raises the reason when cancellation is asked for first."""
        follow = asyncio.ensure_future(work)
        leave = asyncio.create_task(job.cancel_requested.wait())
        try:
            await asyncio.wait({follow, leave}, return_when=asyncio.FIRST_COMPLETED)
            if not follow.done():
                assert job.cancellation is not None, "it is asked for with its reason"
                raise job.cancellation
            return await follow
        finally:
            follow.cancel()
            leave.cancel()
            await asyncio.wait({follow})  # until a backend has let go of the device

    async def _fail(self, claim: Claim, error: LimnerError) -> None:
        status: Literal["cancelled", "failed"] = "cancelled" if isinstance(error, ClientLeft) else "failed"
        row, record, now_s = claim.row, error_record(error), time.time()
        claim.ending = True
        try:
            claim.over = await patiently(
                lambda: self.tools.store.fail(row.id, row.attempt, status, record, ended_at_s=now_s),
                self.rules.lease_s,
            )
        except Exception:  # the job's lease will end and another attempt begin
            logger.exception("the end of %s could not be recorded", row.id)
            await claim.job.abandon(NotReady(f"how {row.id} ended could not be recorded; ask again", retry_after_s=30))
            return
        if claim.over:
            claim.job.times.ended_at_s = now_s
            await claim.job.fail(error)

    async def _hand_back(self, claims: Sequence[Claim]) -> None:
        """The process is leaving: the jobs wait in the queue for the next one, or, while the database is away, for the
        end of their leases."""
        try:
            if claims:
                await self.tools.store.hand_back(self.id, [claim.row.id for claim in claims])
        except NotReady:
            logger.exception("%d jobs could not be queued again; they are when their leases end", len(claims))
        for claim in claims:
            await claim.job.abandon(leaving(claim.job))


def leaving(job: Job) -> NotReady:
    """What those hear who wait for a job when the process leaves."""
    return NotReady(f"the server is shutting down; {job.id} will be drawn when it is back", retry_after_s=5)


def _has_loras(job: Job) -> bool:
    return any(isinstance(value, tuple) and value for value in job.request.params.values())


async def _for_ever(what: str, once: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await once()
        except Exception:  # the task's root: a database that is away for a moment must not end the worker
            logger.exception("%s failed; trying again", what)
            await asyncio.sleep(POLL_S)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
