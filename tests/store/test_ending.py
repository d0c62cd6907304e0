"""Every job ends once, with all that belongs to it."""

import asyncio

import pytest

from limner.errors import NotFound
from limner.store import Expired, Hook, JobRow, Store, ending, open_store
from tests.store.samples import (
    FAILURE,
    MODEL,
    NOW_S,
    claim,
    completion,
    enqueue,
    new_image,
    new_job,
    new_key,
    wipe,
)

HOOK = Hook("https://example.org/hook", "secret")


async def _running(store: Store, id: str = "job_1", **changes: object) -> JobRow:
    accepted = await store.enqueue(new_job(id, **changes), worker="w", lease_until_s=NOW_S + 30, queue_limit=99)
    return accepted.job


async def _hooks(store: Store) -> list[tuple[str, float]]:
    due = await store.due_deliveries(NOW_S + 9999, lease_until_s=NOW_S + 9999, limit=99)
    return [(delivery.job_id, delivery.created_at_s) for delivery in due]


async def test_finishing_records_everything_once(store: Store) -> None:
    await store.add_key(new_key("key_a", balance_micro=5_000_000))
    await _running(store, owner="key_a", reserve_micro=2_000_000, hook=HOOK)
    pictures = (new_image("job_1", 1, owner="key_a"), new_image("job_1", 0, owner="key_a"))
    assert await store.finish("job_1", 1, completion(*pictures))
    assert not await store.finish("job_1", 1, completion(*pictures))
    row = await store.get("job_1")
    assert (row.status, row.progress, row.ended_at_s, row.done) == ("finished", 1.0, NOW_S + 10, True)
    assert (row.result, row.cost_micro, row.device_s) == ({"model": MODEL}, 1_500_000, 1.5)
    assert await store.images_of("job_1") == pictures[::-1]
    (key,) = await store.keys()
    assert (key.balance_micro, key.reserved_micro) == (3_500_000, 0)
    charge, opening = await store.ledger("key_a", 9)
    assert (charge.job_id, charge.amount_micro, charge.images, charge.device_s) == ("job_1", -1_500_000, 2, 1.5)
    assert (opening.job_id, opening.amount_micro) == (None, 5_000_000)
    assert await _hooks(store) == [("job_1", NOW_S + 10)]


@pytest.mark.parametrize("owner", ["", "key_a", "key_unknown"])
async def test_who_is_not_metered_is_counted_all_the_same(store: Store, owner: str) -> None:
    await store.add_key(new_key("key_a"))
    await _running(store, owner=owner, reserve_micro=7)
    assert await store.finish("job_1", 1, completion(new_image("job_1")))
    (charge,) = await store.ledger(owner, 9)
    assert (charge.key_id, charge.amount_micro) == (owner, -1_500_000)
    assert [(key.balance_micro, key.reserved_micro) for key in await store.keys()] == [(None, 0)]


async def test_a_job_may_cost_more_than_was_held_back(store: Store) -> None:
    await store.add_key(new_key("key_a", balance_micro=1_000_000))
    await _running(store, owner="key_a", reserve_micro=1_000_000)
    assert await store.finish("job_1", 1, completion())
    (key,) = await store.keys()
    assert (key.balance_micro, key.reserved_micro) == (-500_000, 0)


async def test_an_older_attempt_changes_nothing(store: Store) -> None:
    await _running(store, hook=HOOK)
    await store.expire(now_s=NOW_S + 30, max_crashes=3)
    assert not await store.finish("job_1", 1, completion(new_image("job_1")))  # queued again
    (again,) = await claim(store, worker="another")
    assert again.attempt == 2
    assert not await store.finish("job_1", 1, completion(new_image("job_1")))
    assert not await store.fail("job_1", 1, "failed", FAILURE, ended_at_s=NOW_S)
    assert await store.get("job_1") == again
    assert (await store.images_of("job_1"), await store.ledger("", 9), await _hooks(store)) == ((), (), [])
    assert await store.finish("job_1", 2, completion())


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_job_that_fails_costs_nothing(store: Store, status: str) -> None:
    await store.add_key(new_key("key_a", balance_micro=5))
    await _running(store, owner="key_a", reserve_micro=5, hook=HOOK)
    assert await store.fail("job_1", 1, status, FAILURE, ended_at_s=NOW_S + 4)  # type: ignore[arg-type]
    assert not await store.fail("job_1", 1, status, FAILURE, ended_at_s=NOW_S + 5)  # type: ignore[arg-type]
    assert not await store.finish("job_1", 1, completion())
    row = await store.get("job_1")
    assert (row.status, row.error, row.ended_at_s, row.result, row.done) == (status, FAILURE, NOW_S + 4, None, True)
    (key,) = await store.keys()
    assert (key.balance_micro, key.reserved_micro) == (5, 0)
    assert len(await store.ledger("key_a", 9)) == 1  # the opening balance
    assert await _hooks(store) == [("job_1", NOW_S + 4)]


async def test_a_queued_job_is_cancelled_at_once(store: Store) -> None:
    await store.add_key(new_key("key_a", balance_micro=5))
    await enqueue(store, new_job("job_1", owner="key_a", reserve_micro=5, hook=HOOK))
    row = await store.cancel("job_1", error=FAILURE, now_s=NOW_S + 1)
    assert row == await store.get("job_1")
    assert (row.status, row.error, row.ended_at_s) == ("cancelled", FAILURE, NOW_S + 1)
    assert [key.reserved_micro for key in await store.keys()] == [0]
    assert await _hooks(store) == [("job_1", NOW_S + 1)]
    assert await store.cancel("job_1", error={}, now_s=NOW_S + 2) == row
    assert await claim(store) == []


