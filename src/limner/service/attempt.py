"""One attempt at a claimed job: drawing it, putting its pictures away, and its end in the store.

Owns the attempt's deadline, what cancels it, and how it ends. Knows nothing of queues, slots and leases' beats.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Literal

from limner.backends import Backend
from limner.core import Finished, Queued, Words
from limner.errors import ClientLeft, DeadlineExceeded, InternalError, LimnerError, NotReady
from limner.jobs import Job, Outcome
from limner.records import error_record
from limner.roster import Roster
from limner.service.patience import patiently
from limner.service.publishing import Publisher, image_rows, result_record
from limner.service.tools import Tools
from limner.service.weights import file_sha256s
from limner.store import Completion, JobRow
from limner.tracing import STAGES

logger = logging.getLogger(__name__)


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
class Attempts:
    """Runs attempts. ``with_inputs`` it has a job's pictures, ``charge`` prices a finished job; what could not be
    recorded is tried for ``lease_s``."""

    tools: Tools
    roster: Roster
    publisher: Publisher
    lease_s: float
    with_inputs: Callable[[Job, JobRow], AbstractAsyncContextManager[None]]
    charge: Callable[[Job, float], int]

    async def run(self, claim: Claim) -> None:
        """Draw, and record the end, whatever it is."""
        try:
            await self._attempt(claim)
        except LimnerError as error:
            await self._fail(claim, error)
        except Exception:  # the task's root: whatever a backend did, the job must end and the log must say why
            logger.exception("job %s failed", claim.job.id)
            message = f"image generation failed; the server's log has the reason under {claim.job.id}"
            await self._fail(claim, InternalError(message))

    async def _attempt(self, claim: Claim) -> None:
        """Draw and store, or raise why not."""
        job, left_s = claim.job, claim.row.deadline_at_s - time.time()
        try:
            async with asyncio.timeout(left_s) as deadline:
                with self.tools.tracing.span("draw", parent=claim.row.request["trace"], model=job.model, job_id=job.id):
                    finished = await job.unless_cancelled(self._draw(claim))
        except TimeoutError as error:
            if not deadline.expired():  # it is some socket's of the backend
                raise
            raise DeadlineExceeded(
                f"the job ran past its timeout of {job.request.timeout_s:g} s", param="timeout"
            ) from error
        with self.tools.tracing.span("store"):
            # Hours of drawing may be in it: even past the deadline it is put away if that goes soon.
            limit_s = max(claim.row.deadline_at_s - time.time(), self.lease_s)
            work = self.publisher.publish(job, claim.row.request, finished, limit_s)
            outcome = await job.unless_cancelled(work)
        claim.over = await self._record(claim, outcome)
        if claim.over:
            job.finish(outcome)
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
                    job.record(event)
        raise InternalError(f"the backend of {job.model!r} ended without a picture")

    async def _fail(self, claim: Claim, error: LimnerError) -> None:
        status: Literal["cancelled", "failed"] = "cancelled" if isinstance(error, ClientLeft) else "failed"
        row, record, now_s = claim.row, error_record(error), time.time()
        claim.ending = True
        try:
            claim.over = await patiently(
                lambda: self.tools.store.fail(row.id, row.attempt, status, record, ended_at_s=now_s),
                self.lease_s,
            )
        except Exception:  # the job's lease will end and another attempt begin
            logger.exception("the end of %s could not be recorded", row.id)
            claim.job.abandon(NotReady(f"how {row.id} ended could not be recorded; ask again", retry_after_s=30))
            return
        if claim.over:
            claim.job.times.ended_at_s = now_s
            claim.job.fail(error)


def _has_loras(job: Job) -> bool:
    return any(isinstance(value, tuple) and value for value in job.request.params.values())
