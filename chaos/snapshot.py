"""What the database holds, read behind the server's back: plain records for the audit.

Owns SQL on limner's tables as they are; uses none of limner's own code, which is what is being audited.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One row of ``jobs``. ``n`` and ``seed`` are the resolved request's; ``hooked``: a webhook tells of its end."""

    id: str
    owner: str
    key: str | None
    status: str
    n: int
    seed: int
    attempt: int
    crashes: int
    cost_micro: int
    error: Mapping[str, Any] | None
    hooked: bool = False


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One row of ``images``; ``key`` is its blob."""

    id: str
    job_id: str
    index: int
    key: str
    width_px: int
    height_px: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """One row of ``ledger``: a charge (negative, with ``job_id``) or a grant."""

    key_id: str
    job_id: str | None
    amount_micro: int


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """One row of ``keys``; ``balance_micro`` None: not metered."""

    id: str
    name: str
    balance_micro: int | None
    reserved_micro: int


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One row of ``deliveries``."""

    id: str
    job_id: str
    next_at_s: float | None
    delivered_at_s: float | None
    given_up_at_s: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it at one moment."""

    jobs: tuple[JobRecord, ...] = ()
    images: tuple[ImageRecord, ...] = ()
    ledger: tuple[LedgerRecord, ...] = ()
    accounts: tuple[AccountRecord, ...] = ()
    deliveries: tuple[DeliveryRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Database:
    """The database at the URL that limner was given."""

    url: str

    async def query(self, sql: str) -> list[dict[str, Any]]:
        """The rows of one statement that only reads."""
        if self.url.startswith("sqlite:///"):
            return await asyncio.to_thread(_query_sqlite, self.url.removeprefix("sqlite:///"), sql)
        connection = await asyncpg.connect(self.url)
        try:
            return [dict(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    async def snapshot(self) -> Snapshot:
        """Everything that the audit looks at."""
        return Snapshot(
            tuple(map(_job, await self.query(JOBS))),
            tuple(map(_image, await self.query("SELECT * FROM images"))),
            tuple(map(_entry, await self.query("SELECT * FROM ledger"))),
            tuple(map(_account, await self.query("SELECT * FROM keys"))),
            tuple(map(_delivery, await self.query("SELECT * FROM deliveries"))),
        )

    async def unfinished(self) -> int:
        """How many jobs are not over yet."""
        return int((await self.query("SELECT count(*) AS n FROM jobs WHERE ended_at_s IS NULL"))[0]["n"])


JOBS = (
    "SELECT jobs.*, idempotency.key AS idempotency_key FROM jobs LEFT JOIN idempotency ON idempotency.job_id = jobs.id"
)


def _query_sqlite(path: str, sql: str) -> list[dict[str, Any]]:
    # Read-only: the last writer to close would fold the log into the file, which is for limner to do.
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql)]


def _job(row: Row) -> JobRecord:
    request = orjson.loads(row["request"])
    return JobRecord(
        id=row["id"],
        owner=row["owner"],
        key=row["idempotency_key"],
        status=row["status"],
        n=request["n"],
        seed=request["seed"],
        attempt=row["attempt"],
        crashes=row["crashes"],
        cost_micro=row["cost_micro"],
        error=None if row["error"] is None else orjson.loads(row["error"]),
        hooked=row["hook_url"] is not None,
    )


def _image(row: Row) -> ImageRecord:
    return ImageRecord(**{name: row[name] for name in ImageRecord.__slots__})


def _entry(row: Row) -> LedgerRecord:
    return LedgerRecord(**{name: row[name] for name in LedgerRecord.__slots__})


def _account(row: Row) -> AccountRecord:
    return AccountRecord(**{name: row[name] for name in AccountRecord.__slots__})


def _delivery(row: Row) -> DeliveryRecord:
    return DeliveryRecord(**{name: row[name] for name in DeliveryRecord.__slots__})