async def test_a_running_job_is_asked_to_stop_and_may_yet_finish(store: Store) -> None:
    await _running(store)
    row = await store.cancel("job_1", error=FAILURE, now_s=NOW_S + 1)
    assert (row.status, row.cancel_requested, row.error, row.ended_at_s) == ("running", True, None, None)
    assert await store.cancel("job_1", error=FAILURE, now_s=NOW_S + 1) == row
    assert await store.finish("job_1", 1, completion())
    assert (await store.get("job_1")).error is None
    assert (await store.cancel("job_1", error=FAILURE, now_s=NOW_S + 2)).status == "finished"


async def test_cancelling_what_is_not_there_says_so(store: Store) -> None:
    with pytest.raises(NotFound, match="job_9"):
        await store.cancel("job_9", error=FAILURE, now_s=NOW_S)


async def test_what_was_to_be_cancelled_is_not_run_again(store: Store) -> None:
    await _running(store)
    await store.cancel("job_1", error=FAILURE, now_s=NOW_S)
    assert await store.expire(now_s=NOW_S + 30, max_crashes=3) == Expired(failed=("job_1",))
    row = await store.get("job_1")
    assert (row.status, row.error) == ("cancelled", FAILURE)


async def test_a_dead_workers_jobs_are_taken_before_their_lease_is_over(store: Store) -> None:
    await _running(store)
    expired = await store.expire(now_s=NOW_S, dead_workers=["w", "v"], max_crashes=3)
    assert expired == Expired(requeued=("job_1",))
    row = await store.get("job_1")
    assert (row.status, row.crashes, row.attempt, row.worker) == ("queued", 1, 1, None)


async def test_a_job_whose_processes_keep_dying_fails(store: Store) -> None:
    await store.add_key(new_key("key_a", balance_micro=5))
    await _running(store, owner="key_a", reserve_micro=5, hook=HOOK)
    assert (await store.expire(now_s=NOW_S, dead_workers=["w"], max_crashes=2)).requeued == ("job_1",)
    await claim(store)
    assert await store.expire(now_s=NOW_S, dead_workers=["w"], max_crashes=2) == Expired(failed=("job_1",))
    row = await store.get("job_1")
    assert (row.status, row.crashes, row.reserve_micro) == ("failed", 2, 5)
    assert row.error is not None
    assert "died 2 times" in row.error.pop("message")  # type: ignore[attr-defined]
    assert row.error == {"code": "internal_error", "param": None, "status": 500, "type": "server_error"}
    assert [key.reserved_micro for key in await store.keys()] == [0]
    assert await _hooks(store) == [("job_1", NOW_S)]


async def test_what_waits_past_its_deadline_fails(store: Store) -> None:
    await store.add_key(new_key("key_a", balance_micro=5))
    late = new_job("job_1", owner="key_a", reserve_micro=5, hook=HOOK, deadline_at_s=NOW_S + 8)
    await enqueue(store, late, new_job("job_2"))
    assert await store.expire(now_s=NOW_S + 7, max_crashes=3) == Expired()
    assert await store.expire(now_s=NOW_S + 8, max_crashes=3) == Expired(failed=("job_1",))
    row = await store.get("job_1")
    assert (row.status, row.ended_at_s) == ("failed", NOW_S + 8)
    assert row.error is not None
    assert (row.error["code"], row.error["status"], row.error["param"]) == ("timeout", 408, "timeout")
    assert [key.reserved_micro for key in await store.keys()] == [0]
    assert await _hooks(store) == [("job_1", NOW_S + 8)]


async def test_a_job_taken_away_past_its_deadline_fails_once(store: Store) -> None:
    await _running(store, deadline_at_s=NOW_S + 8, hook=HOOK)
    assert await store.expire(now_s=NOW_S + 30, max_crashes=3) == Expired(failed=("job_1",))
    assert len(await _hooks(store)) == 1


async def test_more_expire_in_one_call_than_in_one_transaction(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for statement in ("_ABANDONED", "_LATE"):
        monkeypatch.setattr(ending, statement, getattr(ending, statement).limit(4))
    await enqueue(store, *(new_job(f"late_{i}", deadline_at_s=NOW_S + 1) for i in range(10)), new_job("in_time"))
    for i in range(10):
        await _running(store, f"lost_{i}")
    expired = await store.expire(now_s=NOW_S + 30, max_crashes=3)
    assert sorted(expired.requeued) == [f"lost_{i}" for i in range(10)]
    assert sorted(expired.failed) == [f"late_{i}" for i in range(10)]
    assert await store.depth() == {MODEL: (11, 0)}


async def test_two_sweepers_do_not_count_a_crash_twice(shared_url: str) -> None:
    async with open_store(shared_url) as one, open_store(shared_url) as two:
        await wipe(one)
        for i in range(20):
            await _running(one, f"job_{i}", owner=f"key_{i % 3}")
        swept = await asyncio.gather(*(each.expire(now_s=NOW_S + 30, max_crashes=3) for each in (one, two)))
        assert sorted(id for expired in swept for id in expired.requeued) == sorted(f"job_{i}" for i in range(20))
        assert {(await two.get(f"job_{i}")).crashes for i in range(20)} == {1}


async def test_of_two_ends_at_the_same_time_one_counts(store: Store) -> None:
    for i in range(20):
        await _running(store, f"job_{i}", hook=HOOK)
        ends = await asyncio.gather(
            store.finish(f"job_{i}", 1, completion()), store.fail(f"job_{i}", 1, "failed", FAILURE, ended_at_s=NOW_S)
        )
        assert sorted(ends) == [False, True]
    assert len(await _hooks(store)) == 20
