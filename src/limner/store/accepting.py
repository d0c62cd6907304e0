"""Taking a job in: its idempotency key, what its owner may do, its place in the queue, its row.

Owns the rules of admission and the fair rank. All checks come before the first write, and one owner's jobs are taken
in one after another, whichever process they come through, so that a quota cannot be overrun.

Ranks are start-time fair queueing (Goyal, Vin, Cheng: "Start-Time Fair Queueing", 1996): a job starts where its owner's
last one ended in virtual time, or where the queue now is if that is later, and ends ``weight_s`` later. An owner with
a thousand jobs waiting thus stands before nobody's first, and an owner alone is served in order.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Select,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    update,
)

from limner.errors import Conflict, InsufficientCredits, Overloaded, RateLimited
from limner.store.claiming import is_waiting
from limner.store.prepared import Prepared
from limner.store.rows import MICRO, Accepted, JobRow, NewJob
from limner.store.tables import LIVE, QUEUED, RUNNING, columns_of, idempotency, jobs, keys, owners, values_of

IDEMPOTENCY_S = 24 * 3600.0
RATE_WINDOW_S = 60.0
SHARE = 16

_OWNER: BindParameter[Any] = bindparam("b_owner")
_LOCK_OWNER = text("SELECT pg_advisory_xact_lock(1818848878, hashtext(:b_owner))")  # "limn": a space of our own
_REPLAY = (
    select(*columns_of(jobs, JobRow))
    .join(idempotency, idempotency.c.job_id == jobs.c.id)
    .where(
        idempotency.c.owner == _OWNER,
        idempotency.c.key == bindparam("b_key"),
        idempotency.c.created_at_s > bindparam("b_since"),
        jobs.c.status != "cancelled",  # whose connection broke asks again and must get a picture
    )
)
_FORGET_KEY = delete(idempotency).where(idempotency.c.owner == _OWNER, idempotency.c.key == bindparam("b_key"))
_REMEMBER_KEY = insert(idempotency)
_LIMITING = (  # of the jobs created in the window, the one that has to fall out of it before another is allowed
    select(jobs.c.created_at_s)
    .where(jobs.c.owner == _OWNER, jobs.c.created_at_s > bindparam("b_since"))
    .order_by(jobs.c.created_at_s.desc(), jobs.c.seq.desc())
    .limit(1)
    .offset(bindparam("b_offset"))
)
_ALIVE = select(func.count()).select_from(select(literal(1)).where(LIVE).limit(bindparam("b_limit")).subquery())
_LIVE_OF_OWNER = select(func.count()).select_from(jobs).where(LIVE, jobs.c.owner == _OWNER)
_CREDITS = select(keys.c.balance_micro, keys.c.reserved_micro).where(keys.c.id == _OWNER).with_for_update()
_RESERVE = update(keys).where(keys.c.id == _OWNER).values(reserved_micro=keys.c.reserved_micro + bindparam("b_reserve"))
_INSERT = Prepared(insert(jobs).inline())
_NEW_OWNER = Prepared(insert(owners))
_MOVE_OWNER = Prepared(update(owners).where(owners.c.owner == _OWNER))


@dataclass(frozen=True, slots=True)
class _Queue:
    """The first rank that is queued, where the queue is in virtual time, and where the owner's last job ends in it."""

    queued: float | None
    virtual: float
    tag: float | None


def _queue() -> Select[*tuple[Any, ...]]:
    """What makes a `_Queue`."""
    queued = select(func.min(jobs.c.rank)).where(QUEUED).scalar_subquery()
    virtual = func.coalesce(
        queued,
        select(func.max(jobs.c.rank)).where(RUNNING).scalar_subquery(),
        select(func.max(owners.c.finish_tag)).scalar_subquery(),
        0.0,
    )
    tag = select(owners.c.finish_tag).where(owners.c.owner == _OWNER).scalar_subquery()
    return select(queued.label("queued"), virtual.label("virtual"), tag.label("tag"))


_QUEUE = Prepared(_queue())


@dataclass(frozen=True, slots=True)
class Taker:
    """The worker that begins a new job at once, unless one of the models ``behind`` which it comes waits to be
    claimed."""

    worker: str
    behind: Collection[str]
    lease_until_s: float


class Room:
    """What is known of the room in the queue, so that a long one need not be counted for every job.

    After a count of the live jobs, a sixteenth of the room found is given away uncounted: as long as no more than
    sixteen processes accept jobs, all of them together stay within the limit. A job is only refused after a count.
    (PostgreSQL's transactions do not see each other: jobs of several owners at the same moment may exceed it by some.)
    """

    def __init__(self) -> None:
        self._uncounted = self._limit = 0

    def take(self, connection: Connection, queue_limit: int) -> bool:
        """Whether one more job may be accepted."""
        if self._uncounted > 0 and queue_limit == self._limit:
            self._uncounted -= 1
            return True
        room = queue_limit - connection.execute(_ALIVE, {"b_limit": queue_limit}).scalar_one()
        self._uncounted, self._limit = room // SHARE, queue_limit
        return room > 0


