"""The one door to the database: every method is one transaction, or a few for the sweeps.

Owns which work reads and which writes. Times are unix seconds, given by the caller.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Connection

from limner.store import accepting, claiming, deliveries, ending, images, keys, reading, retention
from limner.store.database import Database
from limner.store.rows import (
    Accepted,
    Beat,
    Beats,
    Completion,
    Delivery,
    Expired,
    ImageRow,
    JobFilter,
    JobRow,
    KeyRow,
    LedgerRow,
    NewJob,
    UsageRow,
)
from limner.store.schema import describe
from limner.store.texts import check_id, is_id, is_storable

VERIFY_EVERY_S = 1.0


class Store:
    """Jobs, images, keys, credits and webhooks; see limner.store.rows for what goes in and out."""

    def __init__(self, database: Database) -> None:
        self._write, self._read, self._verify = database.write, database.read, database.verify
        self._tell, self._news = database.tell, database.news
        self._room = accepting.Room()

    async def enqueue(
        self,
        job: NewJob,
        *,
        worker: str | None = None,
        behind: Collection[str] = (),
        lease_until_s: float = 0.0,
        queue_limit: int,
    ) -> Accepted:
        """Accept a job in one transaction, born running (attempt 1, with a lease) when there is a ``worker`` and no job
        of the models ``behind`` which it comes waits to be claimed.

        A repeated idempotency key (good for 24 h, or until its job is cancelled) gives its job again, which costs and
        counts nothing. Raises NotReady when nothing can be kept, Conflict
        when it comes with another fingerprint, Overloaded when the owner's quota or the ``queue_limit`` of jobs queued
        or running is reached, InsufficientCredits when the owner is metered and has less than ``reserve_micro`` free.
        """

        def accept(connection: Connection) -> Accepted:
            self._verify(known_s=VERIFY_EVERY_S)
            taker = accepting.Taker(worker, behind, lease_until_s) if worker is not None else None
            return accepting.enqueue(connection, job, self._room, taker=taker, queue_limit=queue_limit)

        accepted = await self._write(accept)
        if accepted.job.status == "queued" and not accepted.replayed:
            self._tell()
        return accepted

    async def news(self) -> None:
        """Return when another process may have queued jobs since the last call.

        With SQLite never, and with PostgreSQL not reliably: who waits for jobs looks for them now and then as well.
        """
        await self._news()

    async def find_replay(self, owner: str, idempotency_key: str, fingerprint: str, now_s: float) -> JobRow | None:
        """The job that this idempotency key has already made, unless it was cancelled. Raises Conflict as `enqueue`."""
        return await self._read(lambda c: accepting.find_replay(c, owner, idempotency_key, fingerprint, now_s))

    async def claim(
        self, worker: str, models: Collection[str], limit: int, *, now_s: float, lease_until_s: float
    ) -> tuple[JobRow, ...]:
        """Take at most ``limit`` queued jobs of ``models``, best first: priority, fair rank, order of arrival.

        Jobs past their deadline are left to `expire`.
        """
        return await self._write(
            lambda c: claiming.claim(c, worker, models, limit, now_s=now_s, lease_until_s=lease_until_s)
        )

    async def renew(self, worker: str, beats: Sequence[Beat], *, lease_until_s: float) -> Beats:
        """Prolong the leases of running jobs and note their progress; says which are lost and which to stop."""
        return await self._write(lambda c: claiming.renew(c, worker, beats, lease_until_s=lease_until_s))

    async def hand_back(self, worker: str, ids: Collection[str], *, now_s: float | None = None) -> None:
        """Queue jobs that this worker runs again, in their old place, without counting a crash; those whose
        cancellation was asked for end at ``now_s``, by default the present."""
        ended_at_s = time.time() if now_s is None else now_s
        await self._write(lambda c: ending.hand_back(c, worker, ids, now_s=ended_at_s))
        self._tell()

    async def finish(self, id: str, attempt: int, completion: Completion) -> bool:
        """Record, exactly once: the result, the pictures, the ledger's row, the credits, the webhook to deliver.

        False, and nothing changed, when the job is no longer running under this attempt.
        """
        return await self._write(lambda c: ending.finish(c, id, attempt, completion))

    async def fail(
        self,
        id: str,
        attempt: int,
        status: Literal["failed", "cancelled"],
        error: Mapping[str, Any],
        *,
        ended_at_s: float,
    ) -> bool:
        """End a running job without a result, exactly once: its reservation is let go, its webhook told."""
        return await self._write(lambda c: ending.fail(c, id, attempt, status, error, ended_at_s=ended_at_s))

    async def cancel(self, id: str, *, error: Mapping[str, Any], now_s: float) -> JobRow:
        """End a queued job, ask a running one's worker to stop it, leave an ended one. Raises NotFound."""
        check_id(id, "job")
        return await self._write(lambda c: ending.cancel(c, id, error=error, now_s=now_s))

    async def expire(self, *, now_s: float, dead_workers: Collection[str] = (), max_crashes: int) -> Expired:
        """Take jobs from workers that are dead or let their lease pass, and fail those queued past their deadline.

        A job taken away is queued again, unless it has now lost ``max_crashes`` processes, when it fails, or its
        cancellation was asked for, when it is cancelled (and among the failed here).
        """
        requeued: list[str] = []
        failed: list[str] = []

        def some(connection: Connection) -> Expired:
            return ending.expire_running(connection, now_s=now_s, dead_workers=dead_workers, max_crashes=max_crashes)

        while (found := await self._write(some)) != Expired():
            requeued += found.requeued
            failed += found.failed
        if requeued:
            self._tell()
        while late := await self._write(lambda c: ending.expire_queued(c, now_s=now_s)):
            failed += late
        return Expired(tuple(id for id in requeued if id not in set(failed)), tuple(failed))

    async def workers(self) -> frozenset[str]:
        """Those that hold running jobs."""
        return await self._read(claiming.workers)

    async def get(self, id: str) -> JobRow:
        """The job; raises NotFound."""
        check_id(id, "job")
        return await self._read(lambda c: reading.get(c, id))

    async def get_many(self, ids: Sequence[str]) -> dict[str, JobRow]:
        """Those of the jobs that exist, by id."""
        known = [id for id in ids if is_id(id)]
        return await self._read(lambda c: reading.get_many(c, known))

    async def list(self, filter: JobFilter) -> tuple[JobRow, ...]:
        """Jobs newest first. Raises NotFound when the job that ``filter.before`` names is gone or another owner's."""
        if filter.before is not None:
            check_id(filter.before, "job to list from", param="after")
        if not all(is_storable(text or "") for text in (filter.owner, filter.model, filter.operation)):
            return ()
        return await self._read(lambda c: reading.list_jobs(c, filter))

    async def position(self, id: str, models: Collection[str] | None = None) -> int | None:
        """How many queued jobs of ``models`` (None: of its own) will be claimed before it; None unless it is queued."""
        if not is_id(id):
            return None
        return await self._read(lambda c: reading.position(c, id, models))

    async def depth(self) -> dict[str, tuple[int, int]]:
        """Jobs (queued, running) by model."""
        return await self._read(reading.depth)

    async def image(self, id: str) -> ImageRow:
        """The picture; raises NotFound."""
        check_id(id, "image")
        return await self._read(lambda c: images.image(c, id))

    async def images_of(self, job_id: str) -> tuple[ImageRow, ...]:
        """A job's pictures in their order."""
        return (await self.images_of_all([job_id]))[job_id]

    async def images_of_all(self, job_ids: Sequence[str]) -> dict[str, tuple[ImageRow, ...]]:
        """Each job's pictures in their order, by the job's id."""
        known = [job_id for job_id in job_ids if is_id(job_id)]
        found = await self._read(lambda c: images.images_of(c, known)) if known else {}
        return {**dict.fromkeys(job_ids, ()), **found}

    async def images(self, owner: str | None, *, limit: int, before: str | None = None) -> tuple[ImageRow, ...]:
        """Pictures newest first, ``owner`` None meaning everybody's. Raises NotFound when the one that ``before``
        names is gone or another owner's."""
        if before is not None:
            check_id(before, "image to list from", param="after")
        if not is_storable(owner or ""):
            return ()
        return await self._read(lambda c: images.list_images(c, owner, limit, before))

    async def delete_image(self, id: str, *, file_due_at_s: float) -> None:
        """Remove a picture's row; its file is one of `due_files` from then on. Raises NotFound."""
        check_id(id, "image")
        await self._write(lambda c: images.delete_image(c, id, file_due_at_s))

    async def due_files(self, now_s: float) -> tuple[str, ...]:
        """Keys of some files that are to be removed: no picture lies in them any more. `files_gone` follows."""
        return await self._write(lambda c: retention.due_files(c, now_s))

    async def files_gone(self, keys: Sequence[str], now_s: float) -> None:
        """These files, which were due at ``now_s``, have been removed."""
        await self._write(lambda c: retention.files_gone(c, keys, now_s))

    async def add_key(self, row: KeyRow) -> None:
        """Add an API key; its balance is entered in the ledger. Raises Conflict when its id or prefix is taken."""
        await self._write(lambda c: keys.add_key(c, row))

    async def key_by_prefix(self, prefix: str) -> KeyRow | None:
        """The key with this prefix, a revoked one as well."""
        return await self._read(lambda c: keys.key_by_prefix(c, prefix))

    async def keys(self) -> tuple[KeyRow, ...]:
        """Every key, oldest first, revoked ones as well."""
        return await self._read(keys.all_keys)

    async def has_keys(self) -> bool:
        """Whether a key exists that is not revoked."""
        return await self._read(keys.has_keys)

    async def revoke_key(self, id: str, now_s: float) -> KeyRow:
        """Mark a key as revoked; a second time changes nothing. Raises NotFound."""
        return await self._write(lambda c: keys.revoke_key(c, id, now_s))

    async def touch_keys(self, ids: Collection[str], now_s: float) -> None:
        """Note that these keys were used."""
        await self._write(lambda c: keys.touch_keys(c, ids, now_s))

    async def grant(self, key_id: str, amount_micro: int, note: str, now_s: float) -> KeyRow:
        """Add to a key's balance, with a ledger row; a key that was not metered is from now on.

        Raises NotFound, and Conflict when the key is revoked.
        """
        return await self._write(lambda c: keys.grant(c, key_id, amount_micro, note, now_s))

    async def usage(self, *, key_id: str | None, since_s: float, until_s: float) -> tuple[UsageRow, ...]:
        """Sums over jobs finished in [since_s, until_s), by key and model; ``key_id`` None sums every key's."""
        return await self._read(lambda c: keys.usage(c, key_id, since_s, until_s))

    async def ledger(self, key_id: str, limit: int) -> tuple[LedgerRow, ...]:
        """A key's movements of credits, newest first."""
        return await self._read(lambda c: keys.entries(c, key_id, limit))

    async def due_deliveries(self, now_s: float, *, lease_until_s: float, limit: int) -> tuple[Delivery, ...]:
        """Take webhooks that are due; nobody else is given them before ``lease_until_s``."""
        return await self._write(lambda c: deliveries.due(c, now_s, lease_until_s=lease_until_s, limit=limit))

    async def delivered(self, id: str, now_s: float) -> None:
        """Note that a webhook has arrived."""
        await self._write(lambda c: deliveries.change(c, id, delivered_at_s=now_s, next_at_s=None, error=None))

    async def retry_delivery(self, id: str, next_at_s: float, error: str) -> None:
        """Note a failed try and when the next is due."""
        await self._write(lambda c: deliveries.change(c, id, next_at_s=next_at_s, error=error))

    async def put_off_delivery(self, id: str, next_at_s: float, error: str) -> None:
        """Note that a webhook was not tried, which does not count as a try, and when it is due."""
        await self._write(lambda c: deliveries.put_off(c, id, next_at_s, error))

    async def give_up_delivery(self, id: str, error: str, now_s: float) -> None:
        """Note that a webhook is not tried again."""
        await self._write(lambda c: deliveries.change(c, id, given_up_at_s=now_s, next_at_s=None, error=error))

    async def purge(self, *, now_s: float, images_before_s: float, jobs_before_s: float) -> None:
        """Forget pictures that expired or were made before ``images_before_s``, whose files are then among `due_files`;
        jobs without pictures that ended before ``jobs_before_s``; and idempotency keys past 24 h.
        """
        while await self._write(lambda c: retention.drop_images(c, now_s, images_before_s)):
            pass
        while await self._write(lambda c: retention.drop_jobs(c, jobs_before_s)):
            pass
        await self._write(lambda c: retention.drop_idempotency(c, now_s))

    async def check(self) -> str:
        """Ask the database something and name it, such as "SQLite 3.40, schema 0001". Raises NotReady, also when its
        file was removed or replaced."""

        def named(connection: Connection) -> str:
            self._verify(known_s=0.0)
            return describe(connection)

        return await self._read(named)
