"""API keys' rows and their credits: balances, and the ledger that explains them.

Owns the rule that a balance only ever moves together with a ledger row; charges are written by limner.store.ending.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, exists, func, insert, select, update

from limner.errors import Conflict, NotFound
from limner.store.rows import KeyRow, LedgerRow, UsageRow
from limner.store.tables import columns_of, keys, ledger, values_of

_COLUMNS = columns_of(keys, KeyRow)
_ID: BindParameter[Any] = bindparam("b_id")
_ADD = insert(keys)
_BY_PREFIX = select(*_COLUMNS).where(keys.c.prefix == bindparam("b_prefix"))
_ALL = select(*_COLUMNS).order_by(keys.c.created_at_s, keys.c.id)
_ANY = select(exists().where(keys.c.revoked_at_s.is_(None)))
_REVOKE = (
    update(keys)
    .where(keys.c.id == _ID)
    .values(revoked_at_s=func.coalesce(keys.c.revoked_at_s, bindparam("b_now")))
    .returning(*_COLUMNS)
)
_TOUCH = update(keys).where(keys.c.id == _ID)
_GRANT = (
    update(keys)
    .where(keys.c.id == _ID, keys.c.revoked_at_s.is_(None))
    .values(balance_micro=func.coalesce(keys.c.balance_micro, 0) + bindparam("b_amount"))
    .returning(*_COLUMNS)
)
_NAME = select(keys.c.name).where(keys.c.id == _ID)
_ENTER = insert(ledger).inline()
_LEDGER = (
    select(*columns_of(ledger, LedgerRow))
    .where(ledger.c.key_id == bindparam("b_key"))
    .order_by(ledger.c.created_at_s.desc(), ledger.c.seq.desc())
    .limit(bindparam("b_limit"))
)
_USAGE = (
    select(
        ledger.c.key_id,
        ledger.c.model,
        func.count(),
        func.sum(ledger.c.images),
        func.sum(ledger.c.device_s),
        -func.sum(ledger.c.amount_micro),
    )
    .where(
        ledger.c.job_id.is_not(None),
        ledger.c.created_at_s >= bindparam("b_since"),
        ledger.c.created_at_s < bindparam("b_until"),
    )
    .group_by(ledger.c.key_id, ledger.c.model)
    .order_by(ledger.c.key_id, ledger.c.model)
)
_USAGE_OF_KEY = _USAGE.where(ledger.c.key_id == bindparam("b_key"))


def add_key(connection: Connection, row: KeyRow) -> None:
    """Add a key; what it starts with is entered in the ledger. A prefix or id that is taken is a Conflict."""
    connection.execute(_ADD, values_of(row))
    if row.balance_micro:
        _enter(connection, row.id, row.balance_micro, "opening balance", row.created_at_s)


def key_by_prefix(connection: Connection, prefix: str) -> KeyRow | None:
    """The key that is shown with this prefix, a revoked one as well."""
    found = connection.execute(_BY_PREFIX, {"b_prefix": prefix}).one_or_none()
    return KeyRow(*found) if found else None


def all_keys(connection: Connection) -> tuple[KeyRow, ...]:
    """Every key, oldest first, revoked ones as well."""
    return tuple(KeyRow(*row) for row in connection.execute(_ALL))


def has_keys(connection: Connection) -> bool:
    """Whether a key exists that is not revoked."""
    return bool(connection.execute(_ANY).scalar())


def revoke_key(connection: Connection, id: str, now_s: float) -> KeyRow:
    """Mark a key as revoked, once; raises NotFound."""
    found = connection.execute(_REVOKE, {"b_id": id, "b_now": now_s}).one_or_none()
    if found is None:
        raise NotFound(f"no such API key: {id}")
    return KeyRow(*found)


def touch_keys(connection: Connection, ids: Collection[str], now_s: float) -> None:
    """Note that these keys were used."""
    if ids:
        connection.execute(_TOUCH, [{"b_id": id, "last_used_at_s": now_s} for id in sorted(ids)])


def grant(connection: Connection, key_id: str, amount_micro: int, note: str, now_s: float) -> KeyRow:
    """Add to a key's balance (or take from it, when negative); a key that was not metered is from now on.

    Raises NotFound, and Conflict for a key that is revoked.
    """
    found = connection.execute(_GRANT, {"b_id": key_id, "b_amount": amount_micro}).one_or_none()
    if found is None:
        name = connection.execute(_NAME, {"b_id": key_id}).scalar_one_or_none()
        if name is None:
            raise NotFound(f"no such API key: {key_id}")
        raise Conflict(f"the API key {key_id} {name!r} is revoked: its credits stay as they are", param="key")
    _enter(connection, key_id, amount_micro, note, now_s)
    return KeyRow(*found)


def _enter(connection: Connection, key_id: str, amount_micro: int, note: str, now_s: float) -> None:
    entry = LedgerRow(key_id, None, None, 0, 0.0, amount_micro, now_s, note)
    connection.execute(_ENTER, values_of(entry))


def usage(connection: Connection, key_id: str | None, since_s: float, until_s: float) -> tuple[UsageRow, ...]:
    """Sums over jobs finished in [since_s, until_s), by key and model; None sums every key's."""
    query, wanted = (_USAGE, {}) if key_id is None else (_USAGE_OF_KEY, {"b_key": key_id})
    found = connection.execute(query, {**wanted, "b_since": since_s, "b_until": until_s})
    # PostgreSQL sums whole numbers to decimals
    return tuple(UsageRow(key, model, jobs, int(n), float(s), int(cost)) for key, model, jobs, n, s, cost in found)


def entries(connection: Connection, key_id: str, limit: int) -> tuple[LedgerRow, ...]:
    """A key's ledger, newest first."""
    return tuple(LedgerRow(*row) for row in connection.execute(_LEDGER, {"b_key": key_id, "b_limit": limit}))
