"""The raw client and the load generator against a hand-written server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benchmarks.connection import connected
from benchmarks.load import all_at_once, closed_loop

PICTURE = b"x" * 600_000  # larger than the client's first buffer


@asynccontextmanager
async def server(status: bytes = b"200 OK", extra: bytes = b"", body: bytes = PICTURE) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n" % len(body) + extra + b"\r\n" + body)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def test_one_connection_carries_many_exchanges_of_any_size() -> None:
    async with server() as port, connected(port) as connection:
        for request in (b"", b"a" * 300_000):
            reply = await connection.exchange("POST", "/", request)
            assert (reply.status, reply.body) == (200, PICTURE)


@pytest.mark.parametrize("clients", [1, 3])
async def test_a_closed_loop_sends_every_body_once(clients: int) -> None:
    async with server() as port:
        done = await closed_loop(port, [b"{}"] * 5, clients=clients)
    assert [outcome.status for outcome in done.outcomes] == [200] * 5
    assert done.failures == 0
    assert done.pictures_per_s > 0


async def test_a_refusal_is_a_failure_that_says_when_to_come_back() -> None:
    async with server(b"429 Too Many Requests", b"Retry-After: 3\r\n", b"{}") as port:
        done = await all_at_once(port, [b"{}"] * 4)
    assert done.failures == 4
    assert {outcome.retry_after for outcome in done.outcomes} == {"3"}


async def test_a_server_that_hangs_up_is_an_outcome_and_no_crash() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listening:
        done = await all_at_once(listening.sockets[0].getsockname()[1], [b"{}"])
    assert done.outcomes[0].status == 0
