"""Writing a file so that it outlives the machine's power.

Owns the order of syncs. A name never shows before its content is on the disk: a picture whose row says finished is
whole, and one that a crash cut short leaves only a draft (``*.part``) that sweeps remove.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

DRAFT_SUFFIX = ".part"
_ATTEMPTS = 10


def write_durably(path: Path, data: bytes) -> None:
    """Put ``data`` under ``path``, its directories included, and return once both would survive a power loss.

    A file of that length counts as this content already there: names are given by content, or used once. Blocks for
    two disk flushes (2-15 ms on an SSD); raises OSError.
    """
    grown = tuple(_missing(path.parent))
    if not _holds(path, len(data)):
        _place(path, data)
    for directory in (path.parent, *(made.parent for made in grown)):
        _sync_directory(directory)


def _missing(directory: Path) -> Iterator[Path]:
    while not directory.exists():
        yield directory
        directory = directory.parent


def _holds(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _place(path: Path, data: bytes) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}{DRAFT_SUFFIX}")
    try:
        with _create(draft) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _create(path: Path) -> BinaryIO:
    # Whoever removes the last file of a directory removes the directory too, perhaps between these two calls.
    for left in reversed(range(_ATTEMPTS)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb")
        except (FileNotFoundError, FileExistsError):
            if not left:
                raise
    raise AssertionError("the last attempt returns or raises")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
