"""Drawing a call: its jobs one after another, as A1111's iterations are, until all are done or somebody stops it.

Owns that loop. The first job is the one that `conduct` has submitted; the others follow in the same way: a second pass
picture by picture after the part that it draws over.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from limner.api.a1111.planning import Part, Plan
from limner.api.a1111.runs import Run
from limner.api.calls import Call
from limner.api.doorkeeper import caller_of
from limner.api.manners import manners_of
from limner.core import Preview, Request
from limner.errors import ClientLeft, LimnerError
from limner.jobs import Job, Outcome, StoredPicture, Submission


@dataclass(frozen=True, slots=True)
class Drawn:
    """A part that was drawn, or a picture of it that was drawn over."""

    part: Part
    job: Job
    outcome: Outcome


async def draw(call: Call, plan: Plan, run: Run) -> list[Drawn]:
    """What was drawn before the end or the interruption. Raises the error of a part that failed, which says what had
    been drawn before it."""
    jobs = _Jobs(call, run)
    drawn: list[Drawn] = []
    for index, part in enumerate(plan.parts):
        if run.interrupted:
            break
        try:
            drawn.append(await jobs.first_of(part))
            if part.second is not None:
                drawn[-1:] = await _drawn_over(jobs, drawn[-1])
        except ClientLeft:
            if not run.stopped:
                raise
        except LimnerError as error:
            raise _of_part(error, index, plan.parts, drawn) from error
    return drawn


async def _drawn_over(jobs: "_Jobs", one: Drawn) -> list[Drawn]:
    """Each picture of a first pass drawn over; as it was, from where somebody stopped it."""
    found: list[Drawn] = []
    for picture in one.outcome.pictures:
        over = None if jobs.run.stopped else await jobs.over(one.part, picture)
        found.append(over or Drawn(one.part, one.job, replace(one.outcome, pictures=(picture,))))
    return found


@dataclass(slots=True)
class _Jobs:
    """The jobs of a call, numbered as they begin."""

    call: Call
    run: Run
    _numbers: Iterator[int] = field(default_factory=count)

    async def first_of(self, part: Part) -> Drawn:
        """The part itself; its seeds go on where those of the call's first job began."""
        seed = self.call.job.request.seed
        assert seed is not None, "the first job's seed is settled"
        return Drawn(part, *await self._next(replace(part.request, seed=seed + part.offset)))

    async def over(self, part: Part, picture: StoredPicture) -> Drawn | None:
        """A picture of the part after its second pass; None where somebody has stopped that."""
        second, gateway = part.second, self.call.gateway
        assert second is not None, "only a second pass draws over"
        try:
            drawn = await gateway.media.decode(await gateway.service.data_of(picture), param="image")
            if second.model is not None:
                _, outcome = await self._next(second.to_enlarge(drawn))
                data = await gateway.service.data_of(outcome.pictures[0])
                drawn = await gateway.media.decode(data, param="image")
            request = await asyncio.to_thread(second.over, drawn, picture.size, picture.seed)
            return Drawn(part, *await self._next(request))
        except ClientLeft:
            if not self.run.stopped:
                raise
            return None

    async def _next(self, request: Request) -> tuple[Job, Outcome]:
        number = next(self._numbers)
        job = self.call.job if number == 0 else await _submit(self.call, request, number)
        self.run.enter(number, job)
        await _stop_if_interrupted(self.call, self.run)
        return job, await _followed(self.call, job, self.run)


async def _stop_if_interrupted(call: Call, run: Run) -> None:
    """An interruption may have come while the job was being accepted."""
    if run.interrupted:
        await call.gateway.service.cancel(run.job)


async def _submit(call: Call, request: Request, number: int) -> Job:
    """The next job of the call."""
    key = manners_of(call.http).idempotency_key
    submission = Submission(
        idempotency_key=None if key is None else f"{key} {number}", response_format=call.job.response_format
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
    if index == 0:
        return error
    kept: list[StoredPicture] = [picture for one in drawn for picture in one.outcome.pictures]
    names = ", ".join(picture.id for picture in kept) or "none"
    message = f"{error.message} (part {index + 1} of {len(parts)}; drawn before it and kept as files: {names})"
    return type(error)(message, param=error.param, retry_after_s=error.retry_after_s)
