"""How jobs end, each exactly once: finished, failed, cancelled, or given up on; and how they are queued again.

Owns everything that happens with an end, in one transaction: the row, its pictures, the ledger, the owner's credits,
the webhook. An end names the attempt it belongs to and the status it found; what comes late changes nothing.
"""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, bindparam, insert, or_, select, update

from limner.errors import DeadlineExceeded, InternalError, LimnerError
from limner.store.claiming import UNSTARTED
from limner.store.prepared import Prepared
from limner.store.reading import get
from limner.store.rows import Completion, Expired, JobRow
from limner.store.tables import QUEUED, RUNNING, columns_of, deliveries, images, jobs, keys, ledger, values_of

Ended = Literal["failed", "cancelled"]
MOST_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Closed:
    """What is to be known of a job that ends."""

    id: str
    owner: str
    model: str
    reserve_micro: int
    hook_url: str | None
    hook_secret: str | None


_END = Prepared(
    update(jobs)
    .where(
        jobs.c.id == bindparam("b_id"),
        jobs.c.attempt == bindparam("b_attempt"),
        jobs.c.status == bindparam("b_status"),
    )
    .returning(*columns_of(jobs, _Closed))
)
_SETTLE = (
    update(keys)
    .where(keys.c.id == bindparam("b_owner"), keys.c.balance_micro.is_not(None))
    .values(
        balance_micro=keys.c.balance_micro - bindparam("b_cost"),
        reserved_micro=keys.c.reserved_micro - bindparam("b_reserve"),
    )
)
_ADD_IMAGES, _CHARGE, _DELIVER = Prepared(insert(images)), Prepared(insert(ledger).inline()), insert(deliveries)
_ASK_TO_STOP = update(jobs).where(jobs.c.id == bindparam("b_id"), RUNNING)
_FOUND = (jobs.c.id, jobs.c.owner, jobs.c.attempt, jobs.c.status, jobs.c.crashes, jobs.c.cancel_error)
_ABANDONED = (
    select(*_FOUND)
    .where(
        RUNNING,
        or_(jobs.c.lease_until_s <= bindparam("b_now"), jobs.c.worker.in_(bindparam("b_dead", expanding=True))),
    )
    .limit(MOST_AT_ONCE)
    .with_for_update(skip_locked=True)
)
_HELD = select(*_FOUND).where(RUNNING, jobs.c.worker == bindparam("b_worker")).order_by(jobs.c.id).with_for_update()
_LATE = (
    select(*_FOUND)
    .where(QUEUED, jobs.c.deadline_at_s <= bindparam("b_now"))
    .order_by(jobs.c.deadline_at_s)
    .limit(MOST_AT_ONCE)
    .with_for_update(skip_locked=True)
)
_REQUEUE = update(jobs).where(jobs.c.id == bindparam("b_id"))


def finish(connection: Connection, id: str, attempt: int, completion: Completion) -> bool:
    """Record a finished job; False when this attempt is no longer the running one. See `Store.finish`."""
    outcome = {
        "status": "finished",
        "progress": 1.0,
        "result": completion.result,
        "cost_micro": completion.cost_micro,
        "device_s": completion.device_s,
        "ended_at_s": completion.ended_at_s,
    }
    job = _end(connection, id, attempt, "running", outcome)
    if job is None:
        return False
    if completion.images:
        _ADD_IMAGES.run_each(connection, [values_of(image) for image in completion.images])
    _CHARGE.run(
        connection,
        {
            "key_id": job.owner,
            "job_id": id,
            "model": job.model,
            "images": len(completion.images),
            "device_s": completion.device_s,
            "amount_micro": -completion.cost_micro,
            "created_at_s": completion.ended_at_s,
            "note": "",
        },
    )
    _settle(connection, job, completion.cost_micro)
    return True


def fail(
    connection: Connection, id: str, attempt: int, status: Ended, error: Mapping[str, Any], *, ended_at_s: float
) -> bool:
    """End a running job without a result; False when this attempt is no longer the running one. See `Store.fail`."""
    return _give_up(connection, id, attempt, "running", status, error, ended_at_s)


def cancel(connection: Connection, id: str, *, error: Mapping[str, Any], now_s: float) -> JobRow:
    """End a queued job, ask for a running one's end, leave one that has ended; see `Store.cancel`."""
    job = get(connection, id, lock=True)
    if job.status == "queued":
        _give_up(connection, id, job.attempt, "queued", "cancelled", error, now_s)
    elif job.status == "running" and not job.cancel_requested:
        connection.execute(_ASK_TO_STOP, {"b_id": id, "cancel_requested": True, "cancel_error": error})
    else:
        return job
    return get(connection, id)


