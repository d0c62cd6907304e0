"""What is accepted, what is refused and why, and where in the queue a job comes to stand."""

import asyncio
from dataclasses import asdict, replace

import pytest

from limner.errors import Conflict, InsufficientCredits, Overloaded, RateLimited
from limner.store import Hook, Quota, Store, open_store
from tests.store.samples import FAILURE, MODEL, NOW_S, claim, completion, enqueue, new_job, new_key, run, wipe

DAY_S = 24 * 3600


async def test_an_accepted_job_waits_as_it_was_given(store: Store) -> None:
    job = new_job("job_1", priority=3, fingerprint="abc", hook=Hook("https://example.org", "s"))
    accepted = await store.enqueue(job, queue_limit=1)
    assert not accepted.replayed
    row = await store.get("job_1")
    assert row == accepted.job
    assert (row.status, row.attempt, row.worker, row.started_at_s, row.done) == ("queued", 0, None, None, False)
    given = asdict(job)
    for name in ("hook", "quota", "idempotency_key", "reserve_micro"):
        del given[name]
    assert {name: getattr(row, name) for name in given} == given


async def test_with_a_worker_it_is_born_running(store: Store) -> None:
    accepted = await store.enqueue(new_job("job_1"), worker="w", lease_until_s=NOW_S + 30, queue_limit=1)
    row = await store.get("job_1")
    assert row == accepted.job
    assert (row.status, row.attempt, row.worker, row.started_at_s) == ("running", 1, "w", NOW_S)
    assert await claim(store) == []
    assert (await store.expire(now_s=NOW_S + 29, max_crashes=3)).requeued == ()
    assert (await store.expire(now_s=NOW_S + 30, max_crashes=3)).requeued == ("job_1",)


async def test_nobody_begins_at_once_where_others_wait(store: Store) -> None:
    await enqueue(store, new_job("job_1", model="a"), new_job("late", model="b", deadline_at_s=NOW_S))
    for name, behind, status in (("job_2", ("a", "b"), "queued"), ("job_3", ("b", "d"), "running")):
        accepted = await store.enqueue(new_job(name, model="c"), worker="w", behind=behind, queue_limit=9)
        assert accepted.job == await store.get(name)
        assert (accepted.job.status, accepted.job.attempt) == (status, int(status == "running"))
    assert [job.id for job in await claim(store, 9, "a", "c")] == ["job_1", "job_2"]


async def test_the_queue_is_bounded_over_what_waits_and_what_runs(store: Store) -> None:
    await enqueue(store, new_job("job_1"), new_job("job_2", owner="key_b"))
    await claim(store)
    with pytest.raises(Overloaded, match="2 jobs"):
        await store.enqueue(new_job("job_3", owner="key_c"), queue_limit=2)
    await store.finish("job_1", 1, completion())
    await store.enqueue(new_job("job_3"), queue_limit=2)


async def test_a_long_queue_is_bounded_to_the_job(store: Store) -> None:
    """Although it is not counted for every job."""
    outcomes = await asyncio.gather(
        *(store.enqueue(new_job(f"job_{i}"), queue_limit=100) for i in range(130)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Overloaded) for outcome in outcomes) == 30
    for job in await claim(store, 40):
        await store.finish(job.id, 1, completion())
    outcomes = await asyncio.gather(
        *(store.enqueue(new_job(f"more_{i}"), queue_limit=100) for i in range(60)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Overloaded) for outcome in outcomes) == 20


async def test_two_processes_share_one_bound(shared_url: str) -> None:
    async with open_store(shared_url) as one, open_store(shared_url) as two:
        await wipe(one)
        accepted = 0
        for i in range(150):
            try:
                await (one, two)[i % 2].enqueue(new_job(f"job_{i}"), queue_limit=100)
                accepted += 1
            except Overloaded:
                continue
        assert accepted == 100


async def test_a_repeated_idempotency_key_gives_the_first_job(store: Store) -> None:
    await store.add_key(new_key("key_a", balance_micro=5))
    job = new_job("job_1", owner="key_a", idempotency_key="again", fingerprint="f", reserve_micro=5, quota=Quota(1, 1))
    await store.enqueue(job, queue_limit=1)
    again = await store.enqueue(replace(job, id="job_2"), queue_limit=1)
    assert (again.replayed, again.job) == (True, await store.get("job_1"))
    assert await store.find_replay("key_a", "again", "f", NOW_S) == again.job
    assert await store.find_replay("key_b", "again", "f", NOW_S) is None
    assert await store.find_replay("key_a", "other", "f", NOW_S) is None


