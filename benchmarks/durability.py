"""What durability costs: images a second with the database and pictures on disk, against both in memory."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.contest import Contest, in_turns, remark
from benchmarks.drawings import bodies, default_drawing, same_size
from benchmarks.load import Round, closed_loop
from benchmarks.report import Report
from benchmarks.servers import Server, limner_server
from benchmarks.spread import ratios, spread

TARGET = 0.97
CLIENTS = 8
REQUESTS = 24  # a round
IN_MEMORY = {"database": "sqlite://", "blobs": "memory://"}


@dataclass(frozen=True, slots=True)
class Measured:
    """One round, and the server's processor milliseconds for each of its images."""

    round: Round
    cpu_ms: float


async def run(rounds: int) -> Report:
    """Closed loops in turns, of a server as it is by default and of one that forgets."""
    async with AsyncExitStack() as stack:
        durable = await stack.enter_async_context(limner_server())
        forgetful = await stack.enter_async_context(limner_server(IN_MEMORY))
        for server in (durable, forgetful):
            await closed_loop(server.port, bodies(same_size(CLIENTS)), clients=CLIENTS)
        contest = await in_turns({"on disk": _load(durable), "in memory": _load(forgetful)}, rounds)
    return _report(contest)


def _load(server: Server) -> Callable[[int], Awaitable[Measured]]:
    async def load(number: int) -> Measured:
        before_s = server.cpu_s()
        drawn = await closed_loop(server.port, bodies(same_size(REQUESTS, 1000 * number)), clients=CLIENTS)
        return Measured(drawn, (server.cpu_s() - before_s) / REQUESTS * 1e3)

    return load


def _report(contest: Contest[Measured]) -> Report:
    report = Report("durability")
    rates = {name: [each.round.pictures_per_s for each in found] for name, found in contest.results.items()}
    ratio = ratios(rates["on disk"], rates["in memory"])
    rows = [
        (
            name,
            spread(rates[name]).format(),
            spread([outcome.seconds for each in found for outcome in each.round.outcomes]).format(),
            spread([each.cpu_ms for each in found]).format(0),
            str(sum(each.round.failures for each in found)),
        )
        for name, found in contest.results.items()
    ]
    report.table(
        f"256x256, {default_drawing().num_inference_steps} steps, closed loop of {CLIENTS} clients; medians and"
        f" quartiles of {len(contest['on disk'])} rounds of {REQUESTS} in turns.",
        ("database and pictures", "images/s", "latency s", "CPU ms an image", "failed"),
        rows,
    )
    report.claim(
        f"images/s on disk / in memory, {CLIENTS} at once",
        target=f"at least {TARGET}",
        measured=ratio.format(3),
        met=ratio.median >= TARGET,
        failed=sum(each.round.failures for found in contest.results.values() for each in found),
    )
    cpu = ratios(*([each.cpu_ms for each in contest[name]] for name in ("on disk", "in memory")))
    report.remarks += [f"Processor time an image, on disk / in memory: {cpu.format(3)}.", remark(contest)]
    report.numbers |= {"ratio": ratio, "cpu_ratio": cpu}
    return report