def hand_back(connection: Connection, worker: str, ids: Collection[str], *, now_s: float) -> None:
    """Queue jobs that this worker runs again, in their old place, without counting a crash; end those that were to be
    cancelled."""
    held = [job for job in connection.execute(_HELD, {"b_worker": worker}) if job.id in ids] if ids else []
    for job in sorted(held, key=_lock_order):
        if job.cancel_error is None:
            connection.execute(_REQUEUE, {"b_id": job.id, **UNSTARTED})
        else:
            _give_up(connection, job.id, job.attempt, "running", "cancelled", job.cancel_error, now_s)


def expire_running(connection: Connection, *, now_s: float, dead_workers: Collection[str], max_crashes: int) -> Expired:
    """Requeue or fail some abandoned jobs; returns none only when none is left. See `Store.expire`."""
    requeued, failed = [], []
    abandoned = connection.execute(_ABANDONED, {"b_now": now_s, "b_dead": list(dead_workers)}).all()
    for job in sorted(abandoned, key=_lock_order):
        if ends := _reason_to_end(job, max_crashes):
            _give_up(connection, job.id, job.attempt, "running", *ends, now_s, crashes=job.crashes + 1)
            failed.append(job.id)
        else:
            connection.execute(_REQUEUE, {"b_id": job.id, "crashes": job.crashes + 1, **UNSTARTED})
            requeued.append(job.id)
    return Expired(tuple(requeued), tuple(failed))


def expire_queued(connection: Connection, *, now_s: float) -> tuple[str, ...]:
    """Fail some jobs that are queued past their deadline; returns none only when none is left."""
    late = connection.execute(_LATE, {"b_now": now_s}).all()
    for job in sorted(late, key=_lock_order):
        _give_up(connection, job.id, job.attempt, "queued", "failed", _late_error(), now_s)
    return tuple(job.id for job in late)


def _lock_order(job: Row[*tuple[Any, ...]]) -> tuple[str, str]:
    """By owner: each transaction that changes several keys does so in one order, or two could wait for each other."""
    return job.owner, job.id


def _reason_to_end(job: Row[*tuple[Any, ...]], max_crashes: int) -> tuple[Ended, Mapping[str, Any]] | None:
    """Why an abandoned job is not tried again: it was to be cancelled, or too many processes died of it."""
    if job.cancel_error is not None:
        return "cancelled", job.cancel_error
    if job.crashes + 1 >= max_crashes:
        times = "once" if job.crashes == 0 else f"{job.crashes + 1} times"
        return "failed", _wire(
            InternalError(f"the process that worked on this job died {times}; it is not tried again")
        )
    return None


def _late_error() -> Mapping[str, Any]:
    return _wire(DeadlineExceeded("the job's deadline passed while it was queued", param="timeout"))


def _wire(error: LimnerError) -> dict[str, Any]:
    return {
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "status": error.status,
        "type": error.type,
    }


def _give_up(
    connection: Connection,
    id: str,
    attempt: int,
    found: Literal["queued", "running"],
    status: Ended,
    error: Mapping[str, Any],
    ended_at_s: float,
    **more: int,
) -> bool:
    outcome = {"status": status, "error": error, "ended_at_s": ended_at_s, **more}
    job = _end(connection, id, attempt, found, outcome)
    if job is not None:
        _settle(connection, job, 0)
    return job is not None


def _end(connection: Connection, id: str, attempt: int, found: str, outcome: Mapping[str, Any]) -> _Closed | None:
    """Close the row if it is still as it was found, and tell the job's webhook."""
    fence = {"b_id": id, "b_attempt": attempt, "b_status": found}
    closed = _END.first(connection, {**fence, **outcome, "lease_until_s": None})
    job = None if closed is None else _Closed(*closed)
    if job is not None and job.hook_url is not None:
        connection.execute(_DELIVER, _delivery(job, outcome["ended_at_s"]))
    return job


def _delivery(job: _Closed, now_s: float) -> dict[str, Any]:
    return {
        "id": f"whd_{secrets.token_hex(16)}",
        "job_id": job.id,
        "url": job.hook_url,
        "secret": job.hook_secret,
        "attempts": 0,
        "next_at_s": now_s,
        "created_at_s": now_s,
    }


def _settle(connection: Connection, job: _Closed, cost_micro: int) -> None:
    """Take what the job cost and let go of what was held back for it."""
    if job.owner and (cost_micro or job.reserve_micro):
        connection.execute(_SETTLE, {"b_owner": job.owner, "b_cost": cost_micro, "b_reserve": job.reserve_micro})
