"""The jobs that somebody in this process holds on to, and their rows made into jobs.

Owns one object a job: whoever waits for it, follows it or draws it here shares that one, and it goes with the last.
"""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from weakref import WeakValueDictionary

from limner.errors import InternalError, NotFound
from limner.jobs import HandedIn, Job, Outcome, Times
from limner.records import (
    attached_inputs,
    cancellation_of,
    error_of,
    input_sizes,
    request_of,
    stored_inputs,
    warnings_of,
)
from limner.service.patience import patiently
from limner.service.pixel_room import PixelRoom
from limner.service.publishing import Publisher
from limner.store import JobRow


class LiveJobs:
    """Finds a row's job or makes it; ``publisher`` reads pictures, of which there is ``room`` for some at once."""

    def __init__(self, publisher: Publisher, room: PixelRoom) -> None:
        self._publisher, self._room = publisher, room
        self._jobs: WeakValueDictionary[str, Job] = WeakValueDictionary()

    def add(self, job: Job) -> None:
        """A job that was made here."""
        self._jobs[job.id] = job

    def going_on(self) -> list[Job]:
        """Those that have not ended, as far as is known here."""
        return [job for job in self._jobs.values() if not job.done]

    async def of(self, row: JobRow) -> Job:
        """The job of a row; one that is over has its outcome or its error."""
        return (await self.of_all([row]))[0]

    async def of_all(self, rows: Sequence[JobRow]) -> list[Job]:
        """As `of`, the pictures of all of them read at once."""
        jobs = [self._jobs.get(row.id) or self._made(row) for row in rows]
        await self._conclude([(job, row) for job, row in zip(jobs, rows, strict=True) if row.done])
        return jobs

    @asynccontextmanager
    async def with_inputs(self, job: Job, row: JobRow) -> AsyncIterator[None]:
        """Give a job that is drawn here meanwhile its pictures, when there is room for them. A picture store that is
        away is waited for. Raises InternalError when they are gone."""
        if len(job.request.inputs) == len(row.request["inputs"]):
            yield
            return
        async with self._room.hold(sum(one.size.pixels for one in stored_inputs(row.request))):
            await self._bring_inputs(job, row)
            yield

    async def _bring_inputs(self, job: Job, row: JobRow) -> None:
        try:
            inputs, mask = await patiently(lambda: self._publisher.read_inputs(row.request), math.inf)
        except NotFound as error:
            raise InternalError(f"the job cannot be drawn again: {error.message}") from error
        job.request = replace(job.request, inputs=tuple(inputs), mask=mask)

    async def conclude(self, job: Job, row: JobRow) -> None:
        """Tell those who hold ``job`` how it ended, if they do not know."""
        await self._conclude([(job, row)])

    async def _conclude(self, pairs: Sequence[tuple[Job, JobRow]]) -> None:
        untold = [(job, row) for job, row in pairs if not job.done]
        finished = [row for _, row in untold if row.status == "finished"]
        outcomes = await self._publisher.outcomes_of(finished) if finished else []
        of_row = {row.id: outcome for row, outcome in zip(finished, outcomes, strict=True)}
        for job, row in untold:
            if not job.done:  # meanwhile, from somebody else
                _end(job, row, of_row.get(row.id))

    def _made(self, row: JobRow) -> Job:
        job = Job(
            row.id,
            request_of(row.request, owner=row.owner),
            effective=row.request["effective"],
            warnings=warnings_of(row.warnings),
            times=Times(row.created_at_s, row.deadline_at_s, row.started_at_s, row.ended_at_s),
            handed_in=HandedIn(
                row.request["response_format"],
                row.request.get("previous"),
                attached_inputs(row.request),
                input_sizes(row.request),
            ),
        )
        job.account.reserve_micro = row.reserve_micro
        if row.status == "running":
            job.begin(row.started_at_s)
        self._jobs[row.id] = job
        return job


def _end(job: Job, row: JobRow, outcome: Outcome | None) -> None:
    job.times.started_at_s, job.times.ended_at_s = row.started_at_s, row.ended_at_s
    job.account.cost_micro, job.account.device_s = row.cost_micro, row.device_s
    if outcome is not None:
        job.finish(outcome)
    else:
        assert row.error is not None, "a job that did not finish says why"
        job.fail((cancellation_of if row.status == "cancelled" else error_of)(row.error))
