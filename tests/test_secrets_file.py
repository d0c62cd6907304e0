import multiprocessing
import stat
from pathlib import Path

import pytest

from limner.errors import InvalidRequest
from limner.secrets_file import load_secret


def test_the_secret_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    secret = load_secret(path)
    assert len(secret) == 32
    assert load_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


def _load(path: Path) -> bytes:
    return load_secret(path)


def test_processes_that_race_for_the_secret_agree(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        for attempt in range(10):
            assert len(set(pool.map(_load, [tmp_path / str(attempt)] * 8, chunksize=1))) == 1


def test_a_damaged_secret_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(InvalidRequest, match="secret does not hold 32 bytes") as refused:
        load_secret(tmp_path / "secret")
    assert refused.value.param == "secret"