async def test_an_idempotency_key_belongs_to_its_request(store: Store) -> None:
    job = new_job("job_1", idempotency_key="again", fingerprint="f")
    await store.enqueue(job, queue_limit=9)
    with pytest.raises(Conflict, match=r"'again'.*job_1"):
        await store.enqueue(replace(job, id="job_2", fingerprint="g"), queue_limit=9)
    with pytest.raises(Conflict):
        await store.find_replay("", "again", "g", NOW_S)
    other_owner = await store.enqueue(replace(job, id="job_3", owner="key_a", fingerprint="g"), queue_limit=9)
    assert not other_owner.replayed


async def test_an_idempotency_key_is_good_for_a_day(store: Store) -> None:
    job = new_job("job_1", idempotency_key="again")
    await store.enqueue(job, queue_limit=9)
    late = await store.enqueue(replace(job, id="job_2", created_at_s=NOW_S + DAY_S - 1), queue_limit=9)
    assert late.job.id == "job_1"
    later = await store.enqueue(replace(job, id="job_3", created_at_s=NOW_S + DAY_S), queue_limit=9)
    assert (later.job.id, later.replayed) == ("job_3", False)
    again = await store.enqueue(replace(job, id="job_4", created_at_s=NOW_S + DAY_S + 1), queue_limit=9)
    assert again.job.id == "job_3"


async def test_the_same_key_at_the_same_time_makes_one_job(store: Store) -> None:
    accepted = await asyncio.gather(
        *(store.enqueue(new_job(f"job_{i}", idempotency_key="again"), queue_limit=99) for i in range(8))
    )
    assert len({each.job.id for each in accepted}) == 1
    assert [each.replayed for each in accepted].count(False) == 1
    assert await store.depth() == {MODEL: (1, 0)}


async def test_a_minute_holds_as_many_jobs_as_the_quota_says(store: Store) -> None:
    quota = Quota(jobs_per_minute=2)
    await run(store, new_job("job_1", owner="key_a", quota=quota), completion())
    await enqueue(store, new_job("job_2", owner="key_a", quota=quota, created_at_s=NOW_S + 20))
    with pytest.raises(RateLimited, match="2 jobs a minute") as refused:
        await enqueue(store, new_job("job_3", owner="key_a", quota=quota, created_at_s=NOW_S + 45))
    assert refused.value.retry_after_s == 15
    await enqueue(store, new_job("job_4", owner="key_b", quota=quota, created_at_s=NOW_S + 45))
    await enqueue(store, new_job("job_5", owner="key_a", quota=quota, created_at_s=NOW_S + 60))


async def test_a_clock_that_was_set_back_makes_nobody_wait_longer(store: Store) -> None:
    quota = Quota(jobs_per_minute=1)
    await enqueue(store, new_job("job_1", owner="key_a", quota=quota))
    with pytest.raises(RateLimited) as refused:
        await enqueue(store, new_job("job_2", owner="key_a", quota=quota, created_at_s=NOW_S - 1000))
    assert refused.value.retry_after_s == 60


async def test_a_quota_of_nothing_allows_nothing(store: Store) -> None:
    with pytest.raises(Overloaded):
        await enqueue(store, new_job("job_1", quota=Quota(jobs_per_minute=0)))


async def test_concurrency_counts_what_has_not_ended(store: Store) -> None:
    quota = Quota(concurrency=2)
    await enqueue(store, new_job("job_1", quota=quota), new_job("job_2", quota=quota))
    (running,) = await claim(store)
    with pytest.raises(RateLimited, match="2 jobs at once"):
        await enqueue(store, new_job("job_3", quota=quota))
    await store.finish(running.id, 1, completion())
    await enqueue(store, new_job("job_3", quota=quota))


async def test_a_quota_holds_when_many_come_at_once(store: Store) -> None:
    jobs = [new_job(f"job_{i}", quota=Quota(concurrency=3)) for i in range(12)]
    outcomes = await asyncio.gather(*(store.enqueue(job, queue_limit=99) for job in jobs), return_exceptions=True)
    assert sum(isinstance(outcome, Overloaded) for outcome in outcomes) == 9
    assert await store.depth() == {MODEL: (3, 0)}


