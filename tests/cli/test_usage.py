"""Arguments, exit codes and how errors look."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from limner import __version__, errors
from limner.cli.exits import MEANINGS, ExitCode, exit_code_of
from tests.cli.conftest import Run, Scripted
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


@pytest.mark.parametrize("number", [1, 2])
def test_a_file_that_cannot_be_written_is_named_before_drawing(run: Run, here: FakeBackend, number: int) -> None:
    ran = run("generate", "x", "-o", "/proc/x.png", "-q", "-n", number)
    name = "/proc/x.png" if number == 1 else "/proc/x_0.png"
    assert (ran.code, ran.out) == (ExitCode.INVALID, "")
    assert ran.err == f"limner: cannot write to {name!r}: No such file or directory\n"
    assert here.requests == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["paint"], "No such command 'paint'"),
        (["generate"], "Missing argument 'PROMPT'"),
        (["generate", "x", "--sise", "1x1"], "--size"),
        (["generate", "x", "--steps", "many"], "--steps"),
        (["generate", "x", "-n", "0"], "'-n' / '--number': Input should be greater than or equal to 1 (got '0')"),
        (["generate", "x", "-n", "11"], "'-n' / '--number': Input should be less than or equal to 10 (got '11')"),
        (["generate", "x", "--format", "gif"], "gif"),
        (["generate", "x", "-o", "a.tiff"], "'a.tiff': end it in one of .png, .jpg, .jpeg, .webp, or add --format"),
        (["generate", "x", "-o", "."], "it is a directory"),
        (["generate", "x", "-o", "none/a.png"], "there is no directory 'none'"),
        (["edit", "none.png", "x"], "cannot read image 'none.png': No such file or directory"),
        (["models", "--loaded"], "--server"),
        (["serve", "--port", "70000"], "70000"),
        (["serve", "--config", "none.toml"], "none.toml"),
        (["generate", "x", "--server", "ftp://x"], "ftp://x"),
        (["generate", "x", "--server", ""], "--server '' is not an http(s) URL such as http://127.0.0.1:8000"),
        (["generate", "x", "--server", "http://["], "--server 'http://[' is not an http(s) URL"),
        (["generate", "x", "--server", "http:///v1"], "it names no host"),
        (["generate", "x", "--server", "http://host:99999"], "--server 'http://host:99999' is not"),
        (["models", "--server", ""], "--server '' is not"),
        (["generate", "x", "--server", "http://h\udcff"], "'http://h\\udcff' is not valid UTF-8"),
        (["generate", "\udcff"], "'PROMPT': '\\udcff' is not valid UTF-8"),
        (["edit", "a.png", "\udcff"], "'PROMPT': '\\udcff' is not valid UTF-8"),
        (["edit", "a\udcff.png", "x"], "'a\\udcff.png' is not valid UTF-8"),
        (["edit", "a.png", "x", "--mask", "a\udcff.png"], "'--mask': 'a\\udcff.png' is not valid UTF-8"),
        (["generate", "x", "-o", "a\udcff.png"], "'a\\udcff.png' is not valid UTF-8"),
        (["generate", "x", "--negative-prompt", "\udcff"], "'--negative-prompt': '\\udcff' is not valid UTF-8"),
        (["generate", "x", "--model", "\udcff"], "'--model': '\\udcff' is not valid UTF-8"),
        (["generate", "x", "--size", "\udcff"], "'--size': '\\udcff' is not valid UTF-8"),
        (["generate", "x", "--guidance-scale", "nan"], "'--guidance-scale': nan is not a finite number"),
        (["generate", "x", "--guidance-scale", "inf"], "'--guidance-scale': inf is not a finite number"),
        (["edit", "a.png", "x", "--strength", "nan"], "'--strength': nan is not a finite number"),
        (["generate", "x", "--timeout", "inf"], "'--timeout': inf is not a finite number"),
        (
            ["generate", "x", "--timeout", "nan"],
            "'--timeout': Input should be greater than or equal to 0.001 (got 'nan')",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run: Run, arguments: list[str], said: str) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (ExitCode.INVALID, "")
    assert ran.err.startswith("limner: ")
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("key", ["secreté", "secret\n", "secret key", "", "secret\udcff"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(run: Run, key: str) -> None:
    ran = run("generate", "x", "--server", "http://127.0.0.1:1", "--api-key", key)
    assert (ran.code, ran.err.count("\n")) == (ExitCode.INVALID, 1)
    assert "--api-key" in ran.err
    assert "a key is printable ASCII characters without spaces" in ran.err
    assert "secret" not in ran.err


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


def process(command: str, data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``command`` of a shell, in which "limner" is the program, with a buffered stdout."""
    line = command.replace("limner", f"{sys.executable} -m limner", 1)
    variables = {**os.environ, "LIMNER_DATA": str(data), "PYTHONUNBUFFERED": "", **environment}
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=variables)


@pytest.mark.parametrize("command", ["version", "models", "keys list --json"])
def test_what_could_not_be_printed_is_a_failure(tmp_path: Path, command: str) -> None:
    ran = process(f"limner {command} > /dev/full", tmp_path)
    assert (ran.returncode, ran.stderr) == (ExitCode.FAILED, "limner: No space left on device\n")


def test_a_reader_that_takes_nothing_is_no_crash_either(tmp_path: Path) -> None:
    ran = process("limner keys list --json | :", tmp_path)
    assert (ran.stdout, ran.stderr) == ("", "")


def test_what_the_locale_cannot_print_is_spelt_out(run: Run, tmp_path: Path) -> None:
    run("keys", "create", "jürgen")
    ran = process("limner keys list", tmp_path / "data", PYTHONIOENCODING="ascii")
    assert (ran.returncode, "j\\xfcrgen" in ran.stdout) == (ExitCode.OK, True)


def test_without_a_stderr_errors_are_not_printed_elsewhere(scripted: Scripted, tmp_path: Path) -> None:
    scripted.refuse(429, "queue_full", "too much")
    ran = process(f"limner generate x --server {scripted.url} 2>&-", tmp_path)
    assert (ran.returncode, ran.stdout) == (ExitCode.OVERLOADED, "")


def test_debug_shows_where_an_error_came_from(run: Run) -> None:
    line = [sys.executable, "-m", "limner", "generate", "x", "--server", "http://127.0.0.1:1"]
    plain = subprocess.run(line, capture_output=True, text=True)
    debug = subprocess.run([*line, "--log-level", "debug"], capture_output=True, text=True)
    assert plain.returncode == debug.returncode == ExitCode.UNREACHABLE
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr
