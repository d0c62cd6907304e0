"""docs/cli.md is what the commands say."""

from collections.abc import Iterator
from pathlib import Path

from limner.cli.exits import ExitCode
from scripts.cli_docs import render
from tests.cli.conftest import Run

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    assert render() == PAGE, "run: make docs"


def commands(run: Run, *path: str) -> Iterator[tuple[str, ...]]:
    """Every command, those of groups as several words."""
    listed = run(*path, "--help").out.partition("Commands:\n")[2].split("\n\n")[0]
    for line in listed.splitlines():
        if line.startswith("  ") and not line.startswith("   "):  # further lines of a help text are indented more
            command = (*path, line.split()[0])
            yield from tuple(commands(run, *command)) or (command,)


def test_every_command_and_option_of_the_help_is_on_the_page(run: Run) -> None:
    found = tuple(commands(run))
    assert {("generate",), ("keys", "create")} <= set(found)
    for command in found:
        section = PAGE.partition(f"\n## limner {' '.join(command)}\n")[2].partition("\n## ")[0]
        assert section
        shown = run(*command, "--help").out
        options = {word.rstrip(",") for word in shown.split() if word.startswith("--") and word != "--help"}
        assert [option for option in options if option not in section] == []


def test_every_exit_code_is_on_the_page() -> None:
    assert [code for code in ExitCode if f"| {code.value} | " not in PAGE] == []
