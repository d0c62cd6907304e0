"""What is removed, by whichever process: nothing depends on the one that knew of it living on."""

import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from limner.blobs import Blobs
from limner.config import load_settings
from limner.errors import NotFound, NotReady
from limner.service.upkeep import UNCLAIMED_S, Upkeep
from limner.store import Store, open_store
from tests.store.samples import completion, new_image, new_job, run


@dataclass(frozen=True)
class House:
    """A store and its blobs; `process` is one more process that keeps them."""

    store: Store
    blobs: Blobs
    data: Path

    def process(self) -> Upkeep:
        """A process that knows nothing but what is written."""
        return Upkeep(self.store, self.blobs, load_settings(None, {"data": self.data}))

    async def draw(self, job_id: str, data: bytes = b"a picture") -> str:
        """A finished job with one picture, whose blob's key this is."""
        key, now_s = await self.blobs.put(data, "image/png"), time.time()
        image = new_image(job_id, key=key, created_at_s=now_s, expires_at_s=now_s + 9e5)
        await run(self.store, new_job(job_id, created_at_s=now_s, deadline_at_s=now_s + 60), completion(image))
        return key

    def has_inputs(self, job_id: str) -> bool:
        """Whether any input of the job lies there."""
        return any((self.data / "files" / "inputs" / job_id).glob("*"))

    def age_inputs(self, job_id: str, age_s: float) -> None:
        """Make a job's inputs look as if they had been put ``age_s`` ago."""
        for path in (self.data / "files" / "inputs" / job_id).glob("*"):
            os.utime(path, (time.time() - age_s,) * 2)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_store("sqlite://") as store:
        yield House(store, Blobs(tmp_path), tmp_path)


def an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = time.time() + UNCLAIMED_S + 1
    monkeypatch.setattr("limner.service.upkeep.time.time", lambda: now_s)


async def test_a_deleted_pictures_file_goes_though_its_process_died(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await house.draw("job_1")
    await house.process().forget("img_job_1_0")
    assert await house.process().sweep() == 0
    assert await house.blobs.size(key), "a picture that is being stored just now may be the same"
    an_hour_later(monkeypatch)
    assert await house.process().sweep() == 1
    with pytest.raises(NotFound):
        await house.blobs.size(key)
    assert await house.process().sweep() == 0


async def test_a_file_that_could_not_be_removed_is_removed_by_the_next_sweep(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await house.draw("job_1")
    await house.process().forget("img_job_1_0")
    an_hour_later(monkeypatch)

    async def away(keys: object) -> None:
        raise NotReady("the picture store is away")

    with monkeypatch.context() as outage:
        outage.setattr(house.blobs, "delete_many", away)
        with pytest.raises(NotReady):
            await house.process().sweep()
    assert await house.process().sweep() == 1
    with pytest.raises(NotFound):
        await house.blobs.size(key)


async def test_a_file_that_another_picture_lies_in_stays(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await house.draw("job_1")
    await house.process().forget("img_job_1_0")
    assert await house.draw("job_2") == key
    an_hour_later(monkeypatch)
    await house.process().sweep()
    assert await house.blobs.get(key) == b"a picture"


async def test_inputs_of_ended_jobs_go_at_once_and_those_of_no_job_after_an_hour(house: House) -> None:
    """Their process died before it removed them, or before the job was accepted."""
    await house.draw("job_ended")
    now_s = time.time()
    await house.store.enqueue(new_job("job_queued", created_at_s=now_s), queue_limit=9)
    for job_id in ("job_ended", "job_queued", "job_coming", "job_lost"):
        await house.blobs.put_input(job_id, "0.png", b"an input")
    house.age_inputs("job_queued", 10 * UNCLAIMED_S)
    house.age_inputs("job_lost", UNCLAIMED_S + 1)
    assert await house.process().sweep() == 2
    left = {job_id for job_id in ("job_ended", "job_queued", "job_coming", "job_lost") if house.has_inputs(job_id)}
    assert left == {"job_queued", "job_coming"}


async def test_inputs_that_a_conversation_goes_on_from_stay_as_long_as_pictures(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job("job_1", created_at_s=time.time())
    job = replace(job, request={**job.request, "attached": [0]})
    await run(house.store, job, completion(ended_at_s=time.time()))
    await house.blobs.put_input("job_1", "0.png", b"an input")
    house.age_inputs("job_1", UNCLAIMED_S + 1)
    assert await house.process().sweep() == 0
    assert house.has_inputs("job_1")
    later_s = time.time() + load_settings(None, {}).keep_images_s + 1
    monkeypatch.setattr("limner.service.upkeep.time.time", lambda: later_s)
    assert await house.process().sweep() == 1
    assert not house.has_inputs("job_1")
