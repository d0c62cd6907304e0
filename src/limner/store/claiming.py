"""Who works on what: claiming queued jobs and keeping them.

Owns the order of the queue and the leases. Every claim raises the job's ``attempt``, the number by which an older
attempt is told from the present one.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, select, update

from limner.store.rows import Beat, Beats, JobRow
from limner.store.tables import QUEUED, RUNNING, columns_of, jobs

_WORKER: BindParameter[Any] = bindparam("b_worker")
_HEADS = (
    select(jobs.c.seq, jobs.c.priority, jobs.c.rank)
    .where(QUEUED, jobs.c.model == bindparam("b_model"), jobs.c.deadline_at_s > bindparam("b_now"))
    .order_by(jobs.c.priority.desc(), jobs.c.rank, jobs.c.seq)
    .limit(bindparam("b_limit"))
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(jobs)
    .where(jobs.c.seq.in_(bindparam("b_seqs", expanding=True)))
    .values(attempt=jobs.c.attempt + 1)
    .returning(jobs.c.seq, *columns_of(jobs, JobRow))
)
_BEAT = update(jobs).where(
    jobs.c.id == bindparam("b_id"), jobs.c.attempt == bindparam("b_attempt"), jobs.c.worker == _WORKER, RUNNING
)
_HELD = select(jobs.c.id, jobs.c.attempt, jobs.c.cancel_error).where(RUNNING, jobs.c.worker == _WORKER)
_WAITING = (
    select(jobs.c.seq)
    .where(
        QUEUED,
        jobs.c.model.in_(bindparam("b_models", expanding=True)),
        jobs.c.deadline_at_s > bindparam("b_now"),
    )
    .limit(1)
)
_WORKERS = select(jobs.c.worker).where(RUNNING).distinct()
UNSTARTED = {"status": "queued", "worker": None, "lease_until_s": None, "started_at_s": None, "progress": 0.0}


def claim(
    connection: Connection, worker: str, models: Collection[str], limit: int, *, now_s: float, lease_until_s: float
) -> tuple[JobRow, ...]:
    """Take the best queued jobs of these models, at most ``limit``; see `Store.claim`."""
    heads = [
        head
        for model in sorted(set(models))  # in one order, or two workers could wait for each other
        for head in connection.execute(_HEADS, {"b_model": model, "b_now": now_s, "b_limit": limit})
    ]
    chosen = [head.seq for head in sorted(heads, key=lambda head: (-head.priority, head.rank, head.seq))[:limit]]
    if not chosen:
        return ()
    taken = {"status": "running", "worker": worker, "started_at_s": now_s, "lease_until_s": lease_until_s}
    found = {row[0]: JobRow(*row[1:]) for row in connection.execute(_CLAIM, {"b_seqs": chosen, **taken})}
    return tuple(found[seq] for seq in chosen)


def is_waiting(connection: Connection, models: Collection[str], now_s: float) -> bool:
    """Whether there is a job of these models to claim."""
    if not models:
        return False
    waiting = {"b_models": sorted(set(models)), "b_now": now_s}
    return connection.execute(_WAITING, waiting).first() is not None


def renew(connection: Connection, worker: str, beats: Sequence[Beat], *, lease_until_s: float) -> Beats:
    """Prolong the leases and note the progress of what is still this worker's; see `Store.renew`."""
    if not beats:
        return Beats(frozenset(), {})
    by_id = sorted(beats, key=lambda beat: beat.id)  # rows are locked in one order everywhere
    connection.execute(
        _BEAT,
        [
            {
                "b_id": beat.id,
                "b_attempt": beat.attempt,
                "b_worker": worker,
                "progress": beat.progress,
                "lease_until_s": lease_until_s,
            }
            for beat in by_id
        ],
    )
    held = {(row.id, row.attempt): row.cancel_error for row in connection.execute(_HELD, {"b_worker": worker})}
    return Beats(
        lost=frozenset(beat.id for beat in beats if (beat.id, beat.attempt) not in held),
        cancelled={beat.id: error for beat in beats if (error := held.get((beat.id, beat.attempt))) is not None},
    )


def workers(connection: Connection) -> frozenset[str]:
    """Those that hold running jobs."""
    return frozenset(connection.execute(_WORKERS).scalars())
