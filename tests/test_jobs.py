"""What a job remembers, and that its end is its end."""

import pytest

from limner.core import Operation, Progress, Queued, Request
from limner.errors import InternalError
from limner.jobs import Job, Outcome, Times

OUTCOME = Outcome((), None, {}, ())


def new_job() -> Job:
    request = Request(operation=Operation.GENERATE, model="sketch", prompt="a cat")
    return Job("job_1", request, effective={}, warnings=(), times=Times(0.0, 60.0))


@pytest.mark.parametrize("late", [Progress(1, 2), Queued(3, 4.0)])
async def test_what_is_heard_after_the_end_changes_nothing(late: Progress | Queued) -> None:
    """Who asked for its row before it ended may tell of it only afterwards."""
    job = new_job()
    job.finish(OUTCOME)
    job.record(late)
    assert job.status == "finished"
    assert [event async for event in job.events()] == [OUTCOME]


async def test_a_job_ends_once() -> None:
    job = new_job()
    job.finish(OUTCOME)
    job.finish(OUTCOME)
    job.fail(InternalError("too late"))
    assert [event async for event in job.events()] == [OUTCOME]
    assert await job.result() is OUTCOME
    failed = new_job()
    failed.fail(InternalError("it broke"))
    failed.finish(OUTCOME)
    with pytest.raises(InternalError, match="it broke"):
        await failed.result()
