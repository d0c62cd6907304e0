"""What a run came to: figures by name, and the table of several runs side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks.report import markdown_table
from chaos.asks import Told
from chaos.audit import Fault, difference_micro
from chaos.snapshot import Snapshot

LOST = ("lost job", "unfinished job", "image count", "missing blob")
DUPLICATES = ("duplicate job", "duplicate image", "charged twice")

Figures = Mapping[str, str]


def figures(told: Sequence[Told], snapshot: Snapshot, faults: Sequence[Fault]) -> dict[str, str]:
    """What clients and database say, counted."""
    statuses = Counter(job.status for job in snapshot.jobs)
    reasons = Counter(str((job.error or {}).get("code")) for job in snapshot.jobs if job.status == "failed")
    accepted = {job_id for each in told for job_id in each.job_ids}
    return {
        "asks": str(len(told)),
        "requests sent": str(sum(each.tries for each in told)),
        "accepted": str(len(accepted)),
        "accepted, answer never seen": str(len({job.id for job in snapshot.jobs} - accepted)),
        "refused (no credits)": str(sum(each.refused is not None for each in told)),
        "finished": str(statuses["finished"]),
        "failed": _with_reasons(statuses["failed"], reasons),
        "cancelled": str(statuses["cancelled"]),
        "pictures": str(len(snapshot.images)),
        "finished after a crash": str(sum(job.status == "finished" and job.crashes > 0 for job in snapshot.jobs)),
        "most crashes of one job": str(max((job.crashes for job in snapshot.jobs), default=0)),
        "lost": str(_count(faults, LOST)),
        "duplicates": str(_count(faults, DUPLICATES)),
        "ledger difference, micro-credits": str(sum(map(abs, difference_micro(snapshot).values()))),
    }


def table(runs: Mapping[str, Figures]) -> str:
    """One column a run; a figure that a run does not have stays empty."""
    names = dict.fromkeys(name for run in runs.values() for name in run)
    rows = [(name, *(run.get(name, "") for run in runs.values())) for name in names]
    return markdown_table(("", *runs), rows)


def _count(faults: Sequence[Fault], kinds: tuple[str, ...]) -> int:
    return sum(fault.kind in kinds for fault in faults)


def _with_reasons(count: int, reasons: Counter[str]) -> str:
    told = ", ".join(f"{code} {number}" for code, number in reasons.most_common())
    return f"{count} ({told})" if told else "0"
