"""Arguments, exit codes and how errors look."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from limner import __version__, errors
from limner.cli.exits import MEANINGS, ExitCode, exit_code_of
from tests.cli.conftest import Run
from tests.fakes import FakeBackend

HEAVY = {"torch", "fastapi", "httpx2", "pydantic", "rich", "numpy", "PIL"}


def all_errors(root: type[errors.LimnerError]) -> set[type[errors.LimnerError]]:
    return {root, *(found for child in root.__subclasses__() for found in all_errors(child))}


def test_the_version_on_its_own_and_as_an_option(run: Run) -> None:
    assert run("version").out == run("--version").out == f"limner {__version__}\n"


def test_without_a_command_the_help_goes_to_stderr(run: Run) -> None:
    ran = run()
    assert (ran.code, ran.out) == (ExitCode.INVALID, "")
    assert ran.err == run("--help").out


def test_a_file_that_cannot_be_written_is_named(run: Run, here: FakeBackend) -> None:
    ran = run("generate", "x", "-o", "/proc/x.png", "-q")
    assert (ran.code, ran.out) == (ExitCode.FAILED, "")
    assert ran.err == "limner: '/proc/x.png': No such file or directory\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["paint"], "No such command 'paint'"),
        (["generate"], "Missing argument 'PROMPT'"),
        (["generate", "x", "--sise", "1x1"], "--size"),
        (["generate", "x", "--steps", "many"], "--steps"),
        (["generate", "x", "-n", "0"], "-n"),
        (["generate", "x", "--format", "gif"], "gif"),
        (["generate", "x", "-o", "a.tiff"], "'a.tiff': end it in one of .png, .jpg, .jpeg, .webp, or add --format"),
        (["generate", "x", "-o", "."], "it is a directory"),
        (["generate", "x", "-o", "none/a.png"], "there is no directory 'none'"),
        (["edit", "none.png", "x"], "cannot read image 'none.png': No such file or directory"),
        (["models", "--loaded"], "--server"),
        (["serve", "--port", "70000"], "70000"),
        (["serve", "--config", "none.toml"], "none.toml"),
        (["generate", "x", "--server", "ftp://x"], "ftp://x"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run: Run, arguments: list[str], said: str) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (ExitCode.INVALID, "")
    assert ran.err.startswith("limner: ")
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("error", sorted(all_errors(errors.LimnerError), key=str))
def test_every_error_has_an_exit_code_of_its_own_kind(error: type[errors.LimnerError]) -> None:
    code = exit_code_of(error("x"))
    assert code in MEANINGS
    assert code != ExitCode.OK
    assert (code == ExitCode.FAILED) == (error.status in (500, 502))


def test_help_and_version_are_light_and_quick() -> None:
    loads = f"import sys; from limner import cli; cli.main(['--help']); print({HEAVY!r} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True)
    assert shown.stdout.endswith("set()\n")
    assert "generate" in shown.stdout
    times = []
    for _ in range(3):
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", "limner", "version"], capture_output=True, check=True)
        times.append(time.monotonic() - started)
    assert min(times) < 1.0  # about 0.15 s on an idle machine


def test_a_reader_that_leaves_is_no_crash(tmp_path: Path) -> None:
    line = f"{sys.executable} -m limner models --json | head -c 1"
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("[", "")


def test_debug_shows_where_an_error_came_from(run: Run) -> None:
    line = [sys.executable, "-m", "limner", "generate", "x", "--server", "http://127.0.0.1:1"]
    plain = subprocess.run(line, capture_output=True, text=True)
    debug = subprocess.run([*line, "--log-level", "debug"], capture_output=True, text=True)
    assert plain.returncode == debug.returncode == ExitCode.UNREACHABLE
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr
