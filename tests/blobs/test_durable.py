import os
from pathlib import Path
from typing import IO, cast

import pytest

from limner.blobs.durable import write_durably


class Disk:
    """Watches the order of syncs and renames, by what each path was when it was synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.steps: list[str] = []
        self._root = root
        self._fsync, self._replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(os, "replace", self.replace)

    def fsync(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        size = "" if path.is_dir() else f" {path.stat().st_size}"
        self.steps.append(f"sync {self.name(path)}{size}")
        self._fsync(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        self.steps.append(f"{self.name(source)} -> {self.name(target)}")
        self._replace(source, target)

    def name(self, path: Path) -> str:
        name = str(Path(path).relative_to(self._root))
        return "draft" if name.endswith(".part") else name


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Disk:
    return Disk(monkeypatch, tmp_path)


def test_content_is_synced_before_it_has_its_name_and_the_names_after(tmp_path: Path, disk: Disk) -> None:
    write_durably(tmp_path / "2026" / "03" / "x.png", b"picture")
    assert disk.steps == ["sync draft 7", "draft -> 2026/03/x.png", "sync 2026/03", "sync 2026", "sync ."]
    disk.steps.clear()
    write_durably(tmp_path / "2026" / "03" / "y.png", b"other")
    assert disk.steps == ["sync draft 5", "draft -> 2026/03/y.png", "sync 2026/03"]


def test_content_that_is_there_is_only_synced_by_name(tmp_path: Path, disk: Disk) -> None:
    (tmp_path / "x.png").write_bytes(b"picture")
    write_durably(tmp_path / "x.png", b"picture")
    assert disk.steps == ["sync ."]


def test_a_torn_file_of_that_name_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"")
    write_durably(tmp_path / "x.png", b"picture")
    assert (tmp_path / "x.png").read_bytes() == b"picture"


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_durably(tmp_path / "x.png", b"picture")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("times", [1, 9, 10])
def test_directories_that_vanish_meanwhile_are_made_again(
    times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has just deleted the last file of the day, and the day with it."""
    opened, vanish = Path.open, iter(range(times))

    def open_late(path: Path, mode: str) -> IO[bytes]:
        if next(vanish, None) is not None:
            path.parent.rmdir()
        return cast(IO[bytes], opened(path, mode))

    monkeypatch.setattr(Path, "open", open_late)
    if times == 10:
        with pytest.raises(FileNotFoundError):
            write_durably(tmp_path / "day" / "x", b"x")
    else:
        write_durably(tmp_path / "day" / "x", b"x")
        assert (tmp_path / "day" / "x").read_bytes() == b"x"
