"""No process is left behind: neither by a kill, nor by the death of whoever started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos import processes

# A child that starts a grandchild and writes both ids down.
PARENT = (
    "import subprocess, os, sys; c = subprocess.Popen(['sleep', '60']); print(os.getpid(), c.pid, flush=True); c.wait()"
)
STARTER = """
import sys, time
from chaos import processes
with open(sys.argv[1], "wb") as log:
    processes.start([sys.executable, "-c", sys.argv[2]], log=log)
    time.sleep(60)
"""


def until(true: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s and not true():
        time.sleep(0.02)
    return true()


def ids_in(log: Path) -> list[int]:
    assert until(lambda: log.exists() and len(log.read_text().split()) == 2)
    return [int(word) for word in log.read_text().split()]


def gone(pid: int) -> bool:
    """A zombie that nobody has waited for is gone too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_kill_takes_the_whole_group(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = processes.start([sys.executable, "-c", PARENT], log=file)
    ids = ids_in(log)
    processes.kill(process)
    assert process.returncode == -signal.SIGKILL
    assert until(lambda: all(map(gone, ids)))
    processes.kill(process)  # a second time does nothing


def test_a_process_dies_with_the_one_that_started_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, log, "import time, os; print(os.getpid(), 0, flush=True);time.sleep(60)"]
    ) as starter:
        pid, _ = ids_in(log)
        assert not gone(pid)
        starter.kill()
    assert until(lambda: gone(pid))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start processes of other users")
def test_a_process_may_belong_to_another_user(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        processes.start(["id", "-un"], log=file, user="nobody").wait()
    assert log.read_text().strip() == "nobody"


def test_a_free_port_is_free() -> None:
    assert 0 < processes.free_port() < 65536
