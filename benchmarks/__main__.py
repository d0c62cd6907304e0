"""``python -m benchmarks [NAME ...] [--rounds N] [--json FILE] [--list]``"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import orjson
import uvloop

from benchmarks import crowd, dialects, durability, mixed, overhead, queue, sameness, solo, start, throughput, wire
from benchmarks.report import Report, as_json, machine

BENCHMARKS: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (solo, throughput, mixed, sameness, start, wire, crowd, overhead, dialects, queue, durability)
}


def summary(module: ModuleType) -> str:
    """A benchmark's line: the first of its module's docstring."""
    return (module.__doc__ or "").partition("\n")[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is named, or everything; returns 0 whether or not targets are met, as noise is no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure limner.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all of them by default")
    parser.add_argument("--rounds", type=int, default=5, help="paired rounds of every comparison (at least 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    parser.add_argument("--list", action="store_true", help="say what there is")
    options = parser.parse_args(argv)
    if options.list:
        for name, module in BENCHMARKS.items():
            print(f"{name:<12}{summary(module)}")
        return 0
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if options.rounds < 2:
        parser.error("--rounds must be at least 2: nothing is timed once")
    print("\n".join(f"{name}: {value}" for name, value in machine().items()), end="\n\n", flush=True)
    reports = [_run(name, options.rounds) for name in options.names or BENCHMARKS]
    if options.json:
        options.json.write_bytes(orjson.dumps(as_json(reports), option=orjson.OPT_INDENT_2) + b"\n")
    return 0


def _run(name: str, rounds: int) -> Report:
    print(f"running {name} ...", file=sys.stderr, flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report: Report = runner.run(BENCHMARKS[name].run(rounds))
    print(report.text(), flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main())
