"""Following the jobs that another process draws, or that still wait: by asking the store, all at once.

Owns one loop a process; it asks for nothing while nobody holds such a job.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from limner.core import Progress, Queued
from limner.jobs import Job
from limner.service.pace import USUAL_STEPS, Pace
from limner.store import JobRow, Store

logger = logging.getLogger(__name__)
WATCH_S = 0.4


class Watch:
    """Tells jobs what their rows say.

    ``unwatched`` names the jobs that need it, ``conclude`` ends one that is over, ``place`` counts the jobs before one.
    """

    def __init__(
        self,
        store: Store,
        unwatched: Callable[[], Sequence[Job]],
        conclude: Callable[[Job, JobRow], Awaitable[None]],
        place: Callable[[str], Awaitable[int | None]],
        pace: Pace,
    ) -> None:
        self._store, self._unwatched, self._conclude = store, unwatched, conclude
        self._place, self._pace = place, pace
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look_for_ever())

    async def stop(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                await self.look()
            except Exception:  # the task's root: a database that is away for a moment must not end the watch
                logger.exception("the jobs of other processes could not be looked at; trying again")

    async def look(self) -> None:
        """Bring every job that needs it up to date, once."""
        jobs = self._unwatched()
        if not jobs:
            return
        rows = await self._store.get_many([job.id for job in jobs])
        for job in jobs:
            row = rows.get(job.id)
            if row is not None:
                await self._tell(job, row)

    async def _tell(self, job: Job, row: JobRow) -> None:
        if row.done:
            await self._conclude(job, row)
        elif row.status == "running":
            steps = job.request.params.get("num_inference_steps")
            total = (steps if isinstance(steps, int) else USUAL_STEPS) * job.request.n
            progress = Progress(round(row.progress * total), total)
            if progress != job.last:
                job.record(progress)
        elif job.followers:
            position = await self._place(job.id)
            queued = Queued(position or 0, self._pace.eta_s(job.request, position or 0))
            if position is not None and (not isinstance(job.last, Queued) or job.last.position != position):
                job.record(queued)
