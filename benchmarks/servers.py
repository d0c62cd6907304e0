"""Starting and stopping what is measured: every server in a process of its own, on a port the system chose."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import orjson

from benchmarks.bare import BareResult
from benchmarks.connection import connected
from benchmarks.drawings import Drawing

START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 40.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    name: str
    port: int
    pid: int

    def resident_bytes(self) -> int:
        """Memory it holds now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_BYTES

    def peak_bytes(self) -> int:
        """The most memory it has ever held."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024

    def cpu_s(self) -> float:
        """Processor seconds it has used, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


class StartFailed(Exception):
    """A server did not come up; the message ends with its log."""


@asynccontextmanager
async def limner_server(settings: Mapping[str, str] | None = None) -> AsyncIterator[Server]:
    """``limner serve`` on the embedded model; ``settings`` are LIMNER_* variables without the prefix."""
    with tempfile.TemporaryDirectory() as data:
        variables = {f"LIMNER_{name.upper()}": value for name, value in (settings or {}).items()}
        argv = ("-m", "limner", "serve", "--data", data, "--log-level", "warning")
        async with _started("limner", argv, variables=variables) as server:
            yield server


@asynccontextmanager
async def baseline_server(threads: int) -> AsyncIterator[Server]:
    """The plain diffusers + FastAPI server with a lock; ``threads`` 0 is torch's own choice."""
    name = f"plain server, {threads or 'default'} threads"
    async with _started(name, ("-m", "benchmarks.baseline_server", "--threads", str(threads))) as server:
        yield server


@asynccontextmanager
async def instant_server(returns: str, *, side_px: int, cores: Collection[int] = ()) -> AsyncIterator[Server]:
    """limner without a model, see ``instant_server``; ``cores`` pins it."""
    argv = ("-m", "benchmarks.instant_server", "--returns", returns, "--side-px", str(side_px))
    async with _started(f"instant {returns}", argv, cores=cores) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Bare:
    """The bare pipeline's process."""

    process: asyncio.subprocess.Process

    async def draw(self, drawing: Drawing) -> BareResult:
        """One call."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(orjson.dumps(asdict(drawing)) + b"\n")
        return BareResult(**orjson.loads(await self.process.stdout.readline()))


@asynccontextmanager
async def bare_pipeline(threads: int) -> AsyncIterator[Bare]:
    """The pipeline called in process; ``threads`` 0 is torch's own choice."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.bare", "--threads", str(threads),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=_environment({}), limit=1 << 24,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        if await process.stdout.readline() != b"ready\n":
            raise StartFailed("the bare pipeline did not load")
        yield Bare(process)
    finally:
        await _stop(process)


@asynccontextmanager
async def _started(
    name: str,
    argv: Sequence[str],
    *,
    variables: Mapping[str, str] | None = None,
    cores: Collection[int] = (),
) -> AsyncIterator[Server]:
    port = _free_port()
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *argv, "--port", str(port),
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(variables or {}),
            preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
        )  # fmt: skip
        try:
            await _come_up(name, process, port, log)
            yield Server(name, port, process.pid)
        finally:
            await _stop(process)


async def _come_up(name: str, process: asyncio.subprocess.Process, port: int, log: IO[bytes]) -> None:
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await _until_ready(process, port)
    except (StartFailed, TimeoutError) as error:
        log.seek(0)
        raise StartFailed(f"{name} did not start:\n{log.read()[-4000:].decode(errors='replace')}") from error


async def _until_ready(process: asyncio.subprocess.Process, port: int) -> None:
    while process.returncode is None:
        try:
            async with connected(port) as connection:
                if (await connection.exchange("GET", "/health")).status == 200:
                    return
        except OSError:
            pass
        await asyncio.sleep(0.1)
    raise StartFailed


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Ours without settings that someone has set for another server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")}
    return {**kept, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **variables}
