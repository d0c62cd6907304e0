"""Which databases can be opened, and what is said of those that cannot."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from chaos.postgres import Cluster
from limner.errors import InvalidRequest, NotReady
from limner.store import Store, open_store
from limner.store.postgres import PostgresDatabase
from tests.store.samples import enqueue, new_job


@pytest.mark.parametrize(
    "url",
    [
        "",
        "limner.db",
        "/var/lib/limner.db",
        "mysql://user:hunter2@host/db",
        "sqlite+aiosqlite:///x.db",
        "sqlite://host/x.db",
        "postgresql+psycopg://user:hunter2@host/db",
        "postgresql://user:hunter2@host",
        "postgresql://user:hunter2@host:port/db",
    ],
)
async def test_other_urls_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(InvalidRequest, match="sqlite:///PATH") as refused:
        async with open_store(url):
            pass
    assert refused.value.param == "database"
    assert "hunter2" not in refused.value.message


async def test_a_file_keeps_what_was_accepted(file_url: str) -> None:
    async with open_store(file_url) as store:
        await enqueue(store, new_job("job_1"))
    async with open_store(file_url) as store:
        assert (await store.get("job_1")).id == "job_1"


async def test_the_directory_of_a_new_file_is_made(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'a' / 'b' / 'limner.db'}"):
        assert (tmp_path / "a" / "b" / "limner.db").exists()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
async def test_memory_is_each_stores_own(url: str) -> None:
    async with open_store(url) as one, open_store(url) as two:
        await enqueue(one, new_job("job_1"))
        assert await two.depth() == {}


async def test_several_databases_may_be_opened_at_once(tmp_path: Path) -> None:
    async def check(url: str) -> str:
        async with open_store(url) as store:
            return await store.check()

    urls = [f"sqlite:///{tmp_path / f'{i}.db'}" for i in range(3)] + ["sqlite://"] * 3
    assert len(set(await asyncio.gather(*map(check, urls)))) == 1


async def test_two_may_open_a_new_database_at_once(cluster: Cluster, tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path / 'limner.db'}", cluster.create_database()):

        async def check(url: str = url) -> str:
            async with open_store(url) as store:
                return await store.check()

        assert len(set(await asyncio.gather(*(check() for _ in range(4))))) == 1


async def test_a_file_that_is_no_database_is_named_so(tmp_path: Path) -> None:
    path = tmp_path / "limner.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(NotReady, match="not a database"):
        async with open_store(f"sqlite:///{path}"):
            pass


async def test_a_place_that_cannot_be_written_is_not_ready(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotReady, match="file"):
        async with open_store(f"sqlite:///{tmp_path / 'file' / 'limner.db'}"):
            pass


async def test_a_server_that_does_not_answer_is_not_ready() -> None:
    with pytest.raises(NotReady, match=r"127\.0\.0\.1"):
        async with open_store("postgresql://limner:hunter2@127.0.0.1:1/limner"):
            pass


async def test_a_server_that_refuses_is_not_ready(cluster: Cluster) -> None:
    with pytest.raises(NotReady, match="password authentication failed") as refused:
        async with open_store(cluster.url().replace(cluster.password, "hunter2")):
            pass
    assert "hunter2" not in refused.value.message
    with pytest.raises(NotReady, match="does not exist"):
        async with open_store(cluster.url("nothing_here")):
            pass


async def test_a_check_names_database_and_schema(store: Store, url: str) -> None:
    name = "SQLite 3." if url.startswith("sqlite") else "PostgreSQL "
    said = await store.check()
    assert said.startswith(name)
    assert said.endswith(", schema 0002")


async def test_a_server_that_says_nothing_more_is_away(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("limner.store.postgres.COMMAND_TIMEOUT_S", 0.2, raising=False)
    database = PostgresDatabase(make_url(postgres_url))
    for run in (database.write, database.read):
        with pytest.raises(NotReady, match="at the moment"):
            await run(lambda connection: connection.execute(text("SELECT pg_sleep(3)")))
        assert "TimeoutError" in caplog.messages[-1]
        assert await run(lambda connection: connection.execute(text("SELECT 1")).scalar()) == 1
    await database.aclose()
