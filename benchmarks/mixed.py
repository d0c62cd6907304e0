"""Eight clients with different sizes and steps at once: nothing may fail; images a second of both servers."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from benchmarks.contest import Contest, in_turns, remark
from benchmarks.drawings import bodies, mixed
from benchmarks.load import Round, closed_loop
from benchmarks.report import Report
from benchmarks.servers import Server, baseline_server, limner_server
from benchmarks.spread import ratios, spread

CLIENTS = 8
REQUESTS = 20


async def run(rounds: int) -> Report:
    """The same mixture to every server, in turns."""
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(limner_server()),
            await stack.enter_async_context(baseline_server(1)),
            await stack.enter_async_context(baseline_server(0)),
        ]
        contestants = {server.name: _rounds(server) for server in servers}
        await in_turns(contestants, 1, attempts=1)
        found = await in_turns(contestants, rounds, first=1)
    return _report(found)


def _rounds(server: Server) -> Callable[[int], Awaitable[Round]]:
    async def load(number: int) -> Round:
        return await closed_loop(server.port, bodies(mixed(REQUESTS, first_seed=1000 * number)), clients=CLIENTS)

    return load


def _report(contest: Contest[Round]) -> Report:
    report, found = Report("mixed"), contest.results
    sent = REQUESTS * len(found["limner"])
    failures = sum(each.failures for each in found["limner"])
    report.claim(
        f"failures of limner, {CLIENTS} clients, mixed sizes and steps",
        target="0",
        measured=f"{failures} of {sent}",
        met=failures == 0,
    )
    rates = {name: [each.pictures_per_s for each in rounds] for name, rounds in found.items()}
    rows = [
        (
            name,
            spread(rates[name]).format(),
            ratios(rates["limner"], rates[name]).format(),
            str(sum(each.failures for each in rounds)),
        )
        for name, rounds in found.items()
    ]
    shapes = sorted({(d.width_px, d.height_px) for d in mixed(REQUESTS)})
    steps = sorted({d.num_inference_steps for d in mixed(REQUESTS)})
    report.table(
        f"{sent} requests each; sizes {', '.join(f'{w}x{h}' for w, h in shapes)}; steps {', '.join(map(str, steps))}.",
        ("server", "images/s", "limner / it", "failed"),
        rows,
    )
    report.remarks.append(remark(contest))
    report.numbers |= {f"ratio to {name}": ratios(rates["limner"], rate) for name, rate in rates.items()}
    return report
