"""Webhooks wait until somebody delivers them, one at a time."""

import asyncio

from limner.store import Delivery, Hook, Store, open_store
from tests.store.samples import NOW_S, completion, new_job, run, wipe

ENDED_S = NOW_S + 10


async def _ended(store: Store, *ids: str, secret: str | None = "s") -> None:
    for id in ids:
        await run(store, new_job(id, hook=Hook(f"https://example.org/{id}", secret)), completion())


async def _due(store: Store, now_s: float = ENDED_S, limit: int = 9) -> tuple[Delivery, ...]:
    return await store.due_deliveries(now_s, lease_until_s=now_s + 60, limit=limit)


async def test_an_ended_job_is_told_of_at_once(store: Store) -> None:
    await _ended(store, "job_1", secret=None)
    await run(store, new_job("job_2"), completion())
    assert await _due(store, ENDED_S - 1) == ()
    (delivery,) = await _due(store)
    assert delivery.id.startswith("whd_")
    assert (delivery.job_id, delivery.url, delivery.secret) == ("job_1", "https://example.org/job_1", None)
    assert (delivery.attempts, delivery.next_at_s, delivery.created_at_s) == (0, ENDED_S + 60, ENDED_S)


async def test_what_was_taken_comes_again_when_its_taker_dies(store: Store) -> None:
    await _ended(store, "job_1")
    (first,) = await _due(store)
    assert await _due(store, ENDED_S + 59) == ()
    (again,) = await _due(store, ENDED_S + 60)
    assert (again.id, again.attempts) == (first.id, 1)


async def test_the_longest_waiting_goes_first(store: Store) -> None:
    await _ended(store, "job_1", "job_2", "job_3")
    (first,) = await _due(store, limit=1)
    await store.retry_delivery(first.id, ENDED_S + 5, "503")
    order = [delivery.job_id for delivery in await _due(store, ENDED_S + 5)]
    assert (len(order), order[-1]) == (3, first.job_id)


async def test_a_failed_try_waits_for_the_next(store: Store) -> None:
    await _ended(store, "job_1")
    (first,) = await _due(store)
    await store.retry_delivery(first.id, ENDED_S + 5, "refused")
    assert await _due(store, ENDED_S + 4) == ()
    (second,) = await _due(store, ENDED_S + 5)
    assert second.attempts == 1


async def test_what_was_delivered_or_given_up_is_over(store: Store) -> None:
    await _ended(store, "job_1", "job_2")
    one, two = await _due(store)
    await store.delivered(one.id, ENDED_S + 1)
    await store.give_up_delivery(two.id, "410", ENDED_S + 1)
    await store.retry_delivery(one.id, ENDED_S + 2, "late news of a slower process")
    assert await _due(store, ENDED_S + 9999) == ()


async def test_two_processes_do_not_both_deliver(shared_url: str) -> None:
    async with open_store(shared_url) as one, open_store(shared_url) as two:
        await wipe(one)
        await _ended(one, *(f"job_{i}" for i in range(20)))
        taken = await asyncio.gather(*(_due(store, limit=5) for store in (one, two) * 4))
        taken_ids = [delivery.job_id for deliveries in taken for delivery in deliveries]
        assert sorted(taken_ids) == sorted(f"job_{i}" for i in range(20))


async def test_what_was_not_tried_does_not_count(store: Store) -> None:
    await _ended(store, "job_1")
    (first,) = await _due(store)
    await store.put_off_delivery(first.id, ENDED_S + 5, "its host is paused")
    assert await _due(store, ENDED_S + 4) == ()
    (second,) = await _due(store, ENDED_S + 5)
    assert second.attempts == 0
    await store.delivered(second.id, ENDED_S + 5)
    await store.put_off_delivery(second.id, ENDED_S + 6, "late news")
    assert await _due(store, ENDED_S + 9999) == ()
