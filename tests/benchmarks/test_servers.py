"""Starting what is measured: a failure is told of the server that failed."""

import pytest

from benchmarks import overhead, servers
from benchmarks.load import Outcome, Round
from benchmarks.servers import Server, StartFailed

HEALTHY = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

HTTPServer(("127.0.0.1", int(sys.argv[-1])), Answer).serve_forever()
"""


async def test_a_server_that_does_not_start_is_told_of_by_its_own_name_and_log() -> None:
    with pytest.raises(StartFailed, match=r"^broken did not start:\nno weights here"):
        async with (
            servers._started("healthy", ("-c", HEALTHY)),
            servers._started("broken", ("-c", "print('no weights here'); raise SystemExit(1)")),
        ):
            pytest.fail("it did start")


async def test_the_cost_of_a_request_is_not_that_of_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(port: int, bodies: list[bytes], *, clients: int) -> Round:
        return Round((Outcome(429, 0.001),) * len(bodies), 1.0)

    monkeypatch.setattr(overhead, "closed_loop", refuse)
    monkeypatch.setattr(Server, "cpu_s", lambda self: 0.0)
    with pytest.raises(AssertionError, match="1000 of 1000 requests failed"):
        await overhead._load(Server("limner", 1, 1))(0)
