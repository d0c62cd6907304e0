"""One writer, shared commits, and statements that find their index."""

import asyncio
import os
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.sql import Executable

from limner.errors import Conflict, NotReady
from limner.store import Store, accepting, claiming, ending, images, open_store, reading, retention
from limner.store.sqlite import SqliteDatabase
from limner.store.tables import images as columns
from tests.store.samples import MODEL, completion, enqueue, new_image, new_job


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = SqliteDatabase(tmp_path / "limner.db")
    await opened.start()
    yield opened
    await opened.aclose()


def _put(name: str) -> Executable:
    return text("INSERT INTO owners VALUES (:name, 0)").bindparams(name=name)


def _names(connection: Connection) -> set[str]:
    return set(connection.execute(text("SELECT owner FROM owners")).scalars())


async def test_the_file_is_flushed_at_every_commit(database: SqliteDatabase) -> None:
    def pragmas(connection: Connection) -> tuple[object, object]:
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        return journal, connection.exec_driver_sql("PRAGMA synchronous").scalar()

    assert await database.write(pragmas) == ("wal", 2)  # 2 is FULL


async def test_work_that_fails_undoes_itself_alone(database: SqliteDatabase) -> None:
    """Submitted in one go, so that all of it lands in a few transactions."""

    def work(number: int, connection: Connection) -> int:
        connection.execute(_put(f"{number}"))
        if number % 3 == 0:
            raise ValueError(number)
        return number

    steps = (database.write(lambda c, n=number: work(n, c)) for number in range(100))  # type: ignore[misc]
    outcomes = await asyncio.gather(*steps, return_exceptions=True)
    kept = {f"{number}" for number in range(100) if number % 3}
    assert {f"{outcome}" for outcome in outcomes if isinstance(outcome, int)} == kept
    assert sum(isinstance(outcome, ValueError) for outcome in outcomes) == 34
    assert await database.read(_names) == kept


