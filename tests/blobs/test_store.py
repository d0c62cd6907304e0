import asyncio
import os
from datetime import date
from pathlib import Path

import pytest
from blake3 import blake3

from limner.blobs import Blobs, media_type_of, store
from limner.errors import NotFound, NotReady
from tests.blobs.conftest import DAY_S, Clock


def files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "data" / "files").rglob("*") if path.is_file()]


async def test_what_is_put_is_got_under_its_day_and_hash(blobs: Blobs) -> None:
    key = await blobs.put(b"picture", "image/png")
    assert key == f"2026/03/09/{blake3(b'picture').hexdigest()}.png"
    assert await blobs.get(key) == b"picture"
    assert await blobs.size(key) == 7
    assert await blobs.get_range(key, 1, 4) == b"ict"
    assert b"".join([chunk async for chunk in await blobs.stream(key, 1, 4)]) == b"ict"
    assert media_type_of(key) == "image/png"


async def test_the_same_content_on_a_day_is_one_object(blobs: Blobs, clock: Clock, tmp_path: Path) -> None:
    keys = set(await asyncio.gather(*(blobs.put(b"same", "image/webp") for _ in range(8))))
    assert len(keys) == len(files(tmp_path)) == 1
    clock.now_s += DAY_S
    assert await blobs.put(b"same", "image/webp") not in keys
    assert len(files(tmp_path)) == 2


async def test_many_megabytes_are_stored_whole(blobs: Blobs) -> None:
    data = bytes(range(256)) * 4096 * 12
    key = await blobs.put(data, "image/png")
    assert await blobs.get(key) == data
    chunks = [chunk async for chunk in await blobs.stream(key, 5, len(data))]
    assert b"".join(chunks) == data[5:]
    assert len(chunks) == 6


GOOD = "2026/03/09/" + "a" * 64 + ".png"


@pytest.mark.parametrize(
    "key",
    [
        GOOD,
        "",
        "/",
        "..",
        "../link-secret",
        "2026/03/09/../../../../link-secret",
        "2026/03/09/../" + "a" * 61 + ".png",
        "/" + GOOD,
        GOOD + "\n",
        GOOD + "/",
        GOOD + "\0",
        GOOD.replace("a", "A"),
        GOOD.replace("a", "g"),
        GOOD.replace("2026", "\u0662\u0660\u0662\u0666"),
        GOOD.replace("/", "\\"),
        GOOD.replace("/", "%2f"),
        GOOD.replace("png", "html"),
        GOOD.replace(".png", ""),
        "link-secret",
    ],
)
async def test_what_was_never_stored_is_not_found(blobs: Blobs, key: str) -> None:
    attempts = (
        lambda: blobs.get(key),
        lambda: blobs.get_range(key, 0, 1),
        lambda: blobs.stream(key, 0, 1),
        lambda: blobs.size(key),
    )
    for attempt in attempts:
        with pytest.raises(NotFound):
            await attempt()


async def test_what_a_crash_left_half_written_is_no_file_and_is_swept(
    blobs: Blobs, clock: Clock, tmp_path: Path
) -> None:
    key = await blobs.put(b"x", "image/png")
    draft = tmp_path / "data" / "files" / f"{key}.{'0' * 16}.part"
    draft.write_bytes(b"ha")
    clock.now_s += DAY_S
    assert await blobs.sweep(date(2026, 3, 10)) == 2
    assert files(tmp_path) == []


async def test_deleting_twice_is_no_error(blobs: Blobs) -> None:
    key = await blobs.put(b"x", "image/png")
    await blobs.delete(key)
    await blobs.delete(key)
    with pytest.raises(NotFound):
        await blobs.get(key)
    with pytest.raises(NotFound):
        await blobs.delete("../link-secret")


async def test_a_sweep_removes_whole_days_and_nothing_else(blobs: Blobs, clock: Clock, tmp_path: Path) -> None:
    keys = []
    for _ in range(4):
        keys.append(await blobs.put(b"x", "image/png"))
        clock.now_s += DAY_S
    foreign = [tmp_path / "data" / "files" / name for name in ("notes.txt", "2026/03/09/notes.txt", "1999/notes.txt")]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("the owner's")
    assert await blobs.sweep(date(2026, 3, 11)) == 2
    assert await blobs.sweep(date(2026, 3, 11)) == 0
    for key in keys[:2]:
        with pytest.raises(NotFound):
            await blobs.get(key)
    for key in keys[2:]:
        assert await blobs.get(key) == b"x"
    assert all(path.exists() for path in foreign)
    assert not (tmp_path / "data" / "files" / "2026" / "03" / "10").exists()


