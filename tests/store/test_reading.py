"""Looking jobs up."""

import pytest
from sqlalchemy import text

from limner.errors import NotFound
from limner.store import JobFilter, Store
from tests.store.samples import FAILURE, MODEL, NOW_S, claim, completion, enqueue, new_job


async def test_an_unknown_job_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="no such job: job_9"):
        await store.get("job_9")


async def test_many_are_found_by_id(store: Store) -> None:
    await enqueue(store, *(new_job(f"job_{i}") for i in range(3)))
    ids = ["job_2", *(f"job_gone_{i}" for i in range(40_000)), "job_0"]
    assert sorted(await store.get_many(ids)) == ["job_0", "job_2"]
    assert (await store.get_many(["job_1"]))["job_1"] == await store.get("job_1")
    assert await store.get_many([]) == {}


async def test_lists_are_newest_first_and_filtered(store: Store) -> None:
    await enqueue(
        store,
        new_job("job_1", owner="key_a"),
        new_job("job_2", owner="key_b", created_at_s=NOW_S + 1),
        new_job("job_3", owner="key_a", created_at_s=NOW_S + 2, operation="edit"),
        new_job("job_4", owner="key_a", created_at_s=NOW_S + 3, model="other"),
    )
    await claim(store)
    await store.cancel("job_3", error=FAILURE, now_s=NOW_S)
    for wanted, ids in (
        (JobFilter(), ["job_4", "job_3", "job_2", "job_1"]),
        (JobFilter(limit=2), ["job_4", "job_3"]),
        (JobFilter(owner="key_b"), ["job_2"]),
        (JobFilter(owner=""), []),
        (JobFilter(statuses=frozenset({"running", "cancelled"})), ["job_3", "job_1"]),
        (JobFilter(model="other"), ["job_4"]),
        (JobFilter(operation="edit", owner="key_a"), ["job_3"]),
        (JobFilter(created_after_s=NOW_S + 1), ["job_4", "job_3"]),
        (JobFilter(created_before_s=NOW_S + 1), ["job_1"]),
    ):
        assert [job.id for job in await store.list(wanted)] == ids
    assert (await store.list(JobFilter(owner="key_b")))[0] == await store.get("job_2")


async def test_pages_follow_on_each_other_while_jobs_arrive(store: Store) -> None:
    """Jobs of one instant too are told apart, by the order in which they came."""
    await enqueue(store, *(new_job(f"job_{i}") for i in range(7)))
    seen: list[str] = []
    before = None
    while page := await store.list(JobFilter(before=before, limit=3)):
        seen += [job.id for job in page]
        before = seen[-1]
        await enqueue(store, new_job(f"newer_{before}", created_at_s=NOW_S + 1))
    assert seen == [f"job_{i}" for i in reversed(range(7))]
    with pytest.raises(NotFound, match="job_gone"):
        await store.list(JobFilter(before="job_gone"))


async def test_a_position_counts_what_will_be_claimed_first(store: Store) -> None:
    await enqueue(
        store,
        new_job("a", model="a"),
        new_job("first"),
        new_job("second"),
        new_job("urgent", priority=1),
        new_job("low", priority=-1),
        new_job("third"),
    )
    positions = {id: await store.position(id) for id in ("urgent", "first", "second", "third", "low", "a")}
    assert positions == {"urgent": 0, "first": 1, "second": 2, "third": 3, "low": 4, "a": 0}
    assert await store.position("first", [MODEL, "a"]) == 2
    claimed = await claim(store, 9, MODEL, "a")
    assert [job.id for job in claimed] == ["urgent", "a", "first", "second", "third", "low"]
    assert await store.position("first") is None
    assert await store.position("unknown") is None


async def test_the_depth_counts_by_model(store: Store) -> None:
    assert await store.depth() == {}
    await enqueue(store, *(new_job(f"{model}_{i}", model=model) for model in ("a", "b") for i in range(3)))
    await claim(store, 2, "a")
    await claim(store, 3, "b")
    await store.finish("b_0", 1, completion())
    assert await store.depth() == {"a": (1, 2), "b": (0, 2)}


async def test_a_page_does_not_go_on_from_anothers_job(store: Store) -> None:
    await enqueue(store, new_job("job_1", owner="key_a"))
    with pytest.raises(NotFound, match="no such job to list from: job_1"):
        await store.list(JobFilter(owner="key_b", before="job_1"))
    assert await store.list(JobFilter(before="job_1")) == ()


@pytest.mark.parametrize("id", ["job_\0", "job_\ud800", "job 1", "", "j" * 101])
async def test_what_is_no_id_names_no_job(store: Store, id: str) -> None:
    for step in (store.get(id), store.cancel(id, error=FAILURE, now_s=NOW_S), store.list(JobFilter(before=id))):
        with pytest.raises(NotFound, match="no such job"):
            await step
    assert await store.get_many([id]) == {}
    assert await store.position(id) is None


@pytest.mark.parametrize("odd", ["\0", "a\ud800"])
async def test_filters_that_no_row_can_match_find_none(store: Store, odd: str) -> None:
    await enqueue(store, new_job("job_1"))
    for wanted in (JobFilter(owner=odd), JobFilter(model=odd), JobFilter(operation=odd)):
        assert await store.list(wanted) == ()


@pytest.mark.parametrize("broken", ["{", "", "7", "[1]", '"text"', "null"])
async def test_a_row_of_broken_json_hides_no_others(store: Store, broken: str) -> None:
    await enqueue(store, new_job("job_1"), new_job("job_2"))
    values = {"request": broken, "warnings": broken.strip("[1]"), "result": broken, "error": broken}
    columns = ", ".join(f"{name} = :{name}" for name in values)
    breaking = text(f"UPDATE jobs SET {columns} WHERE id = 'job_1'").bindparams(**values)
    await store._write(lambda c: c.execute(breaking) and None)
    row = await store.get("job_1")
    assert (row.request, row.warnings, row.result, row.error) == ({}, (), {}, {})
    assert [job.id for job in await store.list(JobFilter())] == ["job_2", "job_1"]
    assert [job.id for job in await claim(store, 2)] == ["job_1", "job_2"]