async def test_credits_are_held_back_until_they_run_out(store: Store) -> None:
    await store.add_key(new_key("key_a", balance_micro=10_000_000))
    await enqueue(store, new_job("job_1", owner="key_a", reserve_micro=6_000_000))
    with pytest.raises(InsufficientCredits, match=r"needs 4\.5 credits.* 4 free \(6 are held back"):
        await enqueue(store, new_job("job_2", owner="key_a", reserve_micro=4_500_000))
    await enqueue(store, new_job("job_3", owner="key_a", reserve_micro=4_000_000))
    (key,) = await store.keys()
    assert (key.balance_micro, key.reserved_micro) == (10_000_000, 10_000_000)


async def test_who_is_not_metered_has_nothing_held_back(store: Store) -> None:
    await store.add_key(new_key("key_a"))
    for owner in ("", "key_a", "key_unknown"):
        accepted = await store.enqueue(new_job(f"job_{owner}", owner=owner, reserve_micro=99), queue_limit=9)
        assert accepted.job.reserve_micro == 0
    assert [key.reserved_micro for key in await store.keys()] == [0]


async def test_one_owner_alone_is_served_in_order(store: Store) -> None:
    weights = (5.0, 0.0, 0.1, 300.0, 1e-9, 0.0, 7.0)
    await enqueue(store, *(new_job(f"job_{i}", weight_s=weight) for i, weight in enumerate(weights)))
    assert [job.id for job in await claim(store, 99)] == [f"job_{i}" for i in range(len(weights))]


async def test_hundreds_of_jobs_do_not_stand_before_anothers_first(store: Store) -> None:
    await asyncio.gather(*(store.enqueue(new_job(f"a_{i}", owner="a"), queue_limit=9999) for i in range(300)))
    await enqueue(store, *(new_job(f"b_{i}", owner="b") for i in range(3)))
    assert await store.position("b_0") == 1  # behind the one of the same rank that came first
    order = [job.owner for job in await claim(store, 6)]
    assert order == ["a", "b"] * 3


async def test_owners_share_by_weight_and_not_by_number(store: Store) -> None:
    for i in range(8):
        await enqueue(store, new_job(f"big_{i}", owner="big", weight_s=4.0))
        await enqueue(store, *(new_job(f"small_{i}_{j}", owner="small", weight_s=1.0) for j in range(4)))
    first = [job.owner for job in await claim(store, 20)]
    assert 3 <= first.count("big") <= 5
    assert first.count("big") + first.count("small") == 20


async def test_who_was_away_does_not_save_up(store: Store) -> None:
    for i in range(50):
        await run(store, new_job(f"old_{i}", owner="busy"), completion())
    await enqueue(store, *(new_job(f"busy_{i}", owner="busy") for i in range(4)))
    await enqueue(store, *(new_job(f"new_{i}", owner="new") for i in range(4)))
    order = [job.owner for job in await claim(store, 8)]
    assert order == ["busy", "new"] * 4


async def test_a_higher_priority_goes_before_fairness(store: Store) -> None:
    await enqueue(store, new_job("low", priority=-1), new_job("plain"), new_job("high", priority=9))
    assert [job.id for job in await claim(store, 3)] == ["high", "plain", "low"]


async def test_an_id_is_taken_once(store: Store) -> None:
    await enqueue(store, new_job("job_1"))
    with pytest.raises(Conflict):
        await enqueue(store, new_job("job_1"))


async def test_the_key_of_a_cancelled_job_is_free_again(store: Store) -> None:
    job = new_job("job_1", idempotency_key="again", fingerprint="f")
    await store.enqueue(job, queue_limit=9)
    await store.cancel("job_1", error=FAILURE, now_s=NOW_S)
    assert await store.find_replay("", "again", "f", NOW_S) is None
    second = await store.enqueue(replace(job, id="job_2"), queue_limit=9)
    assert (second.job.id, second.replayed) == ("job_2", False)
    third = await store.enqueue(replace(job, id="job_3"), queue_limit=9)
    assert (third.job.id, third.replayed) == ("job_2", True)
