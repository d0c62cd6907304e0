"""Whether a file is still the one that was opened, and not gone or another under its name.

SQLite writes on in a file that has no name any more: all of it is lost when the last process closes it.
"""

import logging
import os
import time
from pathlib import Path

from limner.errors import NotReady

logger = logging.getLogger(__name__)


class SameFile:
    """Remembers a file by its inode. Used by threads that may look at the same time, at worst once too often."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None
        self._seen_s = float("-inf")

    def remember(self) -> None:
        """This is the file, now that it is open."""
        self._opened = _identity(self._path)

    def check(self, *, known_s: float = 0.0) -> None:
        """Raise NotReady when the file is gone or another; not looked at again within ``known_s`` of a good answer.

        Before `remember` any file will do.
        """
        now_s = time.monotonic()
        if self._opened is None or now_s - self._seen_s < known_s:
            return
        if _identity(self._path) != self._opened:
            self._seen_s = float("-inf")
            logger.error(
                "the database %s was removed or replaced: stop the server, put it back, start again", self._path
            )
            raise NotReady(f"the database file {self._path.name} was removed or replaced; nothing can be kept")
        self._seen_s = now_s


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
