"""Processes that share a PostgreSQL database hear of each other's jobs; those of SQLite do not, and lose nothing."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from chaos.postgres import Cluster
from limner.store import Store, bell, open_store
from tests.store.samples import NOW_S, claim, enqueue, new_job, wipe

SOON_S = 5.0


@pytest.fixture
async def pair(postgres_url: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes' stores on one database; the second one listens already."""
    async with open_store(postgres_url) as one, open_store(postgres_url) as other:
        await wipe(one)
        await asyncio.wait_for(other.news(), SOON_S)  # what may have been told before it listened
        yield one, other


async def test_a_queued_job_is_news_to_others(pair: tuple[Store, Store]) -> None:
    one, other = pair
    hearing = asyncio.create_task(other.news())
    await enqueue(one, new_job("job_1"))
    await asyncio.wait_for(hearing, SOON_S)
    assert [job.id for job in await claim(other)] == ["job_1"]


async def test_what_is_handed_back_is_news_too(pair: tuple[Store, Store]) -> None:
    one, other = pair
    await one.enqueue(new_job("job_1"), worker="w", lease_until_s=NOW_S, queue_limit=9)
    await one.hand_back("w", ["job_1"])
    await asyncio.wait_for(other.news(), SOON_S)


async def test_a_job_that_is_begun_at_once_is_no_news(pair: tuple[Store, Store]) -> None:
    one, other = pair
    await one.enqueue(new_job("job_1"), worker="w", lease_until_s=NOW_S + 30, queue_limit=9)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(other.news(), 0.3)


async def test_nobody_hears_itself(pair: tuple[Store, Store]) -> None:
    one, other = pair
    await asyncio.wait_for(one.news(), SOON_S)
    await enqueue(one, new_job("job_1"))
    await asyncio.wait_for(other.news(), SOON_S)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(one.news(), 0.1)


async def test_many_jobs_may_be_one_piece_of_news(pair: tuple[Store, Store]) -> None:
    one, other = pair
    await asyncio.gather(*(enqueue(one, new_job(f"job_{i}")) for i in range(50)))
    await asyncio.wait_for(other.news(), SOON_S)
    assert len(await claim(other, 50)) == 50


async def test_a_connection_that_breaks_is_made_again(
    cluster: Cluster, pair: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = pair
    monkeypatch.setattr(bell, "AGAIN_S", 0.05)
    listening = f"query LIKE 'LISTEN%{bell.CHANNEL}%'"
    ended = cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listening}")
    assert "t" in ended
    await asyncio.wait_for(other.news(), SOON_S)  # it may have missed some
    await enqueue(one, new_job("job_1"))
    await asyncio.wait_for(other.news(), SOON_S)


async def test_closing_does_not_wait_for_news(shared_url: str) -> None:
    async with open_store(shared_url) as store:
        hearing = asyncio.create_task(store.news())
        await asyncio.sleep(0.1)
        hearing.cancel()
        started_s = time.monotonic()
    assert time.monotonic() - started_s < SOON_S


async def test_sqlite_has_no_news(file_url: str) -> None:
    async with open_store(file_url) as one, open_store(file_url) as other:
        await enqueue(one, new_job("job_1"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.news(), 0.1)
        assert [job.id for job in await claim(other)] == ["job_1"]
