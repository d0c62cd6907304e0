"""Real ``limner serve`` processes that are started, killed and started again on the same port.

Owns one process at a time per server; does not decide when it dies.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from chaos import processes

START_TIMEOUT_S = 120.0


class Trouble(Exception):
    """A server has ended although nobody killed it, or did not do what it was told; the message ends with its log."""


@dataclass(slots=True)
class Server:
    """``limner serve`` with the embedded model over ``settings``. ``kind`` is what it is for, in the figures."""

    kind: str
    settings: Mapping[str, str]
    log: Path
    port: int = field(default_factory=processes.free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def running(self) -> bool:
        """Whether there is a process now."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process now, or of the last one."""
        assert self.process is not None, "it was never started"
        return self.process.pid

    def worker(self) -> str | None:
        """The name under which its process holds jobs: that of the lock it has open; None before it has one. Raises
        Trouble when it has ended."""
        self._must_run()
        for link in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                target = link.readlink()
            except OSError:  # closed meanwhile
                continue
            if target.suffix == ".lock" and target.parent.name == "workers":
                return target.stem
        return None

    def start(self) -> None:
        """Start it; it is not ready yet."""
        argv = (sys.executable, "-m", "limner", "serve", "--port", str(self.port))
        with self.log.open("ab") as log:
            self.process = processes.start(argv, log=log, environment=_environment(self.settings))

    def kill(self) -> float:
        """kill -9 of the process group; gives the time (unix seconds)."""
        assert self.process is not None
        self._must_run()
        at_s = time.time()
        processes.kill(self.process)
        return at_s

    async def stop(self, timeout_s: float = 60.0) -> None:
        """SIGTERM, and wait until it has drained; what does not leave in time is killed and is a `Trouble`."""
        assert self.process is not None
        self._must_run()
        processes.kill(self.process, signal.SIGTERM)
        try:
            await asyncio.to_thread(self.process.wait, timeout_s)
        except subprocess.TimeoutExpired:
            processes.kill(self.process)
            raise Trouble(f"{self.kind} did not leave within {timeout_s:g} s of SIGTERM:\n{self._tail()}") from None

    def close(self) -> None:
        """Make sure that nothing of it is left."""
        if self.process is not None:
            processes.kill(self.process)

    async def ready(self, http: httpx2.AsyncClient) -> None:
        """Wait until it can draw. Raises Trouble when it ends, or cannot draw after START_TIMEOUT_S."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while True:
                    if await self._is_ready(http):
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise Trouble(f"{self.kind} was not ready within {START_TIMEOUT_S:g} s:\n{self._tail()}") from None

    async def _is_ready(self, http: httpx2.AsyncClient) -> bool:
        self._must_run()
        try:
            return (await http.get(f"http://127.0.0.1:{self.port}/health")).status_code == 200
        except httpx2.TransportError:
            return False

    def _must_run(self) -> None:
        if not self.running:
            code = None if self.process is None else self.process.returncode
            raise Trouble(f"{self.kind} ended by itself with code {code}:\n{self._tail()}")

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""


def run_command(settings: Mapping[str, str], *arguments: str) -> str:
    """What a ``limner`` command prints. Raises Trouble."""
    argv = (sys.executable, "-m", "limner", *arguments)
    ran = subprocess.run(argv, env=_environment(settings), capture_output=True, text=True)
    if ran.returncode != 0:
        raise Trouble(f"limner {' '.join(arguments)} ended with code {ran.returncode}:\n{ran.stderr}")
    return ran.stdout


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours without settings that someone has set for another server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")}
    chosen = {f"LIMNER_{name.upper()}": value for name, value in settings.items()}
    return {**kept, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **chosen}
