"""The private cluster starts, answers with the password alone, and leaves nothing behind."""

from pathlib import Path

import asyncpg
import pytest

from chaos.postgres import NoPostgres, find_binaries, postgres
from chaos.snapshot import Database

pytestmark = pytest.mark.skipif(find_binaries() is None, reason="PostgreSQL is not installed")


async def test_a_cluster_has_as_many_databases_as_one_likes() -> None:
    with postgres() as cluster:
        urls = [cluster.create_database() for _ in range(2)]
        assert len(set(urls)) == 2
        assert await Database(urls[0]).query("SELECT 1 + 1 AS two") == [{"two": 2}]
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(urls[0].replace(cluster.password, "wrong"))
        port = cluster.port
    with pytest.raises(OSError, match=str(port)):
        await asyncpg.connect(urls[0])


def test_without_binaries_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.postgres.find_binaries", lambda: None)
    with pytest.raises(NoPostgres, match="install"), postgres():
        pass


def test_a_cluster_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("chaos.postgres.processes.free_port", lambda: 70_000)
    with pytest.raises(NoPostgres, match="70000"), postgres():
        pass
