"""Child processes that cannot outlive this one: each leads a process group of its own and dies with its parent."""

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pwd import getpwnam
from typing import IO

_PR_SET_PDEATHSIG = 1


@cache
def _prctl() -> Callable[[int, int], int]:
    call = ctypes.CDLL(None, use_errno=True).prctl
    call.argtypes = (ctypes.c_int, ctypes.c_ulong)
    return lambda option, value: int(call(option, value))


def start(
    argv: Sequence[str], *, log: IO[bytes], environment: Mapping[str, str] | None = None, user: str | None = None
) -> "subprocess.Popen[bytes]":
    """Run ``argv`` as the leader of a new process group; both its streams go to ``log``. It dies with this thread."""
    prctl = _prctl()  # loaded here: between fork and exec only system calls are safe
    # The last thing before exec: a change of user would clear it.
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        user=user, group=None if user is None else getpwnam(user).pw_gid, extra_groups=None if user is None else [],
        preexec_fn=lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )  # fmt: skip


def kill(process: "subprocess.Popen[bytes]", number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to the whole group; one that is already gone is no error. SIGKILL is also waited for."""
    if process.poll() is None:
        os.killpg(process.pid, number)
    if number is signal.SIGKILL:
        process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
