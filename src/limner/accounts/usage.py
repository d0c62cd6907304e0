"""What was used: sums over the ledger for a stretch of time, per key and model.

Owns the stretch's notation and the report's shape, which `/v1/usage` and ``limner usage`` share.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from limner.errors import InvalidRequest
from limner.store import Store
from limner.store.rows import MICRO, KeyRow, UsageRow

DEFAULT_S = 30 * 86_400.0
LAST_S = datetime.max.replace(tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Period:
    """From ``since_s`` up to, but without, ``until_s``, in unix seconds."""

    since_s: float
    until_s: float

    @classmethod
    def parse(cls, since: str | None, until: str | None, now_s: float) -> "Period":
        """Unix seconds or ISO 8601 each, in UTC where it names no zone; by default the 30 days up to ``now_s``.

        Raises InvalidRequest naming the value.
        """
        until_s = now_s if until is None else _moment(until, "until")
        since_s = until_s - DEFAULT_S if since is None else _moment(since, "since")
        if since_s > until_s:
            shown = f"since {since!r} is after until {until!r}" if until else f"since {since!r} is in the future"
            raise InvalidRequest(shown, param="since")
        return cls(since_s, until_s)


def _moment(text: str, param: str) -> float:
    try:
        try:
            moment_s = float(text)
        except ValueError:
            moment = datetime.fromisoformat(text)
            moment_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        moment_s = math.nan
    if not 0 <= moment_s <= LAST_S:  # false for nan as well
        raise InvalidRequest(
            f"{param} {text[:60]!r} is no time; write unix seconds such as 1790000000, or ISO 8601 such as 2026-11-30 "
            "or 2026-11-30T12:00:00+01:00",
            param=param,
        )
    return moment_s


async def usage_report(store: Store, period: Period, key_id: str | None) -> dict[str, Any]:
    """The usage in ``period`` as JSON: of one API key with its balance ("" stands for requests without a key), or of
    everybody where ``key_id`` is None."""
    rows = await store.usage(key_id=key_id, since_s=period.since_s, until_s=period.until_s)
    keys = {key.id: key for key in await store.keys()}
    data = [
        {
            "key_id": row.key_id,
            "key_name": keys[row.key_id].name if row.key_id in keys else None,
            "model": row.model,
            **_sums([row]),
        }
        for row in rows
    ]
    data.sort(key=lambda entry: (entry["key_name"] or "", entry["key_id"], entry["model"]))
    return {
        "object": "list",
        "since": period.since_s,
        "until": period.until_s,
        "data": data,
        "total": _sums(rows),
        "balance": balance_of(keys[key_id]) if key_id in keys else None,
    }


def balance_of(key: KeyRow) -> dict[str, float] | None:
    """A key's credits and how many of them are reserved for jobs that have not ended; None where nothing is metered."""
    if key.balance_micro is None:
        return None
    return {"credits": key.balance_micro / MICRO, "reserved": key.reserved_micro / MICRO}


def _sums(rows: Sequence[UsageRow]) -> dict[str, float]:
    return {
        "jobs": sum(row.jobs for row in rows),
        "images": sum(row.images for row in rows),
        "device_s": round(math.fsum(row.device_s for row in rows), 6),
        "credits": sum(row.cost_micro for row in rows) / MICRO,
    }
