"""SQLite: one thread that writes, threads that read, and commits shared by whoever waits for one.

Owns threads, connections and pragmas. A write that is waiting when another begins joins its transaction, each in a
savepoint of its own: one flush to the disk then serves them all.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import URL, Connection, Engine, NullPool, StaticPool, create_engine, event

from limner.errors import LimnerError, NotReady
from limner.store.database import translated
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
    work: Callable[[Connection], Any]
    future: Future[Any]


_Tasks: TypeAlias = SimpleQueue[_Task | None]  # None ends one thread
_Outcome: TypeAlias = tuple[Any, BaseException | None]


class SqliteDatabase:
    """A file, or with ``path`` None the memory of this process: a single connection then, which reads as well."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = SameFile(path) if path else None
        self._closed = False
        self._writes: _Tasks = SimpleQueue()
        self._reads: _Tasks = SimpleQueue() if path else self._writes
        self._engines = [_engine(path, "BEGIN IMMEDIATE", self.verify)]
        self._threads = [_thread(self._engines[0], self._writes, MOST_A_COMMIT)]
        if path:
            self._engines.append(_engine(path, "BEGIN", self.verify))
            self._threads += [_thread(self._engines[1], self._reads, 1) for _ in range(READERS)]

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
        future: Future[T] = Future()
        tasks.put(_Task(work, future))
        with translated():
            return await asyncio.wrap_future(future)

    def _prepare(self) -> None:
        with translated(opening=True), _MIGRATING, _one_process(self._path), self._engines[0].connect() as connection:
            if self._path:
                # Kept by the file from then on; switching to it has no patience with other connections.
                connection.connection.driver_connection.execute("PRAGMA journal_mode = WAL")  # type: ignore[union-attr]
            with connection.begin():
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
        for engine in self._engines:
            engine.dispose()


def _engine(path: Path | None, begin: str, verify: Callable[[], None]) -> Engine:
    url = URL.create("sqlite", database=str(path) if path else None)
    engine = create_engine(
        url,
        poolclass=NullPool if path else StaticPool,
        pool_reset_on_return=None,  # every transaction here ends in a block of its own
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S},
    )

    @event.listens_for(engine, "do_connect")
    def connecting(*_: object) -> None:
        verify()  # SQLite would make a new file where the old one was removed

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # or sqlite3 would begin transactions by its own rules
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


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


def _thread(engine: Engine, tasks: _Tasks, most: int) -> Thread:
    return Thread(target=_serve, args=(engine, tasks, most), name="limner-database", daemon=True)


def _serve(engine: Engine, tasks: _Tasks, most: int) -> None:
    connection: Connection | None = None
    while (first := tasks.get()) is not None:
        batch = [task for task in _waiting(first, tasks, most) if task.future.set_running_or_notify_cancel()]
        try:
            connection = connection or engine.connect()
            outcomes = _run(connection, batch)
        except BaseException as error:  # noqa: BLE001 - a thread's root; whoever waits raises it
            outcomes = [(None, error)] * len(batch)
            _drop(connection)
            connection = None
        for task, (result, failure) in zip(batch, outcomes, strict=True):
            _settle(task.future, result, failure)
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


def _run(connection: Connection, batch: Sequence[_Task]) -> list[_Outcome]:
    """One transaction for all; what fails undoes its own part alone."""
    if not batch:
        return []
    if len(batch) > 1:
        with connection.begin():
            return [_attempt(connection, task.work) for task in batch]
    try:
        with connection.begin():
            return [(batch[0].work(connection), None)]
    except LimnerError as refusal:
        return [(None, refusal)]


def _attempt(connection: Connection, work: Callable[[Connection], Any]) -> _Outcome:
    """What came of ``work``. Raises what ended the whole transaction, as a full disk may: what others did in it is
    undone then, and committing would not tell."""
    savepoint = connection.begin_nested()
    try:
        result = work(connection)
        savepoint.commit()
    except Exception as error:
        if not _in_transaction(connection):
            raise
        savepoint.rollback()
        return None, error
    return result, None


def _in_transaction(connection: Connection) -> bool:
    driver = connection.connection.driver_connection
    assert driver is not None, "a connection has a driver's"
    return bool(driver.in_transaction)


def _settle(future: Future[Any], result: Any, failure: BaseException | None) -> None:
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
