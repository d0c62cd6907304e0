"""What is forgotten, and what is not."""

import pytest

from limner.errors import NotFound
from limner.store import Hook, Store
from tests.store.samples import NOW_S, completion, enqueue, new_image, new_job, run

DAY_S = 24 * 3600.0


async def _purge(store: Store, now_s: float = NOW_S, images_before_s: float = 0, jobs_before_s: float = 0) -> list[str]:
    """Sweep once, as the service does: the files that went with it."""
    await store.purge(now_s=now_s, images_before_s=images_before_s, jobs_before_s=jobs_before_s)
    gone: list[str] = []
    while keys := await store.due_files(now_s):
        await store.files_gone(keys, now_s)
        gone += keys
    return sorted(gone)


async def test_pictures_go_when_they_expire(store: Store) -> None:
    await run(store, new_job("job_1"), completion(new_image("job_1", 0), new_image("job_1", 1, expires_at_s=NOW_S)))
    assert await _purge(store, NOW_S - 1) == []
    assert await _purge(store, NOW_S) == ["images/job_1-1.png"]
    assert [picture.index for picture in await store.images_of("job_1")] == [0]
    assert await _purge(store, NOW_S) == []


async def test_pictures_go_when_they_are_older_than_allowed(store: Store) -> None:
    await run(store, new_job("job_1"), completion(new_image("job_1", 0), new_image("job_1", 1, created_at_s=NOW_S - 1)))
    assert await _purge(store, images_before_s=NOW_S) == ["images/job_1-1.png"]


async def test_a_blob_that_another_picture_uses_stays(store: Store) -> None:
    shared = new_image("job_1", 0, key="k", expires_at_s=NOW_S), new_image("job_1", 1, key="k", expires_at_s=NOW_S + 1)
    await run(store, new_job("job_1"), completion(*shared))
    assert await _purge(store, NOW_S) == []
    assert await _purge(store, NOW_S + 1) == ["k"]


async def test_a_blob_is_named_once(store: Store) -> None:
    await run(store, new_job("job_1"), completion(new_image("job_1", 0, key="k"), new_image("job_1", 1, key="k")))
    assert await _purge(store, images_before_s=NOW_S + 1) == ["k"]


async def test_a_file_stays_due_until_it_has_gone(store: Store) -> None:
    """A process that dies between the row's end and the file's leaves the file to the next one."""
    await run(store, new_job("job_1"), completion(new_image("job_1", 0), new_image("job_1", 1)))
    await store.delete_image("img_job_1_0", file_due_at_s=NOW_S + 60)
    await store.purge(now_s=NOW_S, images_before_s=NOW_S + 1, jobs_before_s=0)
    for _ in range(2):
        assert await store.due_files(NOW_S + 59) == ("images/job_1-1.png",)
    await store.files_gone(("images/job_1-1.png",), NOW_S + 59)
    assert await _purge(store, NOW_S + 59) == []
    assert await _purge(store, NOW_S + 60) == ["images/job_1-0.png"]


async def test_a_file_that_is_wanted_again_is_no_longer_due(store: Store) -> None:
    await run(store, new_job("job_1"), completion(new_image("job_1", key="k")))
    await store.delete_image("img_job_1_0", file_due_at_s=NOW_S)
    await run(store, new_job("job_2"), completion(new_image("job_2", key="k")))
    assert await _purge(store, NOW_S) == []
    await store.delete_image("img_job_2_0", file_due_at_s=NOW_S + 10)
    assert await _purge(store, NOW_S + 9) == []
    assert await _purge(store, NOW_S + 10) == ["k"]


async def test_hundreds_of_pictures_go_in_one_call(store: Store) -> None:
    await run(store, new_job("job_1"), completion(*(new_image("job_1", i, key=f"k{i % 600}") for i in range(1200))))
    assert len(await _purge(store, images_before_s=NOW_S + 1)) == 600
    assert await store.images_of("job_1") == ()


async def test_ended_jobs_go_after_their_pictures(store: Store) -> None:
    hook = Hook("https://example.org")
    await run(store, new_job("job_1", hook=hook), completion(new_image("job_1")))
    await run(store, new_job("job_2", hook=hook), completion())
    await enqueue(store, new_job("job_3"))
    assert await _purge(store, jobs_before_s=NOW_S + 10) == []  # job_2 ended right then
    assert len(await store.get_many(["job_1", "job_2", "job_3"])) == 3
    assert await _purge(store, jobs_before_s=NOW_S + 11) == []
    assert sorted(await store.get_many(["job_1", "job_2", "job_3"])) == ["job_1", "job_3"]
    assert await _purge(store, NOW_S + 100, jobs_before_s=NOW_S + 11) == ["images/job_1-0.png"]
    with pytest.raises(NotFound):
        await store.get("job_1")
    assert await store.due_deliveries(NOW_S + 9999, lease_until_s=NOW_S + 9999, limit=9) == ()
    assert [entry.job_id for entry in await store.ledger("", 9)] == ["job_2", "job_1"]


async def test_a_forgotten_jobs_idempotency_key_is_free(store: Store) -> None:
    await run(store, new_job("job_1", idempotency_key="again", fingerprint="f"), completion())
    await _purge(store, jobs_before_s=NOW_S + 11)
    assert await store.find_replay("", "again", "g", NOW_S) is None
    await enqueue(store, new_job("job_2", idempotency_key="again", fingerprint="g"))
    assert await store.find_replay("", "again", "g", NOW_S) == await store.get("job_2")


async def test_idempotency_keys_go_after_a_day(store: Store) -> None:
    await enqueue(store, new_job("job_1", idempotency_key="again"))
    await _purge(store, NOW_S + DAY_S - 1)
    assert await store.find_replay("", "again", "", NOW_S) is not None
    await _purge(store, NOW_S + DAY_S)
    assert await store.find_replay("", "again", "", NOW_S) is None
