"""generate and edit, drawn in this process and by a server: the same files, summaries and codes."""

import asyncio
import errno
import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NoReturn

import httpx2
import pytest
from PIL import Image

from limner import cli, errors, runtime
from limner.catalogue import ModelSpec
from limner.cli.drawing import write
from limner.cli.exits import ExitCode
from limner.cli.progress import watching
from limner.config import Settings
from limner.core import Operation, Progress, Queued, Size
from limner.service import Service
from tests.cli.conftest import Run
from tests.fakes import FakeBackend


@pytest.fixture(params=["in process", "on a server"])
def where(request: pytest.FixtureRequest) -> list[str]:
    """Options that choose who draws; both end at the same fake backend."""
    if request.param == "in process":
        request.getfixturevalue("here")
        return []
    return ["--server", request.getfixturevalue("live")]


def file_format(path: Path) -> str | None:
    with Image.open(path) as picture:
        return picture.format


def wait_for_work(backend: FakeBackend) -> None:
    deadline_s = time.monotonic() + 30
    while not backend.requests:
        assert time.monotonic() < deadline_s, "nothing reached the backend"
        time.sleep(0.01)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    Image.new("RGB", (64, 64), "red").save(path)
    return path


def test_a_picture_is_written_and_its_path_printed(run: Run, where: list[str], tmp_path: Path) -> None:
    ran = run("generate", "a red circle", "-o", "out.png", "--seed", 7, *where)
    assert (ran.code, ran.out) == (ExitCode.OK, "out.png\n")
    assert file_format(tmp_path / "out.png") == "PNG"
    assert "model=sketch" in ran.err
    assert "seed=7" in ran.err


def test_all_options_reach_the_backend(run: Run, where: list[str], backend: FakeBackend) -> None:
    numbers = ["--steps", 3, "--seed", 5, "--guidance-scale", 2.5, "--timeout", 60]
    texts = ["--size", "128x128", "--model", "sketch", "--negative-prompt", "blue"]
    ran = run("generate", "a red circle", *numbers, *texts, *where)
    assert ran.code == ExitCode.OK, ran.err
    (asked,) = backend.requests
    assert (asked.operation, asked.prompt, asked.size, asked.seed) == (
        Operation.GENERATE,
        "a red circle",
        Size(128, 128),
        5,
    )
    assert asked.timeout_s == 60
    assert asked.params["num_inference_steps"] == 3
    assert asked.params["guidance_scale"] == 2.5
    assert asked.params["negative_prompt"] == "blue"


def test_several_pictures_are_numbered(run: Run, where: list[str], tmp_path: Path) -> None:
    ran = run("generate", "x", "-n", 3, "-o", "out.png", "--seed", 1, *where)
    assert ran.out.split() == ["out_0.png", "out_1.png", "out_2.png"]
    assert "seeds=1,2,3" in ran.err
    assert len({(tmp_path / name).read_bytes() for name in ran.out.split()}) == 3
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        ([], "limner.png", "PNG"),
        (["-o", "a.jpg"], "a.jpg", "JPEG"),
        (["-o", "a.JPEG"], "a.JPEG", "JPEG"),
        (["-o", "a.webp"], "a.webp", "WEBP"),
        (["-o", "a"], "a", "PNG"),
        (["--format", "jpeg"], "limner.jpg", "JPEG"),
        (["-o", "a.png", "--format", "webp"], "a.png", "WEBP"),
    ],
)
def test_the_format_is_the_one_asked_for_or_the_suffix(
    run: Run, where: list[str], tmp_path: Path, options: list[str], name: str, expected: str
) -> None:
    assert run("generate", "x", *options, *where).out == f"{name}\n"
    assert file_format(tmp_path / name) == expected


def test_an_existing_file_is_replaced(run: Run, where: list[str], tmp_path: Path) -> None:
    (tmp_path / "limner.png").write_text("old")
    assert run("generate", "x", *where).code == ExitCode.OK
    assert file_format(tmp_path / "limner.png") == "PNG"


def test_quiet_leaves_stderr_empty_but_for_warnings(run: Run, where: list[str]) -> None:
    assert run("generate", "x", "--quiet", *where).err == ""
    adjusted = run("generate", "x", "-q", "--size", "130x130", *where)
    assert adjusted.code == ExitCode.OK
    assert adjusted.err.startswith("limner: warning: ")


def test_an_edit_carries_its_picture(run: Run, where: list[str], source: Path, backend: FakeBackend) -> None:
    ran = run("edit", source, "make it blue", "-o", "out.png", *where)
    assert (ran.code, ran.out) == (ExitCode.OK, "out.png\n"), ran.err
    (asked,) = backend.requests
    assert (asked.operation, asked.prompt) == (Operation.EDIT, "make it blue")
    assert [picture.size for picture in asked.inputs] == [Size(64, 64)]
    assert asked.inputs[0].pixels[:3] == b"\xff\x00\x00"


