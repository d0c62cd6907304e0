"""What the figures hear of the picture store."""

from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from limner.blobs import Blobs
from limner.errors import NotFound, NotReady


class Heard:
    """Adds up bytes and failures."""

    def __init__(self) -> None:
        self.bytes: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    def blob_moved(self, operation: Literal["put", "get"], size_bytes: int) -> None:
        self.bytes[operation] += size_bytes

    def blob_failed(self, operation: Literal["put", "get", "delete"]) -> None:
        self.failures[operation] += 1


async def test_bytes_are_counted_both_ways(tmp_path: Path) -> None:
    heard = Heard()
    blobs = Blobs(tmp_path, watcher=heard)
    key = await blobs.put(b"12345", "image/png")
    await blobs.get(key)
    await blobs.get_range(key, 1, 3)
    [chunk async for chunk in await blobs.stream(key, 0, 5)]
    assert heard.bytes == {"put": 5, "get": 5 + 2 + 5}


async def test_a_missing_file_is_no_failure_and_a_broken_store_is_one(tmp_path: Path) -> None:
    heard = Heard()
    blobs = Blobs(tmp_path, location=str(tmp_path / "files"), watcher=heard)
    key = await blobs.put(b"12345", "image/png")
    await blobs.delete(key)
    with pytest.raises(NotFound):
        await blobs.get(key)
    assert heard.failures == {}
    (tmp_path / "files").rename(tmp_path / "gone")
    (tmp_path / "files").write_text("not a directory")
    with pytest.raises(NotReady, match="written"):
        await blobs.put(b"other", "image/png")
    assert heard.failures == {"put": 1}
