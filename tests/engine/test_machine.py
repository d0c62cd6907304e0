"""What this machine offers, and how containers limit it."""

from pathlib import Path

import pytest
import torch

from limner.engine import EngineSettings
from limner.engine.machine import machine, main_memory
from limner.errors import InvalidRequest

MEMINFO = "MemTotal:        8000 kB\nMemFree:         1000 kB\nMemAvailable:    5000 kB\n"


def test_a_cpu_has_the_machines_memory() -> None:
    found = machine(EngineSettings(device="cpu"))
    assert (found.device, found.device_name, found.bytes_per_number) == ("cpu", "CPU", 4)
    assert found.torch == torch.__version__
    if Path("/proc/meminfo").exists():
        assert 0 < (found.free_bytes or 0) <= (found.total_bytes or 0)


def test_numbers_are_as_wide_as_the_settings_say() -> None:
    assert machine(EngineSettings(device="cpu", dtype="bfloat16")).bytes_per_number == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="has the device")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'cuda' is not available"):
        machine(EngineSettings(device="cuda"))


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        (None, None, (5000, 8000)),
        ("max", "1", (5000, 8000)),
        (str(9000 * 1024), "1", (5000, 8000)),
        (str(2000 * 1024), str(500 * 1024), (1500, 2000)),
        (str(2000 * 1024), str(3000 * 1024), (0, 2000)),
        (str(7000 * 1024), str(1000 * 1024), (5000, 7000)),
    ],
)
def test_a_containers_limit_counts(
    tmp_path: Path, limit: str | None, used: str | None, expected: tuple[int, int]
) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO)
    for name, value in (("memory.max", limit), ("memory.current", used)):
        if value is not None:
            (tmp_path / name).write_text(value + "\n")
    free, total = main_memory(tmp_path / "meminfo", tmp_path)
    assert (free, total) == (expected[0] * 1024, expected[1] * 1024)


def test_where_nobody_tells_nothing_is_known(tmp_path: Path) -> None:
    assert main_memory(tmp_path / "none", tmp_path) == (None, None)
