"""Forgetting: pictures past their time, then the jobs that had them, and idempotency keys.

Owns the list of files whose rows have gone: it is written with the row's end and shortened when the file has gone, so
that no end of a process leaves a file behind. The ledger stays for ever.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, exists, insert, or_, select

from limner.store.accepting import IDEMPOTENCY_S
from limner.store.tables import deliveries, forgotten, idempotency, images, jobs

AT_ONCE = 500  # rows a transaction: others must get their turn

_SOME_IMAGES = (
    select(images.c.id)
    .where(or_(images.c.expires_at_s <= bindparam("b_now"), images.c.created_at_s < bindparam("b_before")))
    .limit(AT_ONCE)
    .with_for_update(skip_locked=True)
)
_DROP_IMAGES = delete(images).where(images.c.id.in_(bindparam("b_ids", expanding=True))).returning(images.c.key)
_FORGET = insert(forgotten).inline()
_DUE = forgotten.c.due_at_s <= bindparam("b_now")
_REMEMBER = delete(forgotten).where(_DUE, exists().where(images.c.key == forgotten.c.key))
_DUE_FILES = select(forgotten.c.key).where(_DUE).order_by(forgotten.c.due_at_s).limit(AT_ONCE)
_FILES_GONE = delete(forgotten).where(_DUE, forgotten.c.key.in_(bindparam("b_keys", expanding=True)))
_SOME_JOBS = (
    select(jobs.c.id)
    .where(
        jobs.c.created_at_s < bindparam("b_before"),  # narrows by an index: nothing ends before it is created
        jobs.c.ended_at_s < bindparam("b_before"),
        ~exists().where(images.c.job_id == jobs.c.id),
    )
    .order_by(jobs.c.created_at_s)
    .limit(AT_ONCE)
    .with_for_update(skip_locked=True)
)
_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_DROP_JOBS = delete(jobs).where(jobs.c.id.in_(_IDS))
_DROP_DELIVERIES = delete(deliveries).where(deliveries.c.job_id.in_(_IDS))
_DROP_KEYS = delete(idempotency).where(idempotency.c.created_at_s <= bindparam("b_before"))


def drop_images(connection: Connection, now_s: float, images_before_s: float) -> int:
    """Remove some rows that are due, their files being due at once; returns how many."""
    ids = connection.execute(_SOME_IMAGES, {"b_now": now_s, "b_before": images_before_s}).scalars().all()
    if ids:
        forget(connection, sorted(set(connection.execute(_DROP_IMAGES, {"b_ids": ids}).scalars())), now_s)
    return len(ids)


def forget(connection: Connection, keys: Sequence[str], due_at_s: float) -> None:
    """Note that these files may go at ``due_at_s``, should no picture lie in them then."""
    connection.execute(_FORGET, [{"key": key, "due_at_s": due_at_s} for key in keys])


def due_files(connection: Connection, now_s: float) -> tuple[str, ...]:
    """Some of the files that are due. What another picture lies in is no longer forgotten."""
    connection.execute(_REMEMBER, {"b_now": now_s})
    return tuple(dict.fromkeys(connection.execute(_DUE_FILES, {"b_now": now_s}).scalars()))


def files_gone(connection: Connection, keys: Sequence[str], now_s: float) -> None:
    """Strike these files, as far as they were due, off the list."""
    connection.execute(_FILES_GONE, {"b_keys": list(keys), "b_now": now_s})


def drop_jobs(connection: Connection, jobs_before_s: float) -> int:
    """Remove some ended jobs without pictures, and what is left of their deliveries; returns how many."""
    ids = connection.execute(_SOME_JOBS, {"b_before": jobs_before_s}).scalars().all()
    if ids:
        connection.execute(_DROP_DELIVERIES, {"b_ids": ids})
        connection.execute(_DROP_JOBS, {"b_ids": ids})
    return len(ids)


def drop_idempotency(connection: Connection, now_s: float) -> None:
    """Remove idempotency keys that are no longer good."""
    connection.execute(_DROP_KEYS, {"b_before": now_s - IDEMPOTENCY_S})
