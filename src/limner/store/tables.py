"""The schema as SQLAlchemy sees it, and the column types that turn JSON text into plain values.

Owns names, types and indexes. The migrations create the same tables on their own; a test compares the two. Columns
carry the names of the rows' fields, so that ``columns_of(table, Row)`` selects what ``Row(*values)`` takes.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    literal_column,
)

logger = logging.getLogger(__name__)


def _parsed(value: str, kind: type[Any]) -> Any:
    """What was written; None for what is no JSON of this kind: a row that broke must not hide the others."""
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        logger.error("a column of JSON cannot be read: %s", error)
        return None
    return found if isinstance(found, kind) else None


class Json(TypeDecorator[Any]):
    """A JSON object, as text; {} is read where the text is none."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To text."""
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From text."""
        return None if value is None else _parsed(value, dict) or {}


class JsonTuple(Json):
    """A tuple, as a JSON array."""

    cache_ok = True
    broken: ClassVar[tuple[Any, ...]] = ()

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[Any, ...]:
        """From text."""
        found = () if value is None else _parsed(value, list)
        return self.broken if found is None else tuple(found)


class JsonGlobs(JsonTuple):
    """Names that are allowed, none meaning all: what cannot be read is a pattern that allows nothing."""

    cache_ok = True
    broken = ("",)


class JsonSet(Json):
    """A set of texts, as a sorted JSON array."""

    cache_ok = True

    def process_bind_param(self, value: Iterable[str] | None, dialect: Dialect) -> str | None:
        """To text."""
        return super().process_bind_param(sorted(value or ()), dialect)

    def process_result_value(self, value: str | None, dialect: Dialect) -> frozenset[str]:
        """From text."""
        return frozenset(_parsed(value, list) or ()) if value is not None else frozenset()


metadata = MetaData()
Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts by itself in INTEGER PRIMARY KEY alone

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("request", Json, nullable=False),
    Column("warnings", JsonTuple, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("weight_s", Double, nullable=False),
    Column("rank", Double, nullable=False),
    Column("created_at_s", Double, nullable=False),
    Column("deadline_at_s", Double, nullable=False),
    Column("started_at_s", Double),
    Column("ended_at_s", Double),
    Column("attempt", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("worker", Text),
    Column("lease_until_s", Double),
    Column("progress", Double, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("cancel_error", Json),
    Column("reserve_micro", BigInteger, nullable=False),
    Column("cost_micro", BigInteger, nullable=False),
    Column("device_s", Double, nullable=False),
    Column("result", Json),
    Column("error", Json),
    Column("fingerprint", Text, nullable=False),
    Column("hook_url", Text),
    Column("hook_secret", Text),
)

# A partial index serves only statements that spell its condition out, so no bound parameters in these.
QUEUED: ColumnElement[bool] = jobs.c.status == literal_column("'queued'")
RUNNING: ColumnElement[bool] = jobs.c.status == literal_column("'running'")
LIVE: ColumnElement[bool] = jobs.c.ended_at_s.is_(None)


def _partial(name: str, condition: ColumnElement[bool], *columns: Any) -> Index:
    return Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


_partial("jobs_claim", QUEUED, jobs.c.model, jobs.c.priority.desc(), jobs.c.rank, jobs.c.seq)
_partial("jobs_rank", QUEUED, jobs.c.rank)
_partial("jobs_deadline", QUEUED, jobs.c.deadline_at_s)
_partial("jobs_running", RUNNING, jobs.c.worker)
# The second column is always NULL here; with it SQLite prefers this index to jobs_owner, which holds ended jobs too.
_partial("jobs_live", LIVE, jobs.c.owner, jobs.c.ended_at_s)
Index("jobs_created", jobs.c.created_at_s, jobs.c.seq)
Index("jobs_owner", jobs.c.owner, jobs.c.created_at_s, jobs.c.seq)

owners = Table(
    "owners",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("finish_tag", Double, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("owner", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("created_at_s", Double, nullable=False),
    PrimaryKeyConstraint("owner", "key"),
    Index("idempotency_created", "created_at_s"),
)

images = Table(
    "images",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, nullable=False, index=True),
    Column("index", Integer, nullable=False),
    Column("owner", Text, nullable=False),
    Column("key", Text, nullable=False, index=True),
    Column("media_type", Text, nullable=False),
    Column("width_px", Integer, nullable=False),
    Column("height_px", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("created_at_s", Double, nullable=False),
    Column("expires_at_s", Double, nullable=False, index=True),
    Index("images_created", "created_at_s", "id"),
    Index("images_owner", "owner", "created_at_s", "id"),
)

# Files that no picture's row named any more; the row goes when the file has gone.
forgotten = Table(
    "forgotten",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("key", Text, nullable=False, index=True),
    Column("due_at_s", Double, nullable=False, index=True),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False),
    Column("scopes", JsonSet, nullable=False),
    Column("models", JsonGlobs, nullable=False),
    Column("local_only", Boolean, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("jobs_per_minute", Integer),
    Column("concurrency", Integer),
    Column("balance_micro", BigInteger),
    Column("reserved_micro", BigInteger, nullable=False),
    Column("created_at_s", Double, nullable=False),
    Column("revoked_at_s", Double),
    Column("last_used_at_s", Double),
)

ledger = Table(
    "ledger",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("job_id", Text, unique=True),
    Column("model", Text),
    Column("images", Integer, nullable=False),
    Column("device_s", Double, nullable=False),
    Column("amount_micro", BigInteger, nullable=False),
    Column("created_at_s", Double, nullable=False),
    Column("note", Text, nullable=False),
    Index("ledger_key", "key_id", "created_at_s"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("secret", Text),
    Column("attempts", Integer, nullable=False),
    Column("next_at_s", Double),
    Column("created_at_s", Double, nullable=False),
    Column("delivered_at_s", Double),
    Column("given_up_at_s", Double),
    Column("error", Text),
)
_partial("deliveries_due", deliveries.c.next_at_s.is_not(None), deliveries.c.next_at_s)


def columns_of(table: Table, row: type[Any]) -> Sequence[Column[Any]]:
    """The columns that ``row``, a dataclass, is made of, in the order of its fields."""
    return tuple(table.c[field.name] for field in fields(row))


def values_of(row: Any) -> dict[str, Any]:
    """What ``row``, a dataclass, puts into its table: its fields by column, nothing copied as `asdict` would."""
    return {name: getattr(row, name) for name in row.__dataclass_fields__}
