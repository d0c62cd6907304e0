"""One request at a time: latency over HTTP against the bare pipeline called in process, on the same pictures."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import orjson

from benchmarks.connection import connected
from benchmarks.contest import in_turns
from benchmarks.drawings import default_drawing
from benchmarks.load import one
from benchmarks.report import Report
from benchmarks.servers import Bare, Server, bare_pipeline, baseline_server, limner_server
from benchmarks.spread import percentile, ratios, spread

TARGET = 1.08
PICTURES_A_ROUND = 5
WARM_UPS = 3


async def run(rounds: int) -> Report:
    """Every contestant draws the same picture in turn; the pairs are compared."""
    async with AsyncExitStack() as stack:
        bares = [await stack.enter_async_context(bare_pipeline(threads)) for threads in (1, 0)]
        servers = [
            await stack.enter_async_context(limner_server()),
            await stack.enter_async_context(baseline_server(1)),
            await stack.enter_async_context(baseline_server(0)),
        ]
        inside_s: list[float] = []
        contestants: dict[str, Callable[[int], Awaitable[float]]] = {
            "bare call, 1 thread": _bare(bares[0]),
            "bare call, default threads": _bare(bares[1]),
        }
        for server in servers:
            contestants[server.name] = _over_http(server, inside_s)
        await in_turns(contestants, WARM_UPS)
        inside_s.clear()
        seconds = await in_turns(contestants, rounds * PICTURES_A_ROUND)
    return _report(seconds, inside_s)


def _bare(bare: Bare) -> Callable[[int], Awaitable[float]]:
    async def draw(number: int) -> float:
        return (await bare.draw(default_drawing(number))).total_s

    return draw


def _over_http(server: Server, inside_s: list[float]) -> Callable[[int], Awaitable[float]]:
    """Seconds of one exchange; ``inside_s`` collects what limner says its engine took of it.

    Every exchange has its own connection: servers close those that idle while the others have their turn.
    """

    async def draw(number: int) -> float:
        async with connected(server.port) as connection:
            outcome = await one(connection, default_drawing(number).body())
        if server.name == "limner":
            timings = orjson.loads(outcome.body)["limner"]["timings_s"]
            inside_s.append(timings.get("total", timings.get("total_s", 0.0)))
        return outcome.seconds

    return draw


def _report(seconds: dict[str, list[float]], inside_s: list[float]) -> Report:
    report = Report("solo")
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
    count = len(seconds["limner"])
    report.table(
        f"One 256x256 picture, {default_drawing().num_inference_steps} steps, one request at a time, {count} each, in"
        f" turns; ratios are of pairs, median and quartiles.",
        ("contestant", "p50 ms", "p90 ms", f"/ {bare}"),
        rows,
    )
    outside = spread([(a - b) * 1e3 for a, b in zip(seconds["limner"], inside_s, strict=True)])
    report.remarks.append(f"Of limner's time {outside.format(1, ' ms')} are outside its engine: HTTP, job, encoding.")
    report.numbers |= {name: spread(values) for name, values in seconds.items()}
    report.numbers |= {"ratio": ratio, "outside_engine_ms": outside}
    return report
