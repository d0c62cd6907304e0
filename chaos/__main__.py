"""``python -m chaos [--database D ...] [--kills N] [--seconds S] [--seed N] [--keep]``"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chaos.figures import table
from chaos.layouts import LAYOUTS, Layout
from chaos.postgres import NoPostgres
from chaos.run import Found, Plan, run
from chaos.servers import Trouble


def main(argv: Sequence[str] | None = None) -> int:
    """Run on each database; 1 when any promise was broken, a server failed or there is no PostgreSQL."""
    options = _parser().parse_args(argv)
    plan = Plan(options.kills, options.seconds, options.seed)
    found: dict[str, Found] = {}
    trouble = False
    for name in options.database or LAYOUTS:
        print(f"chaos on {name} ...", file=sys.stderr, flush=True)
        try:
            found[name] = _run(LAYOUTS[name], plan, keep=options.keep)
        except (Trouble, NoPostgres) as error:
            print(f"{name}: {error}", file=sys.stderr)
            trouble = True
    print(table({name: each.figures for name, each in found.items()}))
    for name, each in found.items():
        for fault in each.faults:
            print(f"{name}: {fault}")
    return int(trouble or any(each.faults for each in found.values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chaos", description="Kill limner's processes and count what is lost."
    )
    parser.add_argument(
        "--database",
        action="append",
        choices=LAYOUTS,
        help="which layout; all of them by default, two on either database",
    )
    parser.add_argument("--kills", type=int, default=10, help="kill -9 of a process group, in each layout")
    parser.add_argument("--seconds", type=float, default=240.0, help="the longest that killing may take, in each")
    parser.add_argument("--seed", type=int, default=1, help="of requests, kills and waits")
    parser.add_argument("--keep", action="store_true", help="leave data and logs there, and say where")
    return parser


def _run(layout: Layout, plan: Plan, *, keep: bool) -> Found:
    directory = Path(tempfile.mkdtemp(prefix=f"limner-chaos-{layout.name}-"))
    try:
        return asyncio.run(run(layout, plan, directory))
    finally:
        if keep:
            print(f"{layout.name}: data and logs are in {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
