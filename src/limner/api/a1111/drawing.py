"""Drawing a call: its jobs one after another, as A1111's iterations are, until all are done or somebody stops it.

Owns that loop. The first job is the one that `conduct` has submitted; the others follow in the same way.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """A part that was drawn."""

    part: Part
    job: Job
    outcome: Outcome


async def draw(call: Call, plan: Plan, run: Run) -> list[Drawn]:
    """What was drawn before the end or the interruption. Raises the error of a part that failed, which says what had
    been drawn before it."""
    drawn: list[Drawn] = []
    for index, part in enumerate(plan.parts):
        if run.interrupted:
            break
        try:
            job = call.job if index == 0 else await _submit(call, part, index)
            run.enter(index, job)
            await _stop_if_interrupted(call, run)
            drawn.append(Drawn(part, job, await _followed(call, job, run)))
        except ClientLeft:
            if not (run.interrupted or run.skipped):
                raise
        except LimnerError as error:
            raise _of_part(error, index, plan.parts, drawn) from error
    return drawn


async def _stop_if_interrupted(call: Call, run: Run) -> None:
    """An interruption may have come while the job was being accepted."""
    if run.interrupted:
        await call.gateway.service.cancel(run.job)


async def _submit(call: Call, part: Part, index: int) -> Job:
    """The next job of the call; its seeds go on where those of the first one began."""
    key = manners_of(call.http).idempotency_key
    seed = call.job.request.seed
    assert seed is not None, "the first job's seed is settled"
    request: Request = replace(part.request, seed=seed + part.offset)
    submission = Submission(
        idempotency_key=None if key is None else f"{key} {index}", response_format=call.job.response_format
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
