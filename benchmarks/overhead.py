"""What one request costs in limner outside engine and encoding: parsing, resolving, the job, the reply."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from benchmarks.connection import Connection, connected
from benchmarks.contest import in_turns
from benchmarks.drawings import default_drawing
from benchmarks.load import closed_loop, one
from benchmarks.report import Report
from benchmarks.servers import Server, instant_server
from benchmarks.spread import Spread, percentile, spread

SIDE_PX = 32  # a picture of next to no bytes
PAIRS_A_ROUND = 100
REQUESTS = 400
CLIENTS = 16
LABELS = {"file": "limner", "constant": "no limner: constant bytes by Starlette"}


async def run(rounds: int) -> Report:
    """One request at a time in pairs, then the processor time a request at 16 clients."""
    async with AsyncExitStack() as stack:
        servers = {name: await stack.enter_async_context(instant_server(name, side_px=SIDE_PX)) for name in LABELS}
        alone: dict[str, Callable[[int], Awaitable[float]]] = {}
        for name, server in servers.items():
            connection = await stack.enter_async_context(connected(server.port))
            alone[name] = _seconds(connection)
        for server in servers.values():
            await _load(server)(0)
        seconds = await in_turns(alone, rounds * PAIRS_A_ROUND, pause_s=0.0)
        processor = await in_turns({name: _load(server) for name, server in servers.items()}, max(2, rounds))
    return _report(seconds, {name: spread(ms) for name, ms in processor.items()})


def _seconds(connection: Connection) -> Callable[[int], Awaitable[float]]:
    async def exchange(number: int) -> float:
        return (await one(connection, default_drawing(number).body())).seconds

    return exchange


def _load(server: Server) -> Callable[[int], Awaitable[float]]:
    """Processor milliseconds of the server for one request."""

    async def load(number: int) -> float:
        before_s = server.cpu_s()
        await closed_loop(server.port, [default_drawing(number).body()] * REQUESTS, clients=CLIENTS)
        return (server.cpu_s() - before_s) / REQUESTS * 1e3

    return load


def _report(seconds: dict[str, list[float]], processor_ms: dict[str, Spread]) -> Report:
    report = Report("overhead")
    rows = [
        (
            LABELS[name],
            f"{spread(s).median * 1e3:.2f}",
            f"{percentile(s, 0.99) * 1e3:.2f}",
            processor_ms[name].format(),
        )
        for name, s in seconds.items()
    ]
    header = ("server", "p50 ms", "p99 ms", f"CPU ms a request, {CLIENTS} clients")
    report.table(f"One request at a time, {len(seconds['file'])} pairs; pictures of next to no bytes.", header, rows)
    own = spread([(a - b) * 1e3 for a, b in zip(seconds["file"], seconds["constant"], strict=True)])
    report.remarks.append(f"Of each request {own.format(2, ' ms')} are limner's own work.")
    report.numbers |= {"own_ms": own, "cpu_ms": processor_ms["file"]}
    return report
