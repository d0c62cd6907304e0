"""Who works on what, and for how long."""

import asyncio

from limner.store import Beat, Beats, Store, open_store
from tests.store.samples import FAILURE, MODEL, NOW_S, claim, completion, enqueue, new_job, new_key, wipe


async def test_a_claimed_job_runs_under_its_worker(store: Store) -> None:
    await enqueue(store, new_job("job_1"))
    (job,) = await claim(store, now_s=NOW_S + 5)
    assert job == await store.get("job_1")
    assert (job.status, job.attempt, job.worker, job.started_at_s) == ("running", 1, "w", NOW_S + 5)
    assert await store.workers() == {"w"}
    assert await claim(store) == []


async def test_only_the_named_models_are_claimed_and_no_more_than_asked(store: Store) -> None:
    await enqueue(store, *(new_job(f"{model}_{i}", model=model) for i in range(3) for model in ("a", "b", "c")))
    assert [job.id for job in await claim(store, 3, "a", "c")] == ["a_0", "c_0", "a_1"]
    assert [job.id for job in await claim(store, 9, "c")] == ["c_1", "c_2"]
    assert await claim(store, 9, "unknown") == []
    assert await store.claim("w", (), 9, now_s=NOW_S, lease_until_s=NOW_S) == ()


async def test_the_best_of_several_models_goes_first(store: Store) -> None:
    await enqueue(store, new_job("a_0", model="a"), new_job("b_0", model="b"), new_job("b_1", model="b", priority=1))
    assert [job.id for job in await claim(store, 2, "a", "b")] == ["b_1", "a_0"]


async def test_a_job_past_its_deadline_is_not_claimed(store: Store) -> None:
    await enqueue(store, new_job("job_1", deadline_at_s=NOW_S + 1), new_job("job_2"))
    assert [job.id for job in await claim(store, 2, now_s=NOW_S + 1)] == ["job_2"]


async def test_a_beat_prolongs_the_lease_and_notes_progress(store: Store) -> None:
    await enqueue(store, new_job("job_1"))
    await claim(store)
    assert await store.renew("w", [Beat("job_1", 1, 0.25)], lease_until_s=NOW_S + 60) == Beats(frozenset(), {})
    assert (await store.get("job_1")).progress == 0.25
    assert (await store.expire(now_s=NOW_S + 59, max_crashes=3)).requeued == ()
    assert (await store.expire(now_s=NOW_S + 60, max_crashes=3)).requeued == ("job_1",)


async def test_a_beat_learns_what_is_lost_and_what_to_stop(store: Store) -> None:
    names = ("ended", "taken", "cancelled", "going")
    await enqueue(store, *(new_job(f"job_{name}") for name in names))
    await claim(store, 4)
    await store.finish("job_ended", 1, completion())
    await store.hand_back("w", ["job_taken"])
    await claim(store, worker="another")
    await store.cancel("job_cancelled", error=FAILURE, now_s=NOW_S)
    beats = [Beat(f"job_{name}", 1, 0.5) for name in names] + [Beat("job_unknown", 1, 0.5)]
    answer = await store.renew("w", beats, lease_until_s=NOW_S + 60)
    assert answer == Beats(
        lost=frozenset({"job_ended", "job_taken", "job_unknown"}), cancelled={"job_cancelled": FAILURE}
    )
    assert (await store.get("job_taken")).progress == 0.0


async def test_an_older_attempt_of_the_same_worker_is_lost(store: Store) -> None:
    await enqueue(store, new_job("job_1"))
    await claim(store)
    await store.hand_back("w", ["job_1"])
    await claim(store)
    answer = await store.renew("w", [Beat("job_1", 1, 0.9), Beat("job_1", 2, 0.1)], lease_until_s=NOW_S + 60)
    assert answer.lost == {"job_1"}
    assert (await store.get("job_1")).progress == 0.1


async def test_thousands_of_beats_are_one_call(store: Store) -> None:
    await enqueue(store, new_job("job_1"))
    await claim(store)
    beats = [Beat("job_1", 1, 0.5), *(Beat(f"job_gone_{i}", 1, 0.5) for i in range(2_000))]
    assert len((await store.renew("w", beats, lease_until_s=NOW_S + 60)).lost) == 2_000
    assert await store.renew("w", [], lease_until_s=NOW_S) == Beats(frozenset(), {})


async def test_what_is_handed_back_keeps_its_place(store: Store) -> None:
    await enqueue(store, *(new_job(f"job_{i}") for i in range(3)))
    first, second = await claim(store, 2)
    await store.hand_back("w", [second.id, first.id, "job_2", "job_unknown"])
    row = await store.get(first.id)
    assert (row.status, row.crashes, row.worker, row.started_at_s, row.progress) == ("queued", 0, None, None, 0.0)
    assert [(job.id, job.attempt) for job in await claim(store, 3)] == [("job_0", 2), ("job_1", 2), ("job_2", 1)]


async def test_only_what_a_worker_runs_is_its_to_hand_back(store: Store) -> None:
    await enqueue(store, new_job("job_1"))
    await claim(store)
    await store.hand_back("another", ["job_1"])
    await store.hand_back("w", [])
    assert (await store.get("job_1")).status == "running"


async def test_two_stores_claim_each_job_once(shared_url: str) -> None:
    async with open_store(shared_url) as one, open_store(shared_url) as two:
        await wipe(one)
        await enqueue(one, *(new_job(f"job_{i}") for i in range(200)))
        claimed: list[str] = []

        async def work(store: Store, worker: str) -> None:
            while jobs := await claim(store, 3, MODEL, worker=worker):
                claimed.extend(job.id for job in jobs)

        await asyncio.gather(*(work(store, f"w{i}") for i, store in enumerate((one, two, one, two))))
        assert sorted(claimed) == sorted(f"job_{i}" for i in range(200))
        assert await two.depth() == {MODEL: (0, 200)}


async def test_what_was_to_be_cancelled_ends_when_it_is_handed_back(store: Store) -> None:
    await store.add_key(new_key("key_a", balance_micro=5))
    await enqueue(store, new_job("job_1", owner="key_a", reserve_micro=5), new_job("job_2"))
    await claim(store, 2)
    await store.cancel("job_1", error=FAILURE, now_s=NOW_S)
    await store.hand_back("w", ["job_1", "job_2"], now_s=NOW_S + 3)
    row = await store.get("job_1")
    assert (row.status, row.error, row.ended_at_s, row.crashes) == ("cancelled", FAILURE, NOW_S + 3, 0)
    assert [key.reserved_micro for key in await store.keys()] == [0]
    assert [job.id for job in await claim(store, 2)] == ["job_2"]
