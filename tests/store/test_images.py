"""Rows of finished pictures and the blobs they share."""

import pytest

from limner.errors import NotFound
from limner.store import Store
from tests.store.samples import completion, new_image, new_job, run


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
    assert not await store.delete_image("img_job_1_1")
    assert [picture.index for picture in await store.images_of("job_1")] == [0]
    assert await store.delete_image("img_job_1_0")
    with pytest.raises(NotFound, match="img_job_1_0"):
        await store.delete_image("img_job_1_0")
