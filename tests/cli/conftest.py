"""A real server on fakes in a thread, and one that answers whatever a test scripts."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from limner import cli
from limner.api.app import create_app
from limner.config import load_settings
from tests.fakes import FakeBackend, opener


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run one command line in an empty directory and an empty environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("LIMNER_SERVER", "LIMNER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIMNER_DATA", str(tmp_path / "data"))

    def run_command(*arguments: object) -> Ran:
        code = cli.main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Ran(int(code), captured.out, captured.err)

    return run_command


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def here(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    """Commands without a server draw on this backend."""
    from limner import runtime

    monkeypatch.setattr(runtime, "open_service", lambda settings, specs: opener(backend)(settings))
    return backend


@pytest.fixture
def live(backend: FakeBackend, tmp_path: Path) -> Iterator[str]:
    """The URL of limner's own API over the backend."""
    settings = load_settings(None, {"data": tmp_path / "server", "queue_limit": 1})
    server = uvicorn.Server(uvicorn.Config(create_app(settings, opener(backend)), log_config=None, lifespan="on"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    deadline_s = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline_s:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@dataclass
class Scripted:
    """Answers every request with ``status`` and ``body``; remembers what was asked."""

    url: str = ""
    status: int = 200
    body: bytes = b"{}"
    kind: str = "application/json"
    delay_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def answer(self, status: int, body: dict[str, Any]) -> None:
        self.status, self.body = status, json.dumps(body).encode()

    def refuse(self, status: int, code: str, message: str) -> None:
        self.answer(status, {"error": {"message": message, "type": "x", "param": None, "code": code}})


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A server without a mind of its own."""
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_DELETE(self) -> None:
            script.deleted.append(self.path)
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            script.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            time.sleep(script.delay_s)
            status, reply = script.status, script.body  # a test may change them meanwhile
            with contextlib.suppress(ConnectionError):  # or a trace would be told to the next test
                self.send_response(status)
                for name, value in {"content-type": script.kind, **script.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        script.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield script
        server.shutdown()
        thread.join()
