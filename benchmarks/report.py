"""What a benchmark found: claims held against their targets, tables and remarks, as text and as JSON."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.spread import Spread


@dataclass(frozen=True, slots=True)
class Claim:
    """One target and what was measured against it."""

    what: str
    target: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under one header."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(slots=True)
class Report:
    """One benchmark's outcome; ``numbers`` are its raw medians and spreads by name."""

    name: str
    claims: list[Claim] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    numbers: dict[str, float | Spread] = field(default_factory=dict)

    def claim(self, what: str, *, target: str, measured: str, met: bool, failed: int = 0) -> None:
        """Hold a measured value against its target, which is missed if any of what was compared has failed: a failing
        contestant makes the other one look fast."""
        shown = f"{measured}, {failed} failed" if failed else measured
        self.claims.append(Claim(what, target, shown, met and not failed))

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table."""
        self.tables.append(Table(title, tuple(header), tuple(tuple(row) for row in rows)))

    def text(self) -> str:
        """The report as Markdown."""
        parts = [f"## {self.name}"]
        if self.claims:
            rows = [(c.what, c.target, c.measured, "yes" if c.met else "NO") for c in self.claims]
            parts.append(markdown_table(("claim", "target", "measured", "met"), rows))
        parts += [f"{table.title}\n\n{markdown_table(table.header, table.rows)}" for table in self.tables]
        return "\n\n".join([*parts, *self.remarks]) + "\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A pipe table with aligned columns."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) + " |" for r in lines)


def machine() -> dict[str, str]:
    """What the numbers depend on."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cpu": f"{os.cpu_count()} x {_cpu_name()}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "diffusers", "fastapi", "uvicorn", "uvloop", "pillow", "fpng")},
    }


def as_json(reports: Sequence[Report]) -> dict[str, Any]:
    """Everything, as plain values."""
    return {"machine": machine(), "benchmarks": [asdict(report) for report in reports]}


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
