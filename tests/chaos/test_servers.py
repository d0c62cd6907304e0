"""What is wrong with a server is told as such, with the end of its log."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from chaos import processes, servers
from chaos.servers import Server, Trouble

SLEEPING = "print('loading weights', flush=True); import time; time.sleep(60)"
Begun = Callable[[str], Server]


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Begun]:
    """A server whose process runs this code instead."""
    made: list[Server] = []

    def begin(code: str) -> Server:
        server = Server("server", {}, tmp_path / "log")
        made.append(server)
        with server.log.open("wb") as log:
            server.process = processes.start([sys.executable, "-c", code], log=log)
        return server

    yield begin
    for server in made:
        server.close()


async def ready(server: Server) -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(503))
    async with httpx2.AsyncClient(transport=transport) as http:
        await server.ready(http)


async def test_one_that_does_not_get_ready_is_trouble(begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "START_TIMEOUT_S", 2.0)
    with pytest.raises(Trouble, match=r"not ready within 2 s:\nloading weights"):
        await ready(begun(SLEEPING))


async def test_one_that_ends_by_itself_is_trouble(begun: Begun) -> None:
    server = begun("raise SystemExit('no weights')")
    with pytest.raises(Trouble, match=r"ended by itself with code 1:\nno weights"):
        await ready(server)
    with pytest.raises(Trouble, match="ended by itself"):
        server.worker()
