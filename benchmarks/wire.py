"""limner without a model: 1024x1024 pictures in base64 per second on one core, from files and from raw pixels."""

import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

import pybase64

from benchmarks.contest import Contest, in_turns, remark
from benchmarks.drawings import bodies, same_size
from benchmarks.load import closed_loop
from benchmarks.pictures import as_png, photograph
from benchmarks.report import Report
from benchmarks.servers import Server, instant_server
from benchmarks.spread import spread
from limner.core import Output
from limner.media.encode import encode

TARGET = 300.0
SIDE_PX = 1024
CLIENTS = 16  # with fewer the core waits for the disk now and then, and a commit serves fewer jobs
REQUESTS = 400
LABELS = {
    "file": "limner, backend returns a PNG file",
    "pixels": "limner, backend returns pixels",
    "constant": "no limner: constant bytes by Starlette",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One round: pictures a second, and processor milliseconds a picture of the server and of the client."""

    pictures_per_s: float
    server_ms: float
    client_ms: float


async def run(rounds: int) -> Report:
    """The servers share one core, one measured at a time; the client has another."""
    cores = sorted(os.sched_getaffinity(0))
    with _pinned(cores[1:2] or cores):
        async with AsyncExitStack() as stack:
            servers = {
                returns: await stack.enter_async_context(instant_server(returns, side_px=SIDE_PX, cores=cores[:1]))
                for returns in LABELS
            }
            contestants = {returns: _load(server) for returns, server in servers.items()}
            await in_turns(contestants, 1, attempts=1)
            found = await in_turns(contestants, rounds)
        return _report(found, _costs_ms())


def _load(server: Server) -> Callable[[int], Awaitable[Measured]]:
    async def load(number: int) -> Measured:
        server_s, client_s = server.cpu_s(), time.process_time()
        done = await closed_loop(server.port, bodies(same_size(REQUESTS, first_seed=number)), clients=CLIENTS)
        assert not done.failures, f"{done.failures} of {REQUESTS} requests failed"
        server_ms, client_ms = (server.cpu_s() - server_s) * 1e3, (time.process_time() - client_s) * 1e3
        return Measured(done.pictures_per_s, server_ms / REQUESTS, client_ms / REQUESTS)

    return load


def _report(contest: Contest[Measured], costs_ms: dict[str, float]) -> Report:
    report, found = Report("wire"), contest.results
    rates = {returns: spread([m.pictures_per_s for m in each]) for returns, each in found.items()}
    for returns in ("file", "pixels"):
        report.claim(
            f"1024x1024 base64 images/s on one core, {LABELS[returns]}",
            target=f"at least {TARGET:.0f}",
            measured=rates[returns].format(0),
            met=rates[returns].median >= TARGET,
        )
    rows = [
        (
            LABELS[returns],
            rates[returns].format(0),
            f"{spread([m.server_ms for m in each]).median:.2f}",
            f"{spread([m.client_ms for m in each]).median:.2f}",
        )
        for returns, each in found.items()
    ]
    size_mb = len(as_png(photograph(SIDE_PX)).data) / 1e6
    report.table(
        f"{CLIENTS} clients, {REQUESTS} requests a round; the PNG has {size_mb:.2f} MB.",
        ("server", "images/s", "server CPU ms/image", "client CPU ms/image"),
        rows,
    )
    report.table(
        "What the parts cost alone, one thread.",
        ("part", "ms"),
        [(part, f"{ms:.2f}") for part, ms in costs_ms.items()],
    )
    report.remarks.append(remark(contest))
    report.numbers |= {LABELS[returns]: rate for returns, rate in rates.items()}
    report.numbers |= costs_ms
    return report


def _costs_ms() -> dict[str, float]:
    """The unavoidable parts of one reply, each alone."""
    picture = photograph(SIDE_PX)
    file = as_png(picture).data
    text = pybase64.b64encode(file)
    with _swallowed() as sender:
        return {
            "PNG encoding": _median_ms(lambda: encode(picture, Output())),
            "base64": _median_ms(lambda: pybase64.b64encode(file)),
            "copying the body once": _median_ms(lambda: b"{" + text),
            "sending the body over a local socket": _median_ms(lambda: sender.sendall(text)),
        }


def _median_ms(work: Callable[[], object], times: int = 20) -> float:
    seconds = []
    for _ in range(times):
        started_s = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started_s)
    return spread(seconds).median * 1e3


@contextmanager
def _swallowed() -> Iterator[socket.socket]:
    """A connected TCP socket whose other end reads and forgets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()

    def swallow() -> None:
        buffer = bytearray(1 << 20)
        while receiver.recv_into(buffer):
            pass

    thread = threading.Thread(target=swallow)
    thread.start()
    try:
        yield sender
    finally:
        sender.close()
        thread.join()
        receiver.close()


@contextmanager
def _pinned(cores: Collection[int]) -> Iterator[None]:
    """This process on those cores for a while."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