@pytest.mark.parametrize("location", ["", "memory://"])
async def test_many_are_deleted_whether_they_are_there_or_not(tmp_path: Path, location: str) -> None:
    blobs = Blobs(tmp_path, location=location)
    keys = [await blobs.put(bytes([i]), "image/png") for i in range(5)]
    await blobs.delete(keys[2])
    await blobs.delete_many([*keys, keys[0]])
    for key in keys:
        with pytest.raises(NotFound):
            await blobs.get(key)
    await blobs.delete_many([])
    with pytest.raises(NotFound):
        await blobs.delete_many([GOOD, "notes.txt"])


@pytest.mark.parametrize("location", ["", "memory://"])
async def test_inputs_are_kept_by_job_until_they_are_dropped(tmp_path: Path, location: str) -> None:
    blobs = Blobs(tmp_path, location=location)
    keys = [await blobs.put_input(job, name, name.encode()) for job in ("job_a", "job_ab") for name in ("0.png", "1")]
    assert keys == ["inputs/job_a/0.png", "inputs/job_a/1", "inputs/job_ab/0.png", "inputs/job_ab/1"]
    assert await blobs.get_input(keys[0]) == b"0.png"
    await blobs.drop_inputs("job_a")
    await blobs.drop_inputs("job_a")
    with pytest.raises(NotFound):
        await blobs.get_input(keys[0])
    assert await blobs.get_input(keys[3]) == b"1"


@pytest.mark.parametrize("key", ["inputs/job_a/../../link-secret", "inputs//x", "inputs/a/.", "link-secret", GOOD])
async def test_inputs_are_read_by_their_keys_alone(blobs: Blobs, key: str) -> None:
    with pytest.raises(NotFound):
        await blobs.get_input(key)


async def test_inputs_of_jobs_that_are_over_or_unknown_are_swept(blobs: Blobs, clock: Clock, tmp_path: Path) -> None:
    for job in ("live", "over", "young", "unknown"):
        for name in ("0", "1"):
            path = tmp_path / "data" / "files" / await blobs.put_input(job, name, b"x")
            age_s = 5 if (job, name) == ("young", "1") else 500
            os.utime(path, (clock.now_s - age_s,) * 2)
    asked: list[frozenset[str]] = []

    async def is_live(jobs: frozenset[str]) -> frozenset[str]:
        asked.append(jobs)
        return jobs & {"live"}

    assert await blobs.sweep_inputs(is_live, 100) == 2
    assert asked == [{"live", "over", "unknown"}]
    assert sorted(path.parent.name for path in files(tmp_path)) == ["live", "live", "young", "young"]
    assert await blobs.sweep_inputs(is_live, 100) == 0


async def test_sweeping_inputs_asks_about_any_number_of_jobs(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BATCH", 20)
    root = tmp_path / "data" / "files" / "inputs"
    for job in range(41):
        (root / str(job)).mkdir(parents=True)
        (root / str(job) / "0").write_bytes(b"x")
        os.utime(root / str(job) / "0", (0, 0))
    asked: list[int] = []

    async def is_live(jobs: frozenset[str]) -> frozenset[str]:
        asked.append(len(jobs))
        return frozenset()

    assert await blobs.sweep_inputs(is_live, 1) == 41
    assert sorted(asked) == [1, 20, 20]
    assert files(tmp_path) == []


async def test_a_check_tells_where_the_files_lie_and_leaves_none(blobs: Blobs, tmp_path: Path) -> None:
    assert (await blobs.check()).startswith(f"{tmp_path / 'data' / 'files'}: wrote, read and removed a file in 0.")
    assert files(tmp_path) == []


async def test_a_store_that_fails_says_so(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, location=str(tmp_path / "pictures"))
    (tmp_path / "pictures").rmdir()
    (tmp_path / "pictures").write_text("in the way")
    for attempt in (lambda: blobs.put(b"x", "image/png"), lambda: blobs.size(GOOD), lambda: blobs.delete(GOOD)):
        with pytest.raises(NotReady, match="log has the reason") as caught:
            await attempt()
        assert str(tmp_path) not in caught.value.message
    with pytest.raises(NotReady, match=r"pictures does not work: .*(Not a directory|File exists)"):
        await blobs.check()
