"""Webhooks that wait to be delivered. limner.store.ending makes them, in the transaction that ends their job.

Owns the rule that one process at a time tries a delivery: taking it puts its next try off until the lease is over.
"""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from limner.store.rows import Delivery
from limner.store.tables import columns_of, deliveries

_DUE = (
    select(*columns_of(deliveries, Delivery))
    .where(deliveries.c.next_at_s.is_not(None), deliveries.c.next_at_s <= bindparam("b_now"))
    .order_by(deliveries.c.next_at_s, deliveries.c.id)
    .limit(bindparam("b_limit"))
    .with_for_update(skip_locked=True)
)
_TAKE = update(deliveries).where(deliveries.c.id == bindparam("b_id")).values(attempts=deliveries.c.attempts + 1)
_UNCOUNT = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("b_id"), deliveries.c.next_at_s.is_not(None))
    .values(attempts=deliveries.c.attempts - 1)
)
_CHANGE = update(deliveries).where(deliveries.c.id == bindparam("b_id"), deliveries.c.next_at_s.is_not(None))


def due(connection: Connection, now_s: float, *, lease_until_s: float, limit: int) -> tuple[Delivery, ...]:
    """Take what is due; each row says how often it was tried before, and counts this time as tried already."""
    found = [Delivery(*row) for row in connection.execute(_DUE, {"b_now": now_s, "b_limit": limit})]
    if found:
        connection.execute(_TAKE, [{"b_id": delivery.id, "next_at_s": lease_until_s} for delivery in found])
    return tuple(replace(delivery, next_at_s=lease_until_s) for delivery in found)


def change(connection: Connection, id: str, **values: Any) -> None:
    """Note what came of a delivery; one that is over stays as it is."""
    connection.execute(_CHANGE, {"b_id": id, **values})


def put_off(connection: Connection, id: str, next_at_s: float, error: str) -> None:
    """Note that a delivery was taken but not tried."""
    connection.execute(_UNCOUNT, {"b_id": id, "next_at_s": next_at_s, "error": error})
