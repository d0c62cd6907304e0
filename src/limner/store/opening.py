"""From a URL to an open store.

Owns which URLs there are and the choice between SQLite and PostgreSQL.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from limner.errors import InvalidRequest
from limner.store.sqlite import SqliteDatabase
from limner.store.store import Store

if TYPE_CHECKING:
    from limner.store.postgres import PostgresDatabase

URLS = "sqlite:///PATH, sqlite:// (in memory) or postgresql://USER:PASSWORD@HOST/DATABASE"


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """Open the database, bring its schema up to date, and close it at the end.

    Raises InvalidRequest for a URL that is none of the allowed ones, NotReady when the database cannot be used.
    """
    database = _database(url)
    try:
        await database.start()
        yield Store(database)
    finally:
        await database.aclose()


def _database(url: str) -> "SqliteDatabase | PostgresDatabase":
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number
        raise InvalidRequest(f"not a database URL; allowed: {URLS}", param="database") from None
    match parsed:
        case URL(drivername="sqlite", host=None, database=path):
            return SqliteDatabase(Path(path) if path and path != ":memory:" else None)
        case URL(drivername="postgresql", database=str()):
            from limner.store.postgres import PostgresDatabase  # SQLite's users need not load the driver

            return PostgresDatabase(parsed)
    raise InvalidRequest(f"cannot use the database {parsed.render_as_string()}; allowed: {URLS}", param="database")
