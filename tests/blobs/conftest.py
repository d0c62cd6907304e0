from datetime import UTC, datetime
from pathlib import Path

import pytest

from limner.blobs import Blobs

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400


class Clock:
    def __init__(self, now_s: float = NOON) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def blobs(tmp_path: Path, clock: Clock) -> Blobs:
    return Blobs(tmp_path / "data", clock=clock)
