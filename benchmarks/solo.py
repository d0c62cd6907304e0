"""One request at a time: latency over HTTP against the bare pipeline called in process, on the same pictures."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import orjson

from benchmarks.connection import connected
from benchmarks.contest import Contest, in_turns, remark
from benchmarks.drawings import default_drawing
from benchmarks.load import one
from benchmarks.report import Report
from benchmarks.servers import Bare, Server, bare_pipeline, baseline_server, limner_server
from benchmarks.spread import percentile, ratios, spread

TARGET = 1.08
TURNS_A_ROUND = 4


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds for one picture, and of these what limner says its engine took."""

    seconds: float
    inside_s: float = 0.0


async def run(rounds: int) -> Report:
    """Every contestant draws the same picture in turn; the pairs are compared."""
    async with AsyncExitStack() as stack:
        contestants: dict[str, Callable[[int], Awaitable[Timed]]] = {}
        for threads in (1, 0):
            bare = await stack.enter_async_context(bare_pipeline(threads))
            contestants[f"bare call, {threads or 'default'} threads"] = _bare(bare)
        for server in (limner_server(), baseline_server(1), baseline_server(0)):
            started = await stack.enter_async_context(server)
            contestants[started.name] = _over_http(started)
        await in_turns(contestants, TURNS_A_ROUND, attempts=1)
        contest = await in_turns(contestants, rounds * TURNS_A_ROUND, first=TURNS_A_ROUND)
    return _report(contest)


def _bare(bare: Bare) -> Callable[[int], Awaitable[Timed]]:
    async def draw(number: int) -> Timed:
        return Timed((await bare.draw(default_drawing(number))).total_s)

    return draw


def _over_http(server: Server) -> Callable[[int], Awaitable[Timed]]:
    """One exchange on a connection of its own: servers close those that idle while the others have their turn."""

    async def draw(number: int) -> Timed:
        async with connected(server.port) as connection:
            outcome = await one(connection, default_drawing(number).body())
        about = orjson.loads(outcome.body).get("limner", {})
        return Timed(outcome.seconds, about.get("timings_s", {}).get("total", 0.0))

    return draw


def _report(contest: Contest[Timed]) -> Report:
    report = Report("solo")
    seconds = {name: [timed.seconds for timed in each] for name, each in contest.results.items()}
    bare = min((name for name in seconds if name.startswith("bare")), key=lambda name: spread(seconds[name]).median)
    ratio = ratios(seconds["limner"], seconds[bare])
    report.claim(
        f"p50 of limner over HTTP / {bare} with encoding",
        target=f"at most {TARGET}",
        measured=ratio.format(),
        met=ratio.median <= TARGET,
    )
    rows = [
        (name, f"{spread(s).median * 1e3:.0f}", f"{percentile(s, 0.9) * 1e3:.0f}", ratios(s, seconds[bare]).format())
        for name, s in seconds.items()
    ]
    report.table(
        f"One 256x256 picture, {default_drawing().num_inference_steps} steps, one request at a time,"
        f" {len(seconds['limner'])} each, in turns; ratios are of pairs, median and quartiles.",
        ("contestant", "p50 ms", "p90 ms", f"/ {bare}"),
        rows,
    )
    outside = spread([(timed.seconds - timed.inside_s) * 1e3 for timed in contest["limner"]])
    report.remarks += [
        f"Of limner's time {outside.format(1, ' ms')} are outside its engine: HTTP, job, encoding.",
        remark(contest),
    ]
    report.numbers |= {name: spread(values) for name, values in seconds.items()}
    report.numbers |= {"ratio": ratio, "outside_engine_ms": outside}
    return report
