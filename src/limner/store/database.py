"""What a database has to do for the store, whichever it is.

Owns the seam: work is a plain function that is given a connection inside a transaction. SQLite runs it in a thread of
its own, PostgreSQL in a greenlet over asyncpg, so that every statement exists once. Knows no table.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from limner.errors import Conflict, NotReady

logger = logging.getLogger(__name__)

T = TypeVar("T")
RETRY_AFTER_S = 5.0


class Database(Protocol):
    """Runs transactions. Cancelling a call abandons its result; the transaction itself may still be committed."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction that is on the disk when this returns, rolled back when ``work`` raises."""
        ...

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work``, which only reads; it sees every write that has returned."""
        ...

    def verify(self, *, known_s: float) -> None:
        """Raise NotReady when what is written would be lost; what was seen in the last ``known_s`` seconds still holds.

        May block: called by work.
        """
        ...

    def tell(self) -> None:
        """Let the other processes of this database know that jobs were queued, if there is a way; does not wait."""
        ...

    async def news(self) -> None:
        """Return when another process may have queued jobs since the last call; never, where there is no way to know.

        What is told may be lost.
        """
        ...

    async def aclose(self) -> None:
        """End what runs and let go of every connection."""
        ...


def unusable(reason: object, *, opening: bool = False) -> NotReady:
    """The error of a database that is locked, full or away. Drivers' words may hold addresses and statements: they are
    for whoever opens the database, others are sent to the log."""
    said = str(reason) or repr(reason)  # what ran out of time has no words
    if opening:
        return NotReady(f"the database cannot be used: {said}")
    logger.warning("the database cannot be used: %s", said)
    return NotReady(
        "the database cannot be used at the moment: it is locked, full or away; the log says which",
        retry_after_s=RETRY_AFTER_S,
    )


@contextmanager
def translated(*, opening: bool = False) -> Iterator[None]:
    """Say a driver's errors in limner's: a broken constraint is a Conflict, one that cannot be used is NotReady."""
    try:
        yield
    except (IntegrityError, sqlite3.IntegrityError) as error:
        raise Conflict(f"the database refuses this: {getattr(error, 'orig', error)}") from error
    except (ProgrammingError, DataError, sqlite3.DataError):  # a mistake of ours
        raise
    except DBAPIError as error:
        raise unusable(error.orig, opening=opening) from error
    except (PoolTimeout, OSError, sqlite3.Error) as error:
        raise unusable(error, opening=opening) from error
