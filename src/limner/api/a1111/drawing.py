"""Drawing a call: its jobs one after another, as A1111's iterations are, until all are done or somebody stops it.

Owns that loop. The first job is the one that `conduct` has submitted; the others follow in the same way: a second pass
picture by picture after the part that it draws over.
"""

import asyncio
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

from limner.api.a1111.mount import state_of
from limner.api.a1111.planning import Part, Plan
from limner.api.a1111.runs import Run
from limner.api.a1111.second_pass import SecondPass
from limner.api.calls import Call
from limner.api.doorkeeper import caller_of
from limner.api.manners import manners_of
from limner.core import Preview, Request
from limner.errors import ClientLeft, LimnerError
from limner.jobs import Job, Outcome, StoredPicture, Submission
from limner.service import Service


@dataclass(frozen=True, slots=True)
class Drawn:
    """A part that was drawn, or a picture of it that was drawn over, ``after`` the jobs of these ids."""

    part: Part
    job: Job
    outcome: Outcome
    after: tuple[str, ...] = ()


async def draw(call: Call, plan: Plan, run: Run) -> list[Drawn]:
    """What was drawn before the end or the interruption. Raises the error of a part that failed, which says what had
    been drawn before it."""
    jobs = _Jobs(call, run)
    drawn: list[Drawn] = []
    number = 0
    for index, part in enumerate(plan.parts):
        if run.interrupted:
            break
        try:
            drawn.append(await jobs.first_of(part, number))
            if part.second is not None:
                await _draw_over(jobs, part.second, drawn, number + 1)
        except ClientLeft:
            if not run.stopped:
                raise
        except LimnerError as error:
            raise _of_part(error, index, plan.parts, drawn) from error
        number += part.jobs
    return drawn


async def _draw_over(jobs: "_Jobs", second: SecondPass, drawn: list[Drawn], number: int) -> None:
    """Put each picture of the last of ``drawn``, drawn over, in its place, until somebody stops it. Its jobs are
    numbered from ``number``, whatever is left out."""
    first, end = drawn.pop(), len(drawn)
    drawn += [replace(first, outcome=replace(first.outcome, pictures=(one,))) for one in first.outcome.pictures]
    for place, picture in enumerate(first.outcome.pictures):
        if not jobs.run.stopped:
            over = await jobs.over(first, second, picture, number + place * second.jobs)
            drawn[end + place] = over or drawn[end + place]


@dataclass(frozen=True, slots=True)
class _Jobs:
    """The jobs of a call, by their numbers in its plan."""

    call: Call
    run: Run

    @property
    def _service(self) -> Service:
        return self.call.gateway.service

    async def first_of(self, part: Part, number: int) -> Drawn:
        """The part itself; its seeds go on where those of the call's first job began."""
        seed = self.call.job.request.seed
        assert seed is not None, "the first job's seed is settled"
        return Drawn(part, *await self._next(replace(part.request, seed=seed + part.offset), number))

    async def over(self, first: Drawn, second: SecondPass, picture: StoredPicture, number: int) -> Drawn | None:
        """A picture of a first pass after the second one; None where somebody has stopped that."""
        after: tuple[str, ...] = (first.job.id,)
        try:
            drawn = await self._service.decoded(picture)
            if second.model is not None:
                enlarging, outcome = await self._next(second.to_enlarge(drawn), number)
                drawn, after = await self._service.decoded(outcome.pictures[0]), (*after, enlarging.id)
            async with state_of(self.call.http).resampling:
                request = await asyncio.to_thread(second.over, drawn, picture.size, picture.seed)
            if self.run.stopped:  # between two jobs
                return None
            job, outcome = await self._next(request, number + second.jobs - 1)
        except ClientLeft:
            if not self.run.stopped:
                raise
            return None
        return Drawn(first.part, _without_inputs(job), outcome, after)

    async def _next(self, request: Request, number: int) -> tuple[Job, Outcome]:
        job = self.call.job if number == 0 else await _submit(self.call, request, number)
        self.run.enter(number, job)
        await _stop_if_interrupted(self.call, self.run)
        return job, await _followed(self.call, job, self.run)


def _without_inputs(job: Job) -> Job:
    """What replies say of a job that has ended, without the picture that it began from: a call may have a hundred."""
    told = copy(job)
    told.request = replace(job.request, inputs=())
    return told


async def _stop_if_interrupted(call: Call, run: Run) -> None:
    """An interruption may have come while the job was being accepted."""
    if run.interrupted:
        await call.gateway.service.cancel(run.job)


async def _submit(call: Call, request: Request, number: int) -> Job:
    """The next job of the call; a client that leaves meanwhile leaves it as any other."""
    key = manners_of(call.http).idempotency_key
    submission = Submission(
        idempotency_key=None if key is None else f"{key} {number}", response_format=call.job.handed_in.response_format
    )
    with call.gateway.service.seat(caller_of(call.http)) as seat:
        return await seat.submit(request, submission)


async def _followed(call: Call, job: Job, run: Run) -> Outcome:
    """The job's outcome; what it looks like on the way is kept for whoever asks. Raises the job's error."""
    try:
        async for event in job.events():
            match event:
                case Preview():
                    run.preview = event.picture
                case Outcome():
                    return event
                case _:
                    pass
    except asyncio.CancelledError:  # the client has left, and knows of this job no more than of the first
        call.gateway.service.left(job)
        raise
    raise AssertionError("a job ends with its pictures or an error")


def _of_part(error: LimnerError, index: int, parts: Sequence[Part], drawn: Sequence[Drawn]) -> LimnerError:
    kept: list[StoredPicture] = [picture for one in drawn for picture in one.outcome.pictures]
    if not kept:
        return error
    names = ", ".join(picture.id for picture in kept)
    message = f"{error.message} (part {index + 1} of {len(parts)}; drawn before it and kept as files: {names})"
    return type(error)(message, param=error.param, retry_after_s=error.retry_after_s)
