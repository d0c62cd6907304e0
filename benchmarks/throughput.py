"""Many at once: images a second against the plain server with a lock, at 1 to 16 clients."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from benchmarks.contest import ATTEMPTS, Contest, in_turns, remark
from benchmarks.drawings import bodies, default_drawing, same_size
from benchmarks.load import Round, closed_loop
from benchmarks.report import Report
from benchmarks.servers import Server, baseline_server, limner_server
from benchmarks.spread import Spread, ratios, spread

TARGET = 2.0
TARGET_CLIENTS = 8
REQUESTS = {1: 4, 2: 6, 4: 8, 8: 16, 16: 16}  # by clients
CALIBRATION_CLIENTS = 4


async def run(rounds: int) -> Report:
    """Closed loops in turns; the plain server runs with the thread count that serves it better."""
    async with AsyncExitStack() as stack:
        limner = await stack.enter_async_context(limner_server())
        plain = [await stack.enter_async_context(baseline_server(threads)) for threads in (1, 0)]
        for server in (limner, *plain):
            await closed_loop(server.port, bodies(same_size(8)), clients=4)
        calibration = await in_turns({s.name: _rounds(s, CALIBRATION_CLIENTS) for s in plain}, max(2, rounds // 2))
        plain_rates = {name: spread([r.pictures_per_s for r in found]) for name, found in calibration.results.items()}
        better = max(plain, key=lambda server: plain_rates[server.name].median)
        found: dict[int, Contest[Round]] = {}
        for clients in REQUESTS:
            contestants = {server.name: _rounds(server, clients) for server in (limner, better)}
            found[clients] = await in_turns(contestants, rounds, first=ATTEMPTS * rounds * clients)
    return _report(found, better.name, plain_rates)


def _rounds(server: Server, clients: int) -> Callable[[int], Awaitable[Round]]:
    async def load(number: int) -> Round:
        drawings = same_size(REQUESTS[clients], first_seed=1000 * number)
        return await closed_loop(server.port, bodies(drawings), clients=clients)

    return load


def _report(found: dict[int, Contest[Round]], plain: str, plain_rates: dict[str, Spread]) -> Report:
    report = Report("throughput")
    rows = []
    for clients, contest in found.items():
        rounds = contest.results
        rates = {name: [r.pictures_per_s for r in each] for name, each in rounds.items()}
        ratio = ratios(rates["limner"], rates[plain])
        latency_s = {name: spread([o.seconds for r in each for o in r.outcomes]) for name, each in rounds.items()}
        failures = sum(r.failures for each in rounds.values() for r in each)
        rows.append(
            (
                str(clients),
                spread(rates["limner"]).format(),
                spread(rates[plain]).format(),
                ratio.format(),
                f"{latency_s['limner'].median:.2f} / {latency_s[plain].median:.2f}",
                str(failures),
            )
        )
        report.numbers[f"ratio at {clients}"] = ratio
        if clients == TARGET_CLIENTS:
            report.claim(
                f"images/s of limner / plain server, {clients} at once",
                target=f"at least {TARGET}",
                measured=ratio.format(),
                met=ratio.median >= TARGET,
                failed=failures,
            )
    report.table(
        f"256x256, {default_drawing().num_inference_steps} steps, closed loop; medians and quartiles of"
        f" {len(found[1]['limner'])} rounds in turns.",
        ("clients", "limner images/s", f"{plain} images/s", "ratio", "p50 s, limner / plain", "failed"),
        rows,
    )
    chosen = "; ".join(f"{name} {rate.format()}" for name, rate in plain_rates.items())
    report.remarks += [
        f"The plain server's threads were chosen by images/s at {CALIBRATION_CLIENTS}: {chosen}.",
        remark(*found.values()),
    ]
    return report
