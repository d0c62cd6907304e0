"""The part of the service that works: takes jobs from the store, has them attempted, says that it lives.

Owns the jobs that this process has claimed: slots, leases and their attempts' fencing. It also gives back what dead
processes have left. Knows nothing of admission, nor of what an attempt does.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from limner.errors import InternalError, NotReady
from limner.jobs import Job
from limner.logs import bind_job, bind_request
from limner.records import cancellation_of, error_record
from limner.roster import Roster
from limner.service.attempt import Attempts, Claim
from limner.service.liveness import Liveness
from limner.service.tools import Tools
from limner.store import Beat, JobRow

logger = logging.getLogger(__name__)
POLL_S = 1.0  # how long a job that another process has accepted may go unnoticed, where there is no news
BEATS_PER_LEASE = 3
BEAT_S = 2.0  # at least as often: how long a dead process, or a cancellation by another one, may go unnoticed


@dataclass(frozen=True, slots=True)
class WorkerRules:
    """``slots`` jobs at once (0: others draw); leases of ``lease_s``; a job is given up after ``max_crashes``."""

    slots: int
    lease_s: float
    max_crashes: int


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
    somebody here is already waiting for. ``on_end`` hears of every end here, ``on_given_up`` of jobs that are given up.
    """

    id: str
    tools: Tools
    roster: Roster
    attempts: Attempts
    liveness: Liveness | None
    rules: WorkerRules
    job_of: Callable[[JobRow], Awaitable[Job]]
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
            await self.attempts.run(claim)
        except asyncio.CancelledError:
            pass  # another worker has the job, or this one leaves and hands it back
        finally:
            if self._claims.get(claim.row.id) is claim:
                del self._claims[claim.row.id]
            self._freed()
            hooked = claim.row.hook_url is not None
            self.on_end(Ended(claim.job, claim.over, hooked, waited_s, time.monotonic() - started_s))

    async def _hand_back(self, claims: Sequence[Claim]) -> None:
        """The process is leaving: the jobs wait in the queue for the next one, or, while the database is away, for the
        end of their leases."""
        try:
            if claims:
                await self.tools.store.hand_back(self.id, [claim.row.id for claim in claims])
        except NotReady:
            logger.exception("%d jobs could not be queued again; they are when their leases end", len(claims))
        for claim in claims:
            claim.job.abandon(leaving(claim.job))


def leaving(job: Job) -> NotReady:
    """What those hear who wait for a job when the process leaves."""
    return NotReady(f"the server is shutting down; {job.id} will be drawn when it is back", retry_after_s=5)


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
