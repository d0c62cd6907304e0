"""Stores on every database there is: a file, memory, and PostgreSQL where its package is installed."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chaos.postgres import Cluster, NoPostgres, postgres
from limner.store import Store, open_store
from tests.store.samples import wipe


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL of the tests' own."""
    try:
        running = postgres()
        with running as found:
            yield found
    except NoPostgres as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres_url(cluster: Cluster) -> str:
    """A database that all tests share, one after another."""
    return cluster.create_database()


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """A database file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'limner.db'}"


@pytest.fixture(params=["file", "memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Each database in turn."""
    if request.param == "memory":
        return "sqlite://"
    found: str = request.getfixturevalue("file_url" if request.param == "file" else "postgres_url")
    return found


@pytest.fixture(params=["file", "postgres"])
def shared_url(request: pytest.FixtureRequest) -> str:
    """Each database that several processes can share."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An empty store on each database."""
    async with open_store(url) as opened:
        await wipe(opened)
        yield opened
