"""PostgreSQL over asyncpg: a pool of connections, and work run in a greenlet on one of them.

Owns the pool and the lock under which one process at a time migrates.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import URL, Connection, NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from limner.errors import NotReady
from limner.store.bell import Bell
from limner.store.database import translated, unusable
from limner.store.schema import migrate

T = TypeVar("T")
CONNECTIONS = 9  # one of them is the bell's
CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 60.0  # a server that was lost with a statement says nothing more
MIGRATION_LOCK = 0x6C696D6E6572  # "limner"; advisory locks are numbers that the whole database shares


class PostgresDatabase:
    """One database, shared with any number of processes."""

    def __init__(self, url: URL) -> None:
        query = {"ssl" if name == "sslmode" else name: value for name, value in url.query.items()}
        self._url = url.set(drivername="postgresql+asyncpg", query=query)
        self._writes = create_async_engine(
            self._url,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_pre_ping=True,  # a restarted database must not cost a finished job its record
            connect_args={"timeout": CONNECT_TIMEOUT_S, "command_timeout": COMMAND_TIMEOUT_S},
        )
        self._reads = self._writes.execution_options(isolation_level="AUTOCOMMIT")
        self._bell = Bell(self._reads)
        self.tell, self.news = self._bell.ring, self._bell.heard

    async def start(self) -> None:
        """Create or migrate the schema, one process at a time."""
        import asyncpg  # costs 60 ms, which SQLite's users need not pay

        try:
            with translated(opening=True):
                async with self._unhurried().begin() as connection:
                    await connection.run_sync(_migrate_alone)
        except asyncpg.PostgresError as error:  # refused at the door: not wrapped by SQLAlchemy
            raise NotReady(f"cannot use the database {self._url.render_as_string()}: {error}") from error

    def _unhurried(self) -> AsyncEngine:
        """For migrations, which may take long and wait for another process's."""
        return create_async_engine(self._url, poolclass=NullPool, connect_args={"timeout": CONNECT_TIMEOUT_S})

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction."""
        with _translated():
            async with self._writes.begin() as connection:
                return await connection.run_sync(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work``, every statement of which sees what is committed when it begins."""
        with _translated():
            async with self._reads.connect() as connection:
                return await connection.run_sync(work)

    def verify(self, *, known_s: float) -> None:
        """A server that is gone says so by itself."""

    async def aclose(self) -> None:
        """Close every connection."""
        await self._bell.aclose()
        await self._writes.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    """Refusals at the door (it is starting, it has no room) are not wrapped by SQLAlchemy."""
    import asyncpg

    try:
        with translated():
            yield
    except asyncpg.PostgresError as error:
        raise unusable(error) from error


def _migrate_alone(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": MIGRATION_LOCK})
    migrate(connection)
