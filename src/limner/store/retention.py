"""Forgetting: pictures past their time, then the jobs that had them, and idempotency keys.

The ledger stays for ever.
"""

from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, exists, or_, select

from limner.store.accepting import IDEMPOTENCY_S
from limner.store.images import is_used
from limner.store.tables import deliveries, idempotency, images, jobs

AT_ONCE = 500  # rows a transaction: others must get their turn

_SOME_IMAGES = (
    select(images.c.id)
    .where(or_(images.c.expires_at_s <= bindparam("b_now"), images.c.created_at_s < bindparam("b_before")))
    .limit(AT_ONCE)
    .with_for_update(skip_locked=True)
)
_DROP_IMAGES = delete(images).where(images.c.id.in_(bindparam("b_ids", expanding=True))).returning(images.c.key)
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


def drop_images(connection: Connection, now_s: float, images_before_s: float) -> tuple[int, tuple[str, ...]]:
    """Remove some rows that are due; returns how many, and the blob keys that no row uses any more."""
    ids = connection.execute(_SOME_IMAGES, {"b_now": now_s, "b_before": images_before_s}).scalars().all()
    if not ids:
        return 0, ()
    keys = dict.fromkeys(connection.execute(_DROP_IMAGES, {"b_ids": ids}).scalars())
    return len(ids), tuple(key for key in keys if not is_used(connection, key))


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
