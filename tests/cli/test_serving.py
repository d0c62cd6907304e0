"""limner serve: settings from everywhere, a greeting whose command works when pasted, and how a server ends."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from PIL import Image

from limner.api import serve as serving
from limner.catalogue import ModelSpec
from limner.cli.exits import ExitCode
from limner.cli.serving import greeting, is_loopback, url_of
from limner.config import Settings, load_settings
from limner.errors import LimnerError, NotReady
from limner.service import Service
from tests.cli.conftest import Run
from tests.fakes import FakeBackend, opener

ROOT = Path(__file__).parents[2]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What the server was started with; it returns at once."""
    settings: list[Settings] = []

    def serve_nothing(chosen: Settings, announce: Callable[[int], None]) -> int:
        settings.append(chosen)
        announce(chosen.port or 54321)
        return 0

    monkeypatch.setattr(serving, "serve", serve_nothing)
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


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_a_server_that_others_can_reach_says_so(run: Run, served: list[Settings], host: str) -> None:
    assert f"limner: warning: there are no API keys yet: everybody who can reach {host}" in run("serve", "--host", host).err


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_server_for_this_machine_alone_needs_no_warning(host: str) -> None:
    assert is_loopback(host)


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for models is heavy work that must not have begun."""

    def find_models(settings: Settings) -> tuple[ModelSpec, ...]:
        raise AssertionError("models were looked for first")

    monkeypatch.setattr(serving, "find_models", find_models)


@pytest.mark.parametrize(
    ("data", "reason"),
    [("file", "it is a file"), ("file/data", "Not a directory"), ("/proc", "No such file"), ("/proc/data", "No such file")],
)
def test_data_that_cannot_be_written_stops_the_start(
    run: Run, no_models: None, tmp_path: Path, data: str, reason: str
) -> None:
    (tmp_path / "file").touch()
    ran = run("serve", "--port", 0, "--data", data)
    assert (ran.code, ran.err.count("\n")) == (ExitCode.INVALID, 1)
    assert ran.err.startswith(f"limner: cannot write to the data directory {data!r}: {reason}")


def test_no_name_is_no_data_directory(run: Run, no_models: None) -> None:
    ran = run("serve", "--data", "")
    assert (ran.code, ran.err) == (ExitCode.INVALID, "limner: invalid settings: data: name a directory (got '')\n")


def test_a_port_in_use_is_found_before_anything_heavy(run: Run, no_models: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ran = run("serve", "--port", port)
    assert ran.code == ExitCode.UNREACHABLE
    assert ran.err == f"limner: cannot listen on 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.1", "192.0.2.1:8000: Cannot assign requested address"),
        ("2001:db8::1", "[2001:db8::1]:8000: "),
        ("host.invalid", "host.invalid:8000: "),
        ("a..b", "a..b:8000: this is no host name"),
    ],
)
def test_a_host_that_is_not_this_machine(run: Run, no_models: None, host: str, reason: str) -> None:
    ran = run("serve", "--host", host, "--port", 8000)
    assert (ran.code, ran.err.count("\n")) == (ExitCode.UNREACHABLE, 1)
    assert ran.err.startswith(f"limner: cannot listen on {reason}")


def test_every_address_of_a_host_gets_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    addresses = ["127.0.0.1", "192.0.2.1", "127.0.0.2", "127.0.0.1"]  # one is not here, one is named twice
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(*stream, (host, 0)) for host in addresses])
    first, second = serving.listen("several", 0)
    with first, second:
        assert first.getsockname()[1] == second.getsockname()[1] != 0
        assert (first.getsockname()[0], second.getsockname()[0]) == ("127.0.0.1", "127.0.0.2")


def test_ipv6_is_listened_on() -> None:
    try:
        (listener,) = serving.listen("::1", 0)
    except NotReady:
        pytest.skip("no IPv6 here")
    with listener, socket.create_connection(("::1", listener.getsockname()[1])):
        pass


def failing(*errors: LimnerError) -> Callable[..., AbstractAsyncContextManager[Service]]:
    """An ``open_service`` for as many models, each of which fails so, or is ready where there is None."""
    raise NotImplementedError


def test_a_server_without_one_model_leaves(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMNER_DEVICE", "mps")
    ran = run("serve", "--port", 0)
    last = ran.err.splitlines()[-1]
    assert (ran.code, last.startswith("limner: no model could be loaded: device 'mps' is not available")) == (3, True)


SERVES_SLOWLY = """
import sys
from limner import cli
from limner.api import serve
from tests.fakes import FakeBackend, opener

backend = FakeBackend(delay_s=float(sys.argv[1]))
serve.find_models = lambda settings: ()
serve.open_service = lambda settings, specs: opener(backend)(settings)
sys.exit(cli.main(["serve", "--port", "0", *sys.argv[2:]]))
"""
