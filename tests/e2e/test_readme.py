"""The README's examples are run as they stand, against the test's server."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.conftest import Server

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
DEFAULT = "http://127.0.0.1:8000"


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_the_python_example_runs(server: Server) -> None:
    (code,) = [text for language, text in BLOCKS if language == "python"]
    seen: dict[str, object] = {}
    exec(code.replace(DEFAULT, server.url), seen)
    reply = seen["reply"]
    assert reply.limner["effective"]["seeds"] == [7, 8]  # type: ignore[attr-defined]
    assert isinstance(seen["picture"], str)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_shell_examples_run_in_order(server: Server, tmp_path: Path) -> None:
    lines = [line for _, text in BLOCKS for line in text.splitlines()]
    commands = [line for line in lines if re.match(r"limner (generate|edit) |curl ", line)]
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command.replace(DEFAULT, server.url))
        if words[0] == "limner":
            words = [sys.executable, "-m", *words]
        run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
        assert run.returncode == 0, f"{command}\n{run.stderr}"
    for name in ("house_0.png", "house_3.png", "night.png", "limner.png"):
        assert size_of(tmp_path / name) == (256, 256)


def test_the_greeting_prints_a_curl_line_that_draws(server: Server, tmp_path: Path) -> None:
    greeting = server.log.read_text()
    command = next(line.strip() for line in greeting.splitlines() if line.strip().startswith("curl "))
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=60)
    assert size_of(tmp_path / "circle.png") == (256, 256)
