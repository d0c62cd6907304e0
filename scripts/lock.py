"""Write ``requirements/run.txt`` and ``requirements/dev.txt``: every package set-up installs, pinned.

Owns the two lock files. Asks pip's resolver what pyproject's ranges lead to today and writes that down, without torch
and its CUDA packages, which ``scripts/setup.py`` chooses per machine. The resolution happens under the Python that runs
this; for the other supported ones the same graph is walked again, which gives the environment markers, and every pin is
checked to have a wheel. Run by ``make lock``.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
TORCH = "torch==2.13.0"
# The editable install of the checkout is built inside the environment, by these.
BUILD = ("hatchling>=1.27", "editables>=0.5")
CHOSEN_PER_MACHINE = ("torch", "triton", "nvidia-", "cuda-")

Graph = dict[str, tuple[str, list[Requirement]]]  # name -> version, what it requires


def main() -> None:
    """Resolve, then write both files; the development one holds only what the other lacks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run = [Requirement(text) for text in (*project["dependencies"], *BUILD)]
    dev = [*run, *(Requirement(text) for text in project["optional-dependencies"]["dev"])]
    graph = resolve(dev)
    run_pins, dev_pins = pins(graph, run), pins(graph, dev)
    write("run.txt", run_pins, "What limner runs on, and the two packages that install the checkout.")
    write("dev.txt", [pin for pin in dev_pins if pin not in run_pins], "What the tests need beyond run.txt.")
    for python in PYTHONS:
        check_wheels(python)


def resolve(requirements: list[Requirement]) -> Graph:
    """Ask pip for a consistent set of the newest versions, installing nothing."""
    line = ["install", "--dry-run", "--ignore-installed", "-qq", "--report", "-", TORCH]
    report: dict[str, Any] = json.loads(run_pip(*line, *(str(requirement) for requirement in requirements)))
    return {
        canonicalize_name(item["metadata"]["name"]): (
            item["metadata"]["version"],
            [Requirement(text) for text in item["metadata"].get("requires_dist", [])],
        )
        for item in report["install"]
    }


def pins(graph: Graph, roots: list[Requirement]) -> list[str]:
    """One ``name==version`` line per package, with a marker where not every supported Python needs it."""
    reached = {python: closure(graph, roots, python) for python in PYTHONS}
    lines = []
    for name in sorted(set().union(*reached.values())):
        if name.startswith(CHOSEN_PER_MACHINE):
            continue
        pythons = [python for python in PYTHONS if name in reached[python]]
        marker = "" if len(pythons) == len(PYTHONS) else f'; python_version <= "{pythons[-1]}"'
        assert pythons[0] == PYTHONS[0], f"{name} is needed by newer Pythons only: resolve under one of them"
        lines.append(f"{name}=={graph[name][0]}{marker}")
    return lines


def closure(graph: Graph, roots: list[Requirement], python: str) -> set[str]:
    """The names that ``roots`` lead to under one Python version, on Linux."""
    pretended = {"python_version": python, "python_full_version": python + ".0"}
    reached: set[str] = set()
    seen: set[tuple[str, str]] = set()
    # torch is not among the distribution's pins, but what every build of it needs is.
    todo = [(requirement, "") for requirement in (*roots, Requirement("torch"))]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({**pretended, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name not in graph:
            raise SystemExit(f"Python {python} needs {requirement}, which was not resolved: lock under that version")
        reached.add(name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                todo += [(following, wanted) for following in graph[name][1]]
    return reached


def check_wheels(python: str) -> None:
    """Fail unless every pin has a wheel for this Python on Linux x86-64."""
    files = [part for name in ("run.txt", "dev.txt") for part in ("-r", str(ROOT / "requirements" / name))]
    with tempfile.TemporaryDirectory() as target:
        where = ["--python-version", python, "--only-binary", ":all:", "--target", target]
        run_pip("install", "--dry-run", "--no-deps", "-qq", *where, *files)
    print(f"every pin has a wheel for Python {python}")


def write(name: str, lines: list[str], purpose: str) -> None:
    """Write one lock file."""
    header = f"# {purpose} Written by `make lock`; do not edit.\n"
    (ROOT / "requirements" / name).write_text(header + "\n".join(lines) + "\n")
    print(f"requirements/{name}: {len(lines)} packages")


def run_pip(*arguments: str) -> str:
    """Run pip and return what it printed; its errors go to the terminal."""
    line = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


if __name__ == "__main__":
    main()