def test_a_mask_makes_it_an_inpaint(
    run: Run, where: list[str], source: Path, tmp_path: Path, backend: FakeBackend
) -> None:
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    mask.save(tmp_path / "mask.png")
    ran = run("edit", source, "a blue half", "--mask", tmp_path / "mask.png", "--strength", 0.5, *where)
    assert ran.code == ExitCode.OK, ran.err
    (asked,) = backend.requests
    assert asked.operation == Operation.INPAINT
    assert asked.mask is not None
    assert asked.mask.pixels[:33] == b"\xff" * 32 + b"\0"
    assert asked.params["strength"] == 0.5


def test_a_file_that_is_no_picture_is_refused(run: Run, where: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("not a picture")
    ran = run("edit", "notes.png", "x", *where)
    assert (ran.code, ran.out) == (ExitCode.INVALID, "")
    assert "not a picture" in ran.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--size", "big"], "'big'"),
        (["--steps", 100_000], "num_inference_steps"),
        (["-n", 11], "less than or equal to 10"),
        (["--steps", 201], "num_inference_steps"),
        (["--seed", 2**63], "seed"),
        (["--seed", 2**63 - 1, "-n", 2], "seed"),
        (["--strength", 0.5], "strength"),
    ],
)
def test_what_cannot_be_drawn_names_the_value(run: Run, where: list[str], options: list[object], said: str) -> None:
    ran = run("generate", "x", *options, *where)
    assert (ran.code, ran.out) == (ExitCode.INVALID, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_what_cannot_be_drawn_is_told_before_the_model_is_loaded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_service(settings: Settings, specs: Sequence[ModelSpec]) -> NoReturn:
        raise AssertionError("the model would have been loaded")

    monkeypatch.setattr(runtime, "open_service", open_service)
    ran = run("generate", "x", "--steps", 201)
    assert (ran.code, ran.err.count("\n")) == (ExitCode.INVALID, 1)
    assert "num_inference_steps" in ran.err


def test_settings_of_a_server_that_leaves_drawing_to_others_do_not_count_here(
    run: Run, here: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[tuple[bool, str]] = []
    fake = runtime.open_service

    def open_service(settings: Settings, specs: Sequence[ModelSpec]) -> AbstractAsyncContextManager[Service]:
        used.append((settings.draws, settings.grounder))
        return fake(settings, specs)

    monkeypatch.setattr(runtime, "open_service", open_service)
    monkeypatch.setenv("LIMNER_DRAWS", "no")
    monkeypatch.setenv("LIMNER_GROUNDER", "./not-needed")
    assert run("generate", "x", "--timeout", 5).code == ExitCode.OK
    assert used == [(True, "embedded:grounder")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
@pytest.mark.parametrize("options", [["-o", "/dev/full"], ["-o", "full.png"]])
def test_a_full_disk_is_told_with_the_name(run: Run, where: list[str], tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "full.png").symlink_to("/dev/full")
    ran = run("generate", "x", "-q", *options, *where)
    assert (ran.code, ran.out, ran.err) == (ExitCode.FAILED, "", f"limner: {options[1]!r}: No space left on device\n")


def test_a_disk_that_fills_up_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"before")
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, allowed[1]))
    try:
        with pytest.raises(OSError, match=r"a\.png"):
            write(path, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


def test_a_file_that_is_replaced_keeps_its_mode_and_its_links(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    path, link = tmp_path / "there" / "a.png", tmp_path / "link.png"
    path.write_bytes(b"before")
    path.chmod(0o640)
    link.symlink_to(path)
    write(link, b"after")
    assert (path.read_bytes(), path.stat().st_mode & 0o777, link.is_symlink()) == (b"after", 0o640, True)


def test_a_file_in_a_directory_that_lets_nothing_be_replaced_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(draft: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(draft))

    monkeypatch.setattr(Path, "replace", refuse)
    path = tmp_path / "a.png"
    with pytest.raises(PermissionError):
        write(path, b"new")
    path.write_bytes(b"before")
    write(path, b"after")
    assert (path.read_bytes(), [*tmp_path.iterdir()]) == (b"after", [path])


@pytest.mark.parametrize("command", [["generate", "x"], ["edit", "in.png", "x"]])
def test_stdout_gets_one_picture_and_nothing_else(
    where: list[str],
    source: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    monkeypatch.chdir(source.parent)
    monkeypatch.setenv("LIMNER_DATA", str(source.parent / "data"))
    assert cli.main([*command, "-o", "-", "--format", "webp", *where]) == ExitCode.OK
    with Image.open(io.BytesIO(capfdbinary.readouterr().out)) as picture:
        assert picture.format == "WEBP"
    assert list(source.parent.glob("*.*")) == [source]


def test_stdout_takes_no_second_picture(run: Run, where: list[str]) -> None:
    ran = run("generate", "x", "-o", "-", "-n", 2, *where)
    assert (ran.code, ran.out, ran.err) == (
        ExitCode.INVALID,
        "",
        "limner: -o - takes one picture, not -n 2: name a file\n",
    )


def test_a_slash_at_the_end_means_a_directory(run: Run, where: list[str], tmp_path: Path) -> None:
    ran = run("generate", "x", "-o", "new/", *where)
    assert (ran.code, "'new/' is a directory, name a file" in ran.err) == (ExitCode.INVALID, True)
    assert not (tmp_path / "new").exists()


def test_an_unknown_model_is_named(run: Run, live: str) -> None:
    for options in ([], ["--server", live]):
        ran = run("generate", "x", "--model", "no-such-model", *options)
        assert (ran.code, ran.out) == (ExitCode.INVALID, "")
        assert "'no-such-model'" in ran.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UpstreamFailed("it broke"), ExitCode.FAILED),
        (errors.NotReady("it died"), ExitCode.UNREACHABLE),
        (errors.InvalidRequest("it cannot"), ExitCode.INVALID),
        (errors.UpstreamTimeout("it slept"), ExitCode.TIMED_OUT),
        (RuntimeError("a bug"), ExitCode.FAILED),
    ],
)
def test_a_failure_while_drawing_keeps_its_code(
    run: Run, where: list[str], backend: FakeBackend, tmp_path: Path, error: Exception, code: ExitCode
) -> None:
    backend.error = error
    ran = run("generate", "x", *where)
    assert (ran.code, ran.out) == (code, "")
    assert not (tmp_path / "limner.png").exists()
    if not isinstance(error, RuntimeError):
        assert str(error) in ran.err


