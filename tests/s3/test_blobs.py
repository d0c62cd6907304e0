"""The blob store on S3, as moto plays it."""

import asyncio
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from obstore.store import from_url

from limner.blobs import Blobs, shelf
from limner.errors import NotFound, NotReady

pytestmark = pytest.mark.s3
GOOD = "2026/03/09/" + "a" * 64 + ".png"


def keys_in(endpoint: str, bucket: str) -> list[str]:
    listing = httpx2.get(f"{endpoint}/{bucket}?list-type=2").raise_for_status().text
    return [part.partition("</Key>")[0] for part in listing.split("<Key>")[1:]]


async def test_what_is_put_is_got_whole_and_in_parts(blobs: Blobs, endpoint: str, bucket: str) -> None:
    data = bytes(range(256)) * 4096
    key = await blobs.put(data, "image/webp")
    assert keys_in(endpoint, bucket) == [f"prefix/{key}"]
    assert await blobs.size(key) == len(data)
    assert await blobs.get(key) == data
    assert await blobs.get_range(key, 3, 9) == data[3:9]
    assert b"".join([chunk async for chunk in await blobs.stream(key, 5, len(data) - 1)]) == data[5:-1]


async def test_the_objects_have_their_media_type(blobs: Blobs, bucket: str) -> None:
    key = await blobs.put(b"x", "image/jpeg")
    stored = await from_url(f"s3://{bucket}/prefix", client_options={"allow_http": True}).get_async(key)
    assert stored.attributes["Content-Type"] == "image/jpeg"


async def test_what_is_not_there_is_not_found(blobs: Blobs) -> None:
    for attempt in (blobs.get(GOOD), blobs.get_range(GOOD, 0, 1), blobs.stream(GOOD, 0, 1), blobs.size(GOOD)):
        with pytest.raises(NotFound):
            await attempt
    with pytest.raises(NotFound):
        await blobs.get_input("inputs/job/0")


async def test_the_same_content_put_at_once_is_one_object(blobs: Blobs, endpoint: str, bucket: str) -> None:
    keys = await asyncio.gather(*(blobs.put(b"%d" % (i % 8), "image/png") for i in range(64)))
    assert len(set(keys)) == 8
    assert len(keys_in(endpoint, bucket)) == 8
    assert await asyncio.gather(*map(blobs.get, keys[:8])) == [b"%d" % i for i in range(8)]


async def test_deleting_is_final_and_never_an_error(blobs: Blobs, endpoint: str, bucket: str) -> None:
    keys = [await blobs.put(b"%d" % i, "image/png") for i in range(4)]
    await blobs.delete(keys[0])
    await blobs.delete(keys[0])
    await blobs.delete_many([*keys[:3], GOOD])
    assert keys_in(endpoint, bucket) == [f"prefix/{keys[3]}"]


async def test_a_sweep_removes_old_days_and_nothing_else(bucket: str, endpoint: str, tmp_path: Path) -> None:
    def on(day: date) -> Blobs:
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
        return Blobs(tmp_path, location=f"s3://{bucket}/deep/prefix", clock=lambda: noon)

    days = [date(2025, 12, 31), date(2026, 2, 28), date(2026, 3, 8), date(2026, 3, 9), date(2026, 4, 1)]
    keys = [await on(day).put(b"x", "image/png") for day in days]
    httpx2.put(f"{endpoint}/{bucket}/deep/prefix/2026/03/08/notes.txt", content=b"the owner's").raise_for_status()
    assert await on(days[-1]).sweep(date(2026, 3, 9)) == 3
    assert keys_in(endpoint, bucket) == [f"deep/prefix/{key}" for key in ("2026/03/08/notes.txt", *keys[3:])]


async def test_more_is_dropped_than_one_delete_takes(
    blobs: Blobs, endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "BATCH", 20)
    await asyncio.gather(*(blobs.put_input("job", str(i), b"x") for i in range(50)))
    await blobs.put_input("job_2", "0", b"x")
    await blobs.drop_inputs("job")
    assert keys_in(endpoint, bucket) == ["prefix/inputs/job_2/0"]


async def test_inputs_go_with_their_job(bucket: str, endpoint: str, tmp_path: Path) -> None:
    later = Blobs(tmp_path, location=f"s3://{bucket}", clock=lambda: time.time() + timedelta(hours=1).total_seconds())
    keys = [await later.put_input(job, name, job.encode()) for job in ("live", "over") for name in ("0", "mask")]
    assert await later.get_input(keys[0]) == b"live"

    async def is_live(jobs: frozenset[str]) -> frozenset[str]:
        return jobs & {"live"}

    assert await later.sweep_inputs(is_live, 7200) == 0
    assert await later.sweep_inputs(is_live, 60) == 1
    assert keys_in(endpoint, bucket) == ["inputs/live/0", "inputs/live/mask"]


async def test_a_check_uses_the_store_and_leaves_nothing(blobs: Blobs, endpoint: str, bucket: str) -> None:
    assert (await blobs.check()).startswith("s3://pictures/prefix: wrote, read and removed a file in ")
    assert keys_in(endpoint, bucket) == []


async def test_a_bucket_that_is_not_there_is_named(bucket: str, tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, location="s3://no-such-bucket")
    with pytest.raises(NotReady, match="written"):
        await blobs.put(b"x", "image/png")
    with pytest.raises(NotReady, match="read"):
        await blobs.sweep(date(2026, 3, 9))
    with pytest.raises(NotReady, match=r"s3://no-such-bucket does not work: .*does not exist \(NoSuchBucket\)"):
        await blobs.check()


async def test_a_store_that_does_not_answer_is_no_missing_file(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    blobs = Blobs(tmp_path, location=f"s3://{bucket}")
    with pytest.raises(NotReady):
        await blobs.get(GOOD)
    with pytest.raises(NotReady, match=r"does not work: .*error sending request"):
        await blobs.check()