def enqueue(connection: Connection, job: NewJob, room: Room, *, taker: Taker | None, queue_limit: int) -> Accepted:
    """Accept ``job``, born running when there is a ``taker``; see `Store.enqueue`."""
    _one_at_a_time(connection, job.owner)
    if replay := find_replay(connection, job.owner, job.idempotency_key, job.fingerprint, job.created_at_s):
        return Accepted(replay, replayed=True)
    _check_quota(connection, job)
    if not room.take(connection, queue_limit):
        raise Overloaded(f"the queue is full: {queue_limit} jobs are queued or running")
    reserve_micro = _reserve(connection, job)
    found = _QUEUE.first(connection, {"b_owner": job.owner})
    assert found is not None, "a row of scalars is always there"
    queue = _Queue(*found)
    if taker and queue.queued is not None and is_waiting(connection, taker.behind, job.created_at_s):
        taker = None
    row = _row(job, taker.worker if taker else None, reserve_micro)
    _insert(connection, job, row, queue, taker.lease_until_s if taker else None)
    return Accepted(row, replayed=False)


def find_replay(
    connection: Connection, owner: str, idempotency_key: str | None, fingerprint: str, now_s: float
) -> JobRow | None:
    """The job that this key of this owner made in the last 24 h, unless it was cancelled, which sets the key free.

    Raises Conflict when it was another request's.
    """
    if idempotency_key is None:
        return None
    wanted = {"b_owner": owner, "b_key": idempotency_key, "b_since": now_s - IDEMPOTENCY_S}
    found = connection.execute(_REPLAY, wanted).one_or_none()
    if found is None:
        return None
    if found.fingerprint != fingerprint:
        raise Conflict(
            f"the idempotency key {idempotency_key!r} was used for another request (job {found.id});"
            " repeat that request as it was, or take a new key",
            param="Idempotency-Key",
        )
    return JobRow(*found)


def _one_at_a_time(connection: Connection, owner: str) -> None:
    """SQLite has one writer anyway; PostgreSQL's transactions do not see each other's rows before they end."""
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK_OWNER, {"b_owner": owner})


def _check_quota(connection: Connection, job: NewJob) -> None:
    if (allowed := job.quota.jobs_per_minute) is not None:
        window = {"b_owner": job.owner, "b_since": job.created_at_s - RATE_WINDOW_S, "b_offset": max(allowed, 1) - 1}
        limiting = connection.execute(_LIMITING, window).scalar()
        if limiting is not None or allowed < 1:
            wait_s = RATE_WINDOW_S if limiting is None else limiting + RATE_WINDOW_S - job.created_at_s
            wait_s = min(max(wait_s, 0.0), RATE_WINDOW_S)  # clocks may be set
            raise RateLimited(f"this API key may create {allowed} jobs a minute", retry_after_s=wait_s)
    if (allowed := job.quota.concurrency) is not None:
        alive = connection.execute(_LIVE_OF_OWNER, {"b_owner": job.owner}).scalar_one()
        if alive >= allowed:
            raise RateLimited(f"this API key may have {allowed} jobs at once and has {alive}")


def _reserve(connection: Connection, job: NewJob) -> int:
    """Hold the job's credits back; returns how many, 0 when nothing of the owner's is metered."""
    credit = connection.execute(_CREDITS, {"b_owner": job.owner}).one_or_none() if job.owner else None
    if credit is None or credit.balance_micro is None:
        return 0
    free_micro = credit.balance_micro - credit.reserved_micro
    if free_micro < job.reserve_micro:
        raise InsufficientCredits(
            f"this job needs {_credits(job.reserve_micro)} credits, the API key has {_credits(free_micro)} free"
            f" ({_credits(credit.reserved_micro)} are held back for jobs that have not ended)"
        )
    if job.reserve_micro:
        connection.execute(_RESERVE, {"b_owner": job.owner, "b_reserve": job.reserve_micro})
    return job.reserve_micro


def _credits(micro: int) -> str:
    return f"{micro / MICRO:.6f}".rstrip("0").rstrip(".")


def _row(job: NewJob, worker: str | None, reserve_micro: int) -> JobRow:
    running = worker is not None
    return JobRow(
        id=job.id,
        owner=job.owner,
        operation=job.operation,
        model=job.model,
        status="running" if running else "queued",
        request=job.request,
        warnings=job.warnings,
        priority=job.priority,
        weight_s=job.weight_s,
        created_at_s=job.created_at_s,
        deadline_at_s=job.deadline_at_s,
        started_at_s=job.created_at_s if running else None,
        ended_at_s=None,
        attempt=int(running),
        crashes=0,
        worker=worker,
        progress=0.0,
        cancel_requested=False,
        reserve_micro=reserve_micro,
        cost_micro=0,
        device_s=0.0,
        result=None,
        error=None,
        fingerprint=job.fingerprint,
        hook_url=job.hook.url if job.hook else None,
    )


def _insert(connection: Connection, job: NewJob, row: JobRow, queue: _Queue, lease_until_s: float | None) -> None:
    rank = queue.virtual if queue.tag is None else max(queue.virtual, queue.tag)
    placed: Mapping[str, object] = {
        "rank": rank,
        "lease_until_s": lease_until_s,
        "cancel_error": None,
        "hook_secret": job.hook.secret if job.hook else None,
    }
    _INSERT.run(connection, {**values_of(row), **placed})
    if queue.tag is None:
        _NEW_OWNER.run(connection, {"owner": job.owner, "finish_tag": rank + job.weight_s})
    else:
        _MOVE_OWNER.run(connection, {"b_owner": job.owner, "finish_tag": rank + job.weight_s})
    if job.idempotency_key is not None:
        key = {"owner": job.owner, "key": job.idempotency_key}
        connection.execute(_FORGET_KEY, {"b_owner": job.owner, "b_key": job.idempotency_key})
        connection.execute(_REMEMBER_KEY, {**key, "job_id": job.id, "created_at_s": job.created_at_s})
