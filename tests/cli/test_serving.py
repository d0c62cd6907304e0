"""limner serve: settings from everywhere, and a greeting whose command works when pasted."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from limner.cli.exits import ExitCode
from limner.cli.serving import greeting, url_of
from limner.config import Settings, load_settings
from tests.cli.conftest import Run


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What the server was started with; it returns at once."""
    from limner.api import serve

    settings: list[Settings] = []

    def serve_nothing(chosen: Settings, announce: Callable[[int], None]) -> int:
        settings.append(chosen)
        announce(chosen.port or 54321)
        return 0

    monkeypatch.setattr(serve, "serve", serve_nothing)
    return settings


def test_arguments_win_over_the_file(run: Run, served: list[Settings], tmp_path: Path) -> None:
    (tmp_path / "limner.toml").write_text('port = 9000\nhost = "0.0.0.0"\nmodels = ["a/b"]\n')
    arguments = ["--config", "limner.toml", "--port", 9001, "--data", "d", "--log-level", "warning"]
    assert run("serve", *arguments).code == ExitCode.OK
    assert run("serve", "c/d", "e/f", *arguments).code == ExitCode.OK
    first, second = served
    assert (first.port, first.host, first.data, first.log_level) == (9001, "0.0.0.0", Path("d"), "warning")
    assert (first.models, second.models) == (("a/b",), ("c/d", "e/f"))


def test_the_greeting_tells_the_address_and_the_models(run: Run, served: list[Settings]) -> None:
    ran = run("serve", "--port", 9001)
    assert "http://127.0.0.1:9001" in ran.err
    assert "sketch" in ran.err
    assert ran.out == ""


def test_the_greeting_tells_the_port_that_the_system_chose(run: Run, served: list[Settings]) -> None:
    assert "http://127.0.0.1:54321" in run("serve", "--port", 0).err


def test_a_wrong_setting_stops_the_start(run: Run, served: list[Settings], tmp_path: Path) -> None:
    (tmp_path / "limner.toml").write_text("prot = 9000\n")
    ran = run("serve", "--config", "limner.toml")
    assert ran.code == ExitCode.INVALID
    assert "did you mean 'port'" in ran.err
    assert served == []


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("example.org", "http://example.org:8000"),
    ],
)
def test_the_address_can_be_typed(host: str, url: str) -> None:
    assert url_of(load_settings(None, {"host": host})) == url


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_greetings_command_draws_a_picture(live: str, tmp_path: Path) -> None:
    port = int(live.rpartition(":")[2])
    command = greeting(load_settings(None, {"port": port})).splitlines()[-1].strip()
    assert command.startswith("curl ")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, env={"PATH": "/usr/bin:/bin"})
    with Image.open(tmp_path / "circle.png") as picture:
        assert picture.format == "PNG"
