"""limner serve: settings from everywhere, a greeting whose command works when pasted, and how a server ends."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import pytest
from PIL import Image

from limner.accounts import Door
from limner.api import serve as serving
from limner.catalogue import ModelSpec
from limner.cli.exits import ExitCode
from limner.cli.serving import greeting, url_of
from limner.config import Settings, load_settings
from limner.errors import InvalidRequest, LimnerError, NotReady
from limner.service import Service
from tests.cli.conftest import Run
from tests.fakes import FakeBackend, opener

ROOT = Path(__file__).parents[2]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What the server was started with; it returns at once."""
    settings: list[Settings] = []

    def serve_nothing(chosen: Settings, announce: serving.Announce) -> int:
        settings.append(chosen)
        announce(chosen.port or 54321, Door(required=chosen.open == "no"))
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


def test_in_json_the_greeting_is_log_lines(run: Run, served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_LOG_FORMAT", "json")
    ran = run("serve", "--port", 9001, "--host", "0.0.0.0", "--log-level", "error")
    greeted, warned = [json.loads(line) for line in ran.err.splitlines()]
    assert (greeted["level"], greeted["address"], greeted["needs_key"]) == ("info", "http://127.0.0.1:9001", False)
    assert greeted["models"].startswith("sketch")
    assert warned["level"] == "warning"
    assert "no API key is needed" in warned["message"]


def test_in_json_a_fresh_key_is_a_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve_nothing(chosen: Settings, announce: serving.Announce) -> int:
        announce(54321, Door(required=True, fresh="lim_made"))
        return 0

    monkeypatch.setattr(serving, "serve", serve_nothing)
    monkeypatch.setenv("LIMNER_LOG_FORMAT", "json")
    _, made = [json.loads(line) for line in run("serve", "--data", "my data").err.splitlines()]
    assert (made["level"], made["api_key"]) == ("warning", "lim_made")
    assert "limner keys create NAME --data 'my data'" in made["message"]


def test_a_model_can_be_told_to_stand_in_for_all_others(run: Run, served: list[Settings]) -> None:
    ran = run("serve", "--stand-in", "sketch")
    assert served[0].stand_in == "sketch"
    assert "serves sketch; sketch stands in for every other model of the catalogue" in ran.err
    run("serve")
    assert served[1].stand_in == ""


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
    command = greeting(load_settings(None, {"port": port}), Door(required=False)).splitlines()[-1].strip()
    assert command.startswith("curl ")
    assert "Authorization" not in command
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, env={"PATH": "/usr/bin:/bin"})
    with Image.open(tmp_path / "circle.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_an_open_server_that_others_can_reach_says_so(run: Run, served: list[Settings], host: str) -> None:
    assert (
        f"limner: warning: no API key is needed (open = yes): everybody who can reach {host}"
        in run("serve", "--host", host).err
    )
    assert "warning" not in run("serve").err


def test_where_keys_are_needed_the_greeting_says_how_to_get_one(
    run: Run, served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMNER_OPEN", "no")
    told = run("serve", "--host", "0.0.0.0", "--data", "my data").err
    assert "new ones are made with: limner keys create NAME --data 'my data'\n" in told
    assert '-H "Authorization: Bearer $LIMNER_API_KEY"' in told
    assert "warning" not in told


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for models is heavy work that must not have begun."""

    def find_models(settings: Settings) -> tuple[ModelSpec, ...]:
        raise AssertionError("models were looked for first")

    monkeypatch.setattr(serving, "find_models", find_models)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("file", "it is a file"),
        ("file/data", "Not a directory"),
        ("/proc", "No such file"),
        ("/proc/data", "No such file"),
    ],
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


def test_links_begin_with_the_port_that_the_system_chose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[Settings] = []

    def create_nothing(settings: Settings, open_service: object) -> None:
        made.append(settings)
        raise NotReady("that was all")

    monkeypatch.setattr(serving, "create_app", create_nothing)
    with pytest.raises(NotReady, match="that was all"):
        serving.serve(load_settings(None, {"port": 0, "data": tmp_path}), lambda port, door: None)
    assert made[0].port != 0


def test_ipv6_is_listened_on() -> None:
    try:
        (listener,) = serving.listen("::1", 0)
    except NotReady:
        pytest.skip("no IPv6 here")
    with listener, socket.create_connection(("::1", listener.getsockname()[1])):
        pass


def opener_of(
    *failures: LimnerError | None, backend: FakeBackend | None = None
) -> Callable[..., AbstractAsyncContextManager[Service]]:
    """An ``open_service`` with one model each: it could not be loaded for this reason, or is ready where None."""

    @asynccontextmanager
    async def open_service(settings: Settings, specs: Sequence[ModelSpec]) -> AsyncIterator[Service]:
        names = ("sketch", "qwen-image")[: len(failures)]
        async with opener(backend or FakeBackend(), *names)(settings) as service:
            for model, failure in zip(service.roster, failures, strict=True):
                if failure is not None:
                    model.failed(failure)
            yield service

    return open_service


def test_a_server_without_one_usable_model_leaves(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "open_service", opener_of(InvalidRequest("no such device"), InvalidRequest("broken")))
    ran = run("serve", "--port", 0)
    assert ran.code == ExitCode.UNREACHABLE
    assert ran.err.splitlines()[-1] == "limner: no model could be loaded: no such device"
    assert "Traceback" not in ran.err


def test_a_database_that_goes_away_at_the_start_is_told_in_a_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def prepare(*_: object) -> Door:
        raise NotReady("the database cannot be used at the moment")

    monkeypatch.setattr(serving, "open_service", opener_of(None))
    monkeypatch.setattr("limner.api.app.prepare", prepare)
    ran = run("serve", "--port", 0)
    assert ran.code == ExitCode.UNREACHABLE
    assert ran.err.splitlines()[-1] == "limner: the database cannot be used at the moment"
    assert "Traceback" not in ran.err


SERVER = """
import sys
from limner import cli
from limner.api import serve
from limner.errors import InvalidRequest
from tests.cli.test_serving import opener_of
from tests.fakes import FakeBackend

serve.find_models = lambda settings: ()
serve.open_service = opener_of(None, InvalidRequest("broken"), backend=FakeBackend(delay_s=float(sys.argv[1])))
sys.exit(cli.main(["serve", "--port", "0"]))
"""


LOADING = """
import asyncio, sys, time
from contextlib import asynccontextmanager
from limner import cli
from limner.api import serve
from tests.fakes import FakeBackend, opener

@asynccontextmanager
async def open_service(settings, specs):
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 20)
    async with opener(FakeBackend(), loading=True)(settings) as service:
        yield service

serve.find_models = lambda settings: ()
serve.open_service = open_service
sys.exit(cli.main(["serve", "--port", "0"]))
"""


@dataclass(frozen=True)
class Process:
    """A server in a process of its own, which signals can be sent to."""

    popen: subprocess.Popen[str]
    port: int

    def leave(self) -> str:
        """Send SIGTERM; what it has logged when it has left."""
        self.popen.send_signal(signal.SIGTERM)
        return self.left()

    def left(self) -> str:
        """What it has logged, once it has left by itself."""
        log = self.popen.communicate(timeout=30)[1]
        assert self.popen.returncode == 0
        return log


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Process]]:
    """Starts a server whose steps take ``step_s``, with settings."""
    started: list[subprocess.Popen[str]] = []

    def start_server(*, step_s: float, program: str = SERVER, **settings: object) -> Process:
        environment = {f"LIMNER_{name.upper()}": str(value) for name, value in settings.items()}
        popen = subprocess.Popen(
            [sys.executable, "-c", program, str(step_s)],
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "LIMNER_DATA": str(tmp_path / "data"), **environment},
        )
        started.append(popen)
        assert popen.stderr is not None
        for line in popen.stderr:
            if found := re.search(r"http://127\.0\.0\.1:(\d+) serves", line):
                return Process(popen, int(found[1]))
        raise AssertionError("the server did not start")

    yield start_server
    for popen in started:
        popen.kill()
        popen.communicate()


def ask(port: int, *, steps: int, half: bool = False) -> socket.socket:
    """A connection over which a picture was asked for; with ``half`` all but the body's last byte was sent."""
    body = json.dumps({"prompt": "x", "num_inference_steps": steps}).encode()
    head = f"POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    request = f"{head}Content-Type: application/json\r\n\r\n".encode() + body
    connection.sendall(request[:-1] if half else request)
    return connection


def answer(connection: socket.socket) -> tuple[int, str]:
    """Status and body of the reply."""
    with connection, HTTPResponse(connection) as response:
        response.begin()
        return response.status, response.read().decode()


def test_told_to_leave_a_server_ends_its_work_and_takes_no_more(start: Callable[..., Process]) -> None:
    server = start(step_s=0.1)
    running, coming = ask(server.port, steps=10), ask(server.port, steps=1, half=True)
    time.sleep(0.5)
    server.popen.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    coming.sendall(b"}")
    status, body = answer(coming)
    assert (status, "shutting down" in body) == (503, True)
    assert answer(running)[0] == 200
    assert "Traceback" not in server.left()


def test_told_twice_a_server_leaves_at_once(start: Callable[..., Process]) -> None:
    server = start(step_s=0.1, drain_s=60)
    running = ask(server.port, steps=50)
    time.sleep(0.5)
    server.popen.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    server.popen.send_signal(signal.SIGTERM)
    server.popen.communicate(timeout=5)
    assert server.popen.returncode == 128 + signal.SIGTERM
    running.close()


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_server_does_not_wait_for_a_model_that_loads(start: Callable[..., Process], told: signal.Signals) -> None:
    server = start(step_s=0, program=LOADING)
    server.popen.send_signal(told)
    told_s = time.monotonic()
    assert "Traceback" not in server.left()
    assert time.monotonic() - told_s < 10


@pytest.mark.parametrize("drain_s", [0, 1])
def test_work_that_outlasts_the_drain_is_ended(start: Callable[..., Process], drain_s: int) -> None:
    server = start(step_s=0.1, drain_s=drain_s)
    running = ask(server.port, steps=50)
    time.sleep(0.5)
    told_s = time.monotonic()
    log = server.leave()
    assert time.monotonic() - told_s < drain_s + 3
    status, body = answer(running)
    assert (status, "shutting down" in body, "job_" in body) == (503, True, True)
    assert "Traceback" not in log


def test_one_usable_model_is_enough(start: Callable[..., Process]) -> None:
    server = start(step_s=0)  # its second model has failed
    time.sleep(0.5)
    assert answer(ask(server.port, steps=1))[0] == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_on_an_open_address_a_first_key_is_made_and_shown_with_a_command_that_works(
    start: Callable[..., Process], tmp_path: Path
) -> None:
    server = start(step_s=0, host="0.0.0.0", open="auto")
    stderr = server.popen.stderr
    assert stderr is not None
    told = "".join(iter(stderr.readline, "A first picture:\n"))
    key = re.search(r"^  (lim_\w{8}_[\w-]{43})$", told, re.MULTILINE)
    assert key is not None
    assert "it is shown this once" in told
    refused = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    refused.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer(refused)[0] == 401
    stderr.readline()
    command = stderr.readline().strip()
    assert f'-H "Authorization: Bearer {key[1]}"' in command
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, env={"PATH": "/usr/bin:/bin"})
    with Image.open(tmp_path / "circle.png") as picture:
        assert picture.format == "PNG"
    assert key[1] not in server.leave()
    again = start(step_s=0, host="0.0.0.0", open="auto")
    assert "lim_" not in again.leave()
