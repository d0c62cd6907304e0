"""Whether the process that holds a job is still there: known at once on our own disk, after its lease elsewhere.

Owns one lock file a process under ``workers`` in the data directory. The kernel drops the lock with the process,
however it ends; process ids would not do, since containers share a disk and not a process table.
"""

import fcntl
import os
from collections.abc import Collection
from pathlib import Path
from typing import Self


class Liveness:
    """Holds this worker's lock until closed."""

    def __init__(self, directory: Path, worker: str) -> None:
        self._directory = directory
        self._worker = worker
        self._file: int | None = None

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        draft = self._directory / f"{self._worker}.draft"
        self._file = os.open(draft, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        draft.rename(self._path(self._worker))  # the name others look for is never there without its lock
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._path(self._worker).unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def dead(self, workers: Collection[str]) -> frozenset[str]:
        """Those of ``workers`` that are known to have ended; one without a file here may live on another machine.

        Their files stay until `forget`, so that every process of this machine can see it.
        """
        return frozenset(worker for worker in workers if worker != self._worker and self._is_free(worker))

    def forget(self, in_use: Collection[str]) -> None:
        """Remove the files of dead workers that hold no job any more."""
        for path in self._directory.glob("*.lock"):
            if path.stem not in in_use and path.stem != self._worker and self._is_free(path.stem):
                path.unlink(missing_ok=True)

    def _is_free(self, worker: str) -> bool:
        try:
            file = os.open(self._path(worker), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(file)
        return True

    def _path(self, worker: str) -> Path:
        return self._directory / f"{worker}.lock"
