"""SQLite: one thread that writes, threads that read, and commits shared by whoever waits for one.

Owns threads, connections and pragmas. A write that is waiting when another begins joins its transaction, each in a
savepoint of its own: one flush to the disk then serves them all.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection, Engine, NullPool, StaticPool, create_engine

from limner.errors import LimnerError, NotReady
from limner.store.database import translated
from limner.store.prepared import driver_of
from limner.store.same_file import SameFile
from limner.store.schema import migrate

T = TypeVar("T")
READERS = 2
MOST_A_COMMIT = 64
OWNER_ALONE = 0o600  # prompts are in it; SQLite gives its other files the same mode
BUSY_TIMEOUT_S = 30.0  # how long a write waits for another process's
_MIGRATING = Lock()  # alembic keeps what it works on in globals


@dataclass(frozen=True, slots=True)
class _Task:
    """What somebody in ``loop`` waits for."""

    work: Callable[[Connection], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


_Tasks: TypeAlias = SimpleQueue[_Task | None]  # None ends one thread
_Outcome: TypeAlias = tuple[Any, BaseException | None]


class SqliteDatabase:
    """A file, or with ``path`` None the memory of this process: a single connection then, which reads as well."""

    def __init__(self, path: Path | None) -> None:
        self._path = path = path.absolute() if path else None
        self._file = SameFile(path) if path else None
        self._closed = False
        self._writes: _Tasks = SimpleQueue()
        self._reads: _Tasks = SimpleQueue() if path else self._writes
        self._engine = _engine(path, self.verify)
        self._threads = [self._thread(self._writes, "BEGIN IMMEDIATE", MOST_A_COMMIT)]
        if path:
            self._threads += [self._thread(self._reads, "BEGIN", 1) for _ in range(READERS)]

    async def start(self) -> None:
        """Create or migrate the schema, one process at a time, then begin to serve."""
        await asyncio.to_thread(self._prepare)
        for thread in self._threads:
            thread.start()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction, perhaps together with others' work."""
        return await self._submit(self._writes, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on what is committed."""
        return await self._submit(self._reads, work)

    def verify(self, *, known_s: float = 0.0) -> None:
        """Raise NotReady when the file is no longer the one that was opened."""
        if self._file:
            self._file.check(known_s=known_s)

    def tell(self) -> None:
        """Nobody can hear it."""

    async def news(self) -> None:
        """There is never any."""
        await asyncio.get_running_loop().create_future()

    async def aclose(self) -> None:
        """Finish what was submitted, then close."""
        self._closed = True
        await asyncio.to_thread(self._stop)

    async def _submit(self, tasks: _Tasks, work: Callable[[Connection], T]) -> T:
        if self._closed:
            raise NotReady("the database has been closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        tasks.put(_Task(work, future, loop))
        with translated():
            return await future

    def _prepare(self) -> None:
        with translated(opening=True), _MIGRATING, _one_process(self._path), self._engine.connect() as connection:
            if self._path:
                # Kept by the file from then on; switching to it has no patience with other connections.
                _driver(connection).execute("PRAGMA journal_mode = WAL")
            with _transaction(connection, "BEGIN IMMEDIATE"):
                migrate(connection)
        if self._file:
            self._file.remember()

    def _stop(self) -> None:
        alive = [thread for thread in self._threads if thread.is_alive()]
        for _ in alive:
            self._writes.put(None)
            self._reads.put(None)
        for thread in alive:
            thread.join()
        self._engine.dispose()

    def _thread(self, tasks: _Tasks, begin: str, most: int) -> Thread:
        return Thread(target=_serve, args=(self._engine, tasks, begin, most), name="limner-database", daemon=True)


def _engine(path: Path | None, verify: Callable[[], None]) -> Engine:
    """Connections as `_connect` makes them. SQLAlchemy's events would do it too, and make every statement look for
    listeners."""
    return create_engine(
        "sqlite://",
        creator=lambda: _connect(path, verify),
        poolclass=NullPool if path else StaticPool,
        pool_reset_on_return=None,  # every transaction here ends in a block of its own
    )


def _connect(path: Path | None, verify: Callable[[], None]) -> sqlite3.Connection:
    verify()  # SQLite would make a new file where the old one was removed
    connection = sqlite3.connect(
        path or ":memory:",
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,  # or sqlite3 would begin transactions by its own rules
        check_same_thread=False,
    )
    connection.execute("PRAGMA synchronous = FULL")
    return connection


@contextmanager
def _transaction(connection: Connection, begin: str) -> Iterator[None]:
    with connection.begin():
        _driver(connection).execute(begin)
        yield


@contextmanager
def _one_process(path: Path | None) -> Iterator[None]:
    """Wait until no other process prepares this file. The lock goes with its holder, however that ends."""
    if path is None:
        yield
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as file:
        flock(file, LOCK_EX)
        _make_private(path)
        yield


def _make_private(path: Path) -> None:
    """Make the file before SQLite does, which would let everybody read it.

    One that is there is not opened: closing it would end the locks that this process's SQLite has on it.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, OWNER_ALONE))


def _serve(engine: Engine, tasks: _Tasks, begin: str, most: int) -> None:
    connection: Connection | None = None
    while (first := tasks.get()) is not None:
        batch = [task for task in _waiting(first, tasks, most) if not task.future.cancelled()]
        try:
            connection = connection or engine.connect()
            outcomes = _run(connection, begin, batch)
        except BaseException as error:  # noqa: BLE001 - a thread's root; whoever waits raises it
            outcomes = [(None, error)] * len(batch)
            _drop(connection)
            connection = None
        _tell(batch, outcomes)
    _drop(connection)


def _drop(connection: Connection | None) -> None:
    """Close a connection; after an error the next work gets another, as nobody knows what state this one is in."""
    if connection is not None:
        connection.close()


def _waiting(first: _Task, tasks: _Tasks, most: int) -> list[_Task]:
    """``first`` and what has been submitted since, ``most`` in all."""
    batch = [first]
    while len(batch) < most:
        try:
            task = tasks.get_nowait()
        except Empty:
            break
        if task is None:
            tasks.put(None)
            break
        batch.append(task)
    return batch


def _run(connection: Connection, begin: str, batch: Sequence[_Task]) -> list[_Outcome]:
    """One transaction for all; what fails undoes its own part alone."""
    if not batch:
        return []
    if len(batch) > 1:
        with _transaction(connection, begin):
            return [_attempt(connection, task.work) for task in batch]
    try:
        with _transaction(connection, begin):
            return [(batch[0].work(connection), None)]
    except LimnerError as refusal:
        return [(None, refusal)]


def _attempt(connection: Connection, work: Callable[[Connection], Any]) -> _Outcome:
    """What came of ``work``. Raises what ended the whole transaction, as a full disk may: what others did in it is
    undone then, and committing would not tell."""
    driver = _driver(connection)  # SQLAlchemy's savepoints cost more than the work in them
    driver.execute("SAVEPOINT part")
    try:
        result = work(connection)
        driver.execute("RELEASE part")
    except Exception as error:
        if not driver.in_transaction:
            raise
        driver.execute("ROLLBACK TO part")
        driver.execute("RELEASE part")
        return None, error
    return result, None


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = driver_of(connection)
    assert driver is not None, "SQLite's own driver is the one that is used"
    return driver


def _tell(batch: Sequence[_Task], outcomes: Sequence[_Outcome]) -> None:
    """Let those who wait have their ``outcomes``, waking each loop once."""
    waiting: dict[asyncio.AbstractEventLoop, list[tuple[_Task, _Outcome]]] = {}
    for task, outcome in zip(batch, outcomes, strict=True):
        waiting.setdefault(task.loop, []).append((task, outcome))
    for loop, ended in waiting.items():
        with suppress(RuntimeError):  # the loop has been closed, and nobody waits in it
            loop.call_soon_threadsafe(_settle, ended)


def _settle(ended: Sequence[tuple[_Task, _Outcome]]) -> None:
    for task, (result, failure) in ended:
        if task.future.done():  # who waited has been cancelled
            continue
        if failure is None:
            task.future.set_result(result)
        elif isinstance(failure, StopIteration):  # which no future takes
            task.future.set_exception(RuntimeError("a generator's end came out of work on the database"))
        else:
            task.future.set_exception(failure)
