"""Two hundred clients at the same moment: everyone gets a picture or a 429 with Retry-After, and memory comes back."""

import asyncio
from collections import Counter
from dataclasses import replace

from benchmarks.drawings import bodies, same_size
from benchmarks.load import Outcome, Round, all_at_once
from benchmarks.report import Report
from benchmarks.servers import limner_server
from benchmarks.spread import percentile

CLIENTS = 200
STEPS = 4
GROWTH_TARGET = 0.10  # of the resident memory after the warm-up round
SETTLE_S = 3.0
MIB = 1024 * 1024


async def run(rounds: int) -> Report:
    """A warm-up round, then ``rounds`` more; memory is read when each has been over for a while."""
    drawings = [replace(drawing, num_inference_steps=STEPS) for drawing in same_size(CLIENTS)]
    async with limner_server() as limner:
        resident_mib = [limner.resident_bytes() / MIB]
        found: list[Round] = []
        for _ in range(1 + rounds):
            found.append(await all_at_once(limner.port, bodies(drawings)))
            await asyncio.sleep(SETTLE_S)
            resident_mib.append(limner.resident_bytes() / MIB)
        peak_mib = limner.peak_bytes() / MIB
    return _report(found, resident_mib, peak_mib)


def _report(found: list[Round], resident_mib: list[float], peak_mib: float) -> Report:
    report = Report("crowd")
    outcomes = [outcome for each in found for outcome in each.outcomes]
    improper = [outcome for outcome in outcomes if not _is_proper(outcome)]
    report.claim(
        f"answers other than a picture or a 429 with Retry-After, {CLIENTS} clients at once",
        target="0",
        measured=f"{len(improper)} of {len(outcomes)}",
        met=not improper,
    )
    growth = resident_mib[-1] / resident_mib[1] - 1
    report.claim(
        f"memory after {len(found) - 1} more rounds / after the warm-up round",
        target=f"grown by at most {GROWTH_TARGET:.0%}",
        measured=f"{growth:+.1%} ({resident_mib[1]:.0f} -> {resident_mib[-1]:.0f} MiB)",
        met=growth <= GROWTH_TARGET,
    )
    rows = [("started", "", "", "", f"{resident_mib[0]:.0f}")]
    for number, each in enumerate(found):
        statuses = Counter(outcome.status for outcome in each.outcomes)
        accepted_s = [outcome.seconds for outcome in each.outcomes if outcome.is_picture]
        refused_s = [outcome.seconds for outcome in each.outcomes if not outcome.is_picture]
        rows.append(
            (
                "warm-up" if number == 0 else f"round {number}",
                ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items())),
                f"{percentile(accepted_s, 1.0):.1f}" if accepted_s else "-",
                f"{percentile(refused_s, 1.0):.2f}" if refused_s else "-",
                f"{resident_mib[number + 1]:.0f}",
            )
        )
    header = ("round", "answers", "slowest picture s", "slowest refusal s", "resident MiB afterwards")
    report.table(f"{CLIENTS} requests at once, 256x256, {STEPS} steps; peak {peak_mib:.0f} MiB.", header, rows)
    return report


def _is_proper(outcome: Outcome) -> bool:
    refused = outcome.status == 429 and (outcome.retry_after or "").isdigit()
    return outcome.is_picture or refused
