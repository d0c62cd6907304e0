"""Keeping house: what is past its time, or belongs to nothing any more, is removed.

Owns the rules of what goes when. What is to go stands in the database or can be found again by looking, never in this
process's memory alone: whoever sweeps next removes what a process that died has left.
"""

import time
from datetime import UTC, datetime, timedelta

from limner.blobs import Blobs
from limner.config import Settings
from limner.records import attached_inputs
from limner.store import JobRow, Store

UNCLAIMED_S = 3600.0  # how long a file may lie before a row names it
FORGOTTEN_DAYS = 2  # after its time a file of which no row was ever written goes


class Upkeep:
    """Sweeps one store and its blobs."""

    def __init__(self, store: Store, blobs: Blobs, settings: Settings) -> None:
        self._store, self._blobs = store, blobs
        self._keep_images_s, self._keep_jobs_s = settings.keep_images_s, settings.keep_jobs_s

    async def forget(self, image_id: str) -> None:
        """Remove a picture's row. Its file goes with a later sweep, unless another picture is the same: one that is
        being stored just now has no row yet. Raises NotFound."""
        await self._store.delete_image(image_id, file_due_at_s=time.time() + UNCLAIMED_S)

    async def sweep(self) -> int:
        """Remove what is past its time: pictures, ended jobs, inputs that nobody needs. How many files went."""
        now_s = time.time()
        await self._store.purge(
            now_s=now_s,
            images_before_s=now_s - self._keep_images_s,
            jobs_before_s=now_s - self._keep_jobs_s,
        )
        files = await self._sweep_files(now_s)
        inputs = await self._blobs.sweep_inputs(self._not_done_with, older_than_s=0)
        inputs += await self._blobs.sweep_inputs(self._needed, older_than_s=UNCLAIMED_S)
        # Pictures of which no row was ever written, because their process died in between.
        last = datetime.fromtimestamp(now_s - self._keep_images_s, UTC) - timedelta(days=FORGOTTEN_DAYS)
        return files + inputs + await self._blobs.sweep(last.date())

    async def _sweep_files(self, now_s: float) -> int:
        """Remove the files of pictures whose rows are gone."""
        removed = 0
        while keys := await self._store.due_files(now_s):
            await self._blobs.delete_many(keys)
            await self._store.files_gone(keys, now_s)
            removed += len(keys)
        return removed

    async def _not_done_with(self, job_ids: frozenset[str]) -> frozenset[str]:
        """Those whose inputs are needed, or who may be about to be accepted."""
        rows = await self._store.get_many(sorted(job_ids))
        return frozenset(job_id for job_id in job_ids if job_id not in rows or self._needs_inputs(rows[job_id]))

    async def _needed(self, job_ids: frozenset[str]) -> frozenset[str]:
        rows = await self._store.get_many(sorted(job_ids))
        return frozenset(job_id for job_id, row in rows.items() if self._needs_inputs(row))

    def _needs_inputs(self, row: JobRow) -> bool:
        return not row.done or bool(kept_attachments(attached_inputs(row.request), row.ended_at_s, self._keep_images_s))


def kept_attachments(attached: tuple[int, ...], ended_at_s: float | None, keep_s: float) -> tuple[int, ...]:
    """The places of the inputs from which conversations may still go on: as long as pictures are kept once their job
    has ended, which ``ended_at_s`` None says it has not."""
    return attached if ended_at_s is None or ended_at_s + keep_s > time.time() else ()