async def test_what_a_full_disk_undid_is_told_to_all_who_shared_the_commit(
    database: SqliteDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite ends the transaction then, savepoints and all, and takes a commit of nothing for a success."""
    begun, others_wait = Event(), Event()

    def hold(_: Connection) -> None:
        begun.set()
        others_wait.wait(5)

    def fill(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.execute(text("INSERT INTO owners VALUES (hex(zeroblob(100000)), 0)"))

    first = asyncio.create_task(database.write(hold))
    await asyncio.to_thread(begun.wait, 5)
    works = (lambda c: c.execute(_put("before")), fill, lambda c: c.execute(_put("after")))
    steps = [asyncio.create_task(database.write(work)) for work in works]
    await asyncio.sleep(0)
    others_wait.set()
    await first
    outcomes = await asyncio.gather(*steps, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotReady] * 3
    assert await database.read(_names) == set()
    assert "full" in caplog.text
    await database.write(lambda c: c.execute(_put("later")) and None)


async def test_waiting_writes_share_a_commit(database: SqliteDatabase) -> None:
    changes: list[int] = []

    def work(connection: Connection) -> None:
        connection.execute(text("INSERT INTO owners VALUES (hex(randomblob(8)), 0)"))
        changes.append(id(connection.get_transaction()))

    await asyncio.gather(*(database.write(work) for _ in range(40)))
    assert len(set(changes)) < 40


async def test_a_write_that_nobody_waits_for_any_more_is_dropped(database: SqliteDatabase) -> None:
    def slow(connection: Connection) -> None:
        connection.exec_driver_sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500000)"
                                   " SELECT count(*) FROM n")  # fmt: skip

    first = asyncio.create_task(database.write(slow))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(database.write(lambda c: c.execute(_put("late"))))
    await asyncio.sleep(0)
    second.cancel()
    await first
    assert await database.read(_names) == set()


async def test_an_error_that_no_future_takes_leaves_nobody_waiting(database: SqliteDatabase) -> None:
    async with asyncio.timeout(10):
        stopped, put = await asyncio.gather(
            database.write(lambda _: next(iter(()))),
            database.write(lambda c: c.execute(_put("one")) and None),
            return_exceptions=True,
        )
    assert isinstance(stopped, RuntimeError)
    assert put is None
    assert await database.read(_names) == {"one"}


def test_a_loop_that_ended_while_it_waited_is_not_missed(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "limner.db")
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        begun.set()
        assert go_on.wait(10)
        connection.execute(_put("kept"))

    async def leave() -> None:
        await database.start()
        waiting = asyncio.create_task(database.write(slow))
        await asyncio.to_thread(begun.wait)
        waiting.cancel()

    async def come_back() -> set[str]:
        try:
            return await database.read(_names) | await database.write(_names)
        finally:
            await database.aclose()

    asyncio.run(leave())
    go_on.set()
    assert asyncio.run(come_back()) == {"kept"}


async def test_a_broken_constraint_is_a_conflict(database: SqliteDatabase) -> None:
    await database.write(lambda c: c.execute(_put("one")) and None)
    with pytest.raises(Conflict, match="owners"):
        await database.write(lambda c: c.execute(_put("one")) and None)
    assert await database.read(_names) == {"one"}


async def test_a_lost_file_is_not_ready_and_the_thread_lives_on(database: SqliteDatabase, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "limner.db") as other:
        other.execute("ALTER TABLE owners RENAME TO gone")
        other.commit()
        with pytest.raises(NotReady, match="the log says which"):
            await database.write(lambda c: c.execute(_put("one")) and None)
        other.execute("ALTER TABLE gone RENAME TO owners")
        other.commit()
    other.close()
    await database.write(lambda c: c.execute(_put("two")) and None)
    assert await database.read(_names) == {"two"}


async def test_closing_waits_for_what_was_submitted(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'limner.db'}") as store:
        tasks = [asyncio.create_task(enqueue(store, new_job(f"job_{i}"))) for i in range(10)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)


async def test_after_closing_nothing_waits_for_ever(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'limner.db'}") as store:
        pass
    for step in (store.get("job_1"), enqueue(store, new_job("job_1"))):
        with pytest.raises(NotReady, match="closed"):
            await step


async def test_a_connection_that_cannot_be_made_is_tried_again(tmp_path: Path) -> None:
    """Found when something is first asked of it, which must not end the thread."""
    directory, aside = tmp_path / "data", tmp_path / "aside"
    database = SqliteDatabase(directory / "limner.db")
    await database.start()
    directory.rename(aside)
    with pytest.raises(NotReady, match="was removed"):
        await database.read(_names)
    aside.rename(directory)
    assert await database.read(_names) == set()
    await database.aclose()


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (claiming._HEADS, "jobs_claim (model=?)"),
        (claiming._HELD, "jobs_running (worker=?)"),
        (claiming._WORKERS, "jobs_running"),
        (accepting._QUEUE.statement, "jobs_rank"),
        (accepting._ALIVE, "COVERING INDEX jobs_live"),
        (accepting._LIVE_OF_OWNER, "jobs_live (owner=? AND ended_at_s=?)"),
        (accepting._LIMITING, "jobs_owner (owner=? AND created_at_s>?)"),
        (ending._ABANDONED, "jobs_running"),
        (ending._LATE, "jobs_deadline (deadline_at_s<?)"),
        (reading._BEFORE, "jobs_claim (model=?)"),
        (reading._DEPTHS[0], "INDEX jobs_claim"),
        (retention._DUE_FILES, "ix_forgotten_due_at_s (due_at_s<?)"),
        (retention._REMEMBER, "ix_images_key (key=?)"),
        (images._NEWEST, "SCAN images USING INDEX images_created"),
        (images._NEWEST.where(columns.c.owner == "key"), "SEARCH images USING INDEX images_owner (owner=?)"),
    ],
)
async def test_hot_statements_find_their_index(database: SqliteDatabase, statement: Executable, index: str) -> None:
    sql = str(statement.compile(dialect=dialect.dialect(), compile_kwargs={"render_postcompile": False}))  # type: ignore[attr-defined]
    sql = sql.replace("__[POSTCOMPILE_b_dead]", "(NULL)").replace("__[POSTCOMPILE_b_models]", "(?)")

    def plan(connection: Connection) -> str:
        values = (None,) * sql.count("?")
        return "\n".join(str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values))

    assert index in await database.read(plan)


async def test_reading_does_not_wait_for_another_process_that_writes(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'limner.db'}") as store:
        await enqueue(store, new_job("job_1"))
        other = sqlite3.connect(tmp_path / "limner.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(_finish_two(store))
        assert (await asyncio.wait_for(store.get("job_1"), 5)).status == "queued"
        assert not waiting.done()
        other.execute("COMMIT")
        other.close()
        await waiting


async def _finish_two(store: Store) -> None:
    (job,) = await store.claim("w", (MODEL,), 1, now_s=1, lease_until_s=2)
    assert await store.finish(job.id, job.attempt, completion(new_image(job.id)))


async def test_what_the_driver_says_is_for_the_log(database: SqliteDatabase, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(NotReady) as refused:
        await database.read(lambda c: c.exec_driver_sql("SELECT * FROM secret_table"))
    assert "secret_table" not in refused.value.message
    assert refused.value.retry_after_s == 5
    assert "secret_table" in caplog.text


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_was_removed_takes_no_more_jobs(tmp_path: Path, replaced: bool) -> None:
    path = tmp_path / "limner.db"
    async with open_store(f"sqlite:///{path}") as store:
        await store.check()
        path.rename(tmp_path / "aside.db")
        if replaced:
            path.touch()
        for step in (store.check(), enqueue(store, new_job("job_1"))):
            with pytest.raises(NotReady, match=r"limner\.db was removed or replaced"):
                await step
        assert path.exists() == replaced
        (tmp_path / "aside.db").rename(path)
        assert await store.check()
        await enqueue(store, new_job("job_1"))


def modes_in(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir() if path.suffix != ".lock"}


async def test_the_files_are_their_owners_alone(database: SqliteDatabase, tmp_path: Path) -> None:
    await database.write(lambda c: c.execute(_put("a")) and None)
    assert modes_in(tmp_path) == dict.fromkeys(("limner.db", "limner.db-wal", "limner.db-shm"), 0o600)


async def test_the_mode_of_a_file_that_was_there_is_left_alone(tmp_path: Path) -> None:
    os.close(os.open(tmp_path / "limner.db", os.O_CREAT, 0o640))
    opened = SqliteDatabase(tmp_path / "limner.db")
    await opened.start()
    await opened.aclose()
    assert modes_in(tmp_path)["limner.db"] == 0o640
