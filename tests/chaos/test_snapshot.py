"""The audit's own SQL reads what limner's store has written, and leaves the database as it was."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chaos.snapshot import AccountRecord, Database, DeliveryRecord, ImageRecord, JobRecord, LedgerRecord
from limner.store import Completion, Hook, ImageRow, KeyRow, NewJob, Store, open_store

KEY = KeyRow("key_1", "rich", "p", b"d", frozenset(), (), False, 0, None, None, 1000, 0, 1.0, None, None)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'limner.db'}"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """One job finished, one queued."""
    async with open_store(url) as opened:
        await opened.add_key(KEY)
        for name in ("a", "b"):
            await enqueue(opened, name)
        image = ImageRow("img_a_0", "job_a", 0, "key_1", "x.png", "image/png", 8, 4, 9, 7, 3.0, 99.0)
        assert await opened.finish("job_a", 1, Completion({}, (image,), 30, 0.1, 3.0))
        yield opened


async def enqueue(store: Store, name: str) -> None:
    job = NewJob(
        id=f"job_{name}",
        owner="key_1",
        operation="generate",
        model="sketch",
        request={"n": 1, "seed": 7},
        warnings=(),
        created_at_s=2.0,
        deadline_at_s=1e9,
        weight_s=1.0,
        reserve_micro=50,
        idempotency_key=f"ask-{name}",
        hook=Hook("http://hook") if name == "a" else None,
    )
    await store.enqueue(job, worker="w" if name == "a" else None, lease_until_s=1e9, queue_limit=9)


async def test_everything_the_audit_needs_is_read(url: str, store: Store) -> None:
    found = await Database(url).snapshot()
    assert found.jobs == (
        JobRecord("job_a", "key_1", "ask-a", "finished", 1, 7, 1, 0, 30, None, hooked=True),
        JobRecord("job_b", "key_1", "ask-b", "queued", 1, 7, 0, 0, 0, None),
    )
    assert found.images == (ImageRecord("img_a_0", "job_a", 0, "x.png", 8, 4, 9),)
    assert found.ledger == (LedgerRecord("key_1", None, 1000), LedgerRecord("key_1", "job_a", -30))
    assert found.accounts == (AccountRecord("key_1", "rich", 970, 50),)
    (delivery,) = found.deliveries
    assert delivery == DeliveryRecord(delivery.id, "job_a", 3.0, None, None)


async def test_it_counts_what_is_not_over(url: str, store: Store) -> None:
    assert await Database(url).unfinished() == 1
    await store.cancel("job_b", error={"code": "client_left"}, now_s=4.0)
    assert await Database(url).unfinished() == 0
    (_, cancelled) = (await Database(url).snapshot()).jobs
    assert (cancelled.status, cancelled.error) == ("cancelled", {"code": "client_left"})
