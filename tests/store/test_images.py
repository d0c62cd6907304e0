"""Rows of finished pictures and the blobs they share."""

import pytest

from limner.errors import NotFound
from limner.store import Store
from tests.store.samples import NOW_S, completion, new_image, new_job, run


async def test_a_picture_is_found_by_its_id_and_its_job(store: Store) -> None:
    picture = new_image("job_1")
    await run(store, new_job("job_1"), completion(picture))
    assert await store.image("img_job_1_0") == picture
    assert await store.images_of("job_1") == (picture,)
    assert await store.images_of("job_2") == ()
    with pytest.raises(NotFound, match="img_9"):
        await store.image("img_9")


async def test_a_blob_is_free_when_its_last_picture_is_deleted(store: Store) -> None:
    await run(store, new_job("job_1"), completion(new_image("job_1", 0, key="k"), new_image("job_1", 1, key="k")))
    await store.delete_image("img_job_1_1", file_due_at_s=NOW_S)
    assert [picture.index for picture in await store.images_of("job_1")] == [0]
    assert await store.due_files(NOW_S) == ()
    await store.delete_image("img_job_1_0", file_due_at_s=NOW_S)
    assert await store.due_files(NOW_S) == ("k",)
    with pytest.raises(NotFound, match="img_job_1_0"):
        await store.delete_image("img_job_1_0", file_due_at_s=NOW_S)


async def test_the_pictures_of_many_jobs_are_found_at_once(store: Store) -> None:
    for job_id in ("job_1", "job_2", "job_3"):
        await run(store, new_job(job_id), completion(*(new_image(job_id, i) for i in range(2))))
    await store.delete_image("img_job_2_0", file_due_at_s=NOW_S)
    ids = ["job_3", "job_2", "job_4", "j\0b", *(f"job_gone_{i}" for i in range(1000))]
    found = await store.images_of_all(ids)
    assert [picture.id for picture in found["job_3"]] == ["img_job_3_0", "img_job_3_1"]
    assert [picture.id for picture in found["job_2"]] == ["img_job_2_1"]
    assert set(found) == set(ids)
    assert not found["job_4"] + found["j\0b"]


async def test_pictures_are_listed_newest_first_and_page_by_page(store: Store) -> None:
    for number, owner in enumerate(("key_a", "key_b", "key_a")):
        job_id = f"job_{number}"
        made = [new_image(job_id, i, owner=owner, created_at_s=1000.0 + number) for i in range(2)]
        await run(store, new_job(job_id, owner=owner), completion(*made))
    everybody = [picture.id for picture in await store.images(None, limit=10)]
    assert everybody == [f"img_job_{number}_{index}" for number in (2, 1, 0) for index in (1, 0)]
    first = await store.images("key_a", limit=3)
    assert [picture.id for picture in first] == ["img_job_2_1", "img_job_2_0", "img_job_0_1"]
    rest = await store.images("key_a", limit=3, before=first[-1].id)
    assert [picture.id for picture in rest] == ["img_job_0_0"]
    with pytest.raises(NotFound, match="img_9"):
        await store.images(None, limit=3, before="img_9")


async def test_a_page_does_not_go_on_from_anothers_picture(store: Store) -> None:
    await run(store, new_job("job_1", owner="key_a"), completion(new_image("job_1", owner="key_a")))
    with pytest.raises(NotFound, match="img_job_1_0"):
        await store.images("key_b", limit=3, before="img_job_1_0")
    assert await store.images(None, limit=3, before="img_job_1_0") == ()


@pytest.mark.parametrize("id", ["img_\0", "img_\ud800", "", "i" * 101])
async def test_what_is_no_id_names_no_picture(store: Store, id: str) -> None:
    for step in (store.image(id), store.delete_image(id, file_due_at_s=NOW_S), store.images(None, limit=1, before=id)):
        with pytest.raises(NotFound, match="no such image"):
            await step
    assert await store.images_of(id) == ()
    assert await store.images("key\0", limit=1) == ()
