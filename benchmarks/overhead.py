"""What one request costs in limner outside engine and encoding: parsing, resolving, the job, the reply."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.connection import connected
from benchmarks.contest import Contest, in_turns, remark
from benchmarks.drawings import default_drawing
from benchmarks.load import closed_loop, one
from benchmarks.report import Report
from benchmarks.servers import Server, instant_server
from benchmarks.spread import percentile, spread

SIDE_PX = 32  # a picture of next to no bytes
PAIRS_A_ROUND = 200
REQUESTS = 1000
CLIENTS = 16


@dataclass(frozen=True, slots=True)
class Pair:
    """Seconds of one request to limner and of one to the server that answers constant bytes, right after it."""

    limner_s: float
    constant_s: float


async def run(rounds: int) -> Report:
    """One request at a time in pairs, then the processor time a request at 16 clients."""
    async with AsyncExitStack() as stack:
        limner = await stack.enter_async_context(instant_server("file", side_px=SIDE_PX))
        constant = await stack.enter_async_context(instant_server("constant", side_px=SIDE_PX))
        for server in (limner, constant):
            await _load(server)(0)
        alone = await in_turns({"pairs": _pairs(limner, constant)}, rounds)
        loaded = await in_turns({"limner": _load(limner), "constant": _load(constant)}, rounds)
    return _report(alone, loaded)


def _pairs(limner: Server, constant: Server) -> Callable[[int], Awaitable[list[Pair]]]:
    async def exchange(number: int) -> list[Pair]:
        body = default_drawing(number).body()
        async with connected(limner.port) as first, connected(constant.port) as second:
            return [
                Pair((await one(first, body)).seconds, (await one(second, body)).seconds) for _ in range(PAIRS_A_ROUND)
            ]

    return exchange


def _load(server: Server) -> Callable[[int], Awaitable[float]]:
    """Processor milliseconds of the server for one request."""

    async def load(number: int) -> float:
        before_s = server.cpu_s()
        done = await closed_loop(server.port, [default_drawing(number).body()] * REQUESTS, clients=CLIENTS)
        assert not done.failures, f"{done.failures} of {REQUESTS} requests failed"
        return (server.cpu_s() - before_s) / REQUESTS * 1e3

    return load


def _report(alone: Contest[list[Pair]], loaded: Contest[float]) -> Report:
    report = Report("overhead")
    pairs = [pair for each in alone["pairs"] for pair in each]
    own = spread([(pair.limner_s - pair.constant_s) * 1e3 for pair in pairs])
    cpu = {name: spread(ms) for name, ms in loaded.results.items()}
    rows = [
        (label, f"{spread(s).median * 1e3:.2f}", f"{percentile(s, 0.99) * 1e3:.2f}", cpu[name].format())
        for name, label, s in (
            ("limner", "limner", [pair.limner_s for pair in pairs]),
            ("constant", "no limner: constant bytes by Starlette", [pair.constant_s for pair in pairs]),
        )
    ]
    header = ("server", "p50 ms", "p99 ms", f"CPU ms a request, {CLIENTS} clients")
    report.table(f"One request at a time, {len(pairs)} pairs; pictures of next to no bytes.", header, rows)
    report.remarks += [f"Of each request {own.format(2, ' ms')} are limner's own work.", remark(alone), remark(loaded)]
    report.numbers |= {"own_ms": own, "cpu_ms": cpu["limner"]}
    return report