def test_a_deadline_is_its_own_code(run: Run, where: list[str], backend: FakeBackend) -> None:
    backend.delay_s = 0.2
    ran = run("generate", "x", "--timeout", 0.1, *where)
    assert ran.code == ExitCode.TIMED_OUT
    assert "0.1 s" in ran.err


def test_a_full_queue_is_its_own_code(run: Run, live: str, backend: FakeBackend) -> None:
    backend.delay_s = 0.2
    url = f"{live}/v1/images/generations"
    other = threading.Thread(target=lambda: httpx2.post(url, json={"prompt": "first"}, timeout=60))
    other.start()
    wait_for_work(backend)
    ran = run("generate", "second", "--server", live)
    assert ran.code == ExitCode.OVERLOADED
    assert "the queue is full" in ran.err
    backend.delay_s = 0
    other.join()


def test_interrupting_cancels_the_work(run: Run, here: FakeBackend) -> None:
    here.delay_s = 0.05

    def interrupt() -> None:
        wait_for_work(here)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    ran = run("generate", "x")
    thread.join()
    assert ran.code == ExitCode.INTERRUPTED
    assert ran.err == "limner: interrupted\n"
    assert here.cancelled == 1
    assert here.closed


LOADS_FOREVER = """
import asyncio, contextlib, sys, time
from limner import cli, runtime
from tests.fakes import FakeBackend, opener

@contextlib.asynccontextmanager
async def open_service(settings, specs):
    loading = asyncio.create_task(asyncio.to_thread(time.sleep, 60))
    async with opener(FakeBackend(), loading=True)(settings) as service:
        print("loading", flush=True)
        yield service

runtime.open_service = open_service
sys.exit(cli.main(["generate", "x"]))
"""
SEARCHES_FOREVER = """
import sys, time
from limner import cli, runtime

def find_models(settings):
    print("loading", flush=True)
    time.sleep(60)

runtime.find_models = find_models
sys.exit(cli.main(["generate", "x"]))
"""


@pytest.mark.parametrize("program", [LOADS_FOREVER, SEARCHES_FOREVER], ids=["loaded", "found"])
def test_interrupting_does_not_wait_for_the_model(program: str) -> None:
    command = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert command.stdout is not None
    assert command.stdout.readline() == "loading\n"
    time.sleep(0.2)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=20)
    assert (command.returncode, out, err) == (ExitCode.INTERRUPTED, "", "limner: interrupted\n")


async def test_steps_are_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    with watching(quiet=False) as watch:
        watch(Queued(0))
        watch(Progress(3, 20))
        await asyncio.sleep(0.3)
    assert "step 3/20" in terminal.getvalue()
