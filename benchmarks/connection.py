"""A raw keep-alive HTTP/1.1 client, so that the load costs a small part of what it measures.

Owns one connection's bytes. Reads replies with a Content-Length, which is all that the measured servers send.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

_FIRST_BUFFER_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Connection(asyncio.BufferedProtocol):
    """One connection, one exchange at a time. Bytes are received straight into a buffer that grows and is kept."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(_FIRST_BUFFER_BYTES)
        self._filled = 0
        self._head_end = 0  # 0 while the head is incomplete
        self._total = 0
        self._status = 0
        self._headers: dict[str, str] = {}
        self._waiter: asyncio.Future[Reply] | None = None

    async def exchange(self, method: str, path: str, body: bytes = b"") -> Reply:
        """Send a request and wait for its whole reply. Raises ConnectionError when the server hangs up."""
        assert self._transport is not None, "not connected"
        assert self._waiter is None, "one exchange at a time"
        if self._transport.is_closing():
            raise ConnectionError("the server closed the connection")
        self._filled = self._head_end = self._total = 0
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(head.encode() + body)
            return await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's callback."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's callback."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionError("the server closed the connection"))

    def get_buffer(self, sizehint: int) -> memoryview:
        """asyncio's callback: where to receive to."""
        if self._filled == len(self._buffer):
            self._grow(2 * len(self._buffer))
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio's callback: ``nbytes`` have arrived."""
        self._filled += nbytes
        if not self._head_end:
            self._read_head()
        if self._head_end and self._filled >= self._total and self._waiter is not None and not self._waiter.done():
            body = bytes(memoryview(self._buffer)[self._head_end : self._total])
            self._waiter.set_result(Reply(self._status, self._headers, body))

    def _read_head(self) -> None:
        end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        self._status = int(first.split(" ", 2)[1])
        self._headers = {name.lower(): value.strip() for name, _, value in pairs}
        self._head_end = end + 4
        self._total = self._head_end + int(self._headers.get("content-length", "0"))
        if self._total > len(self._buffer):
            self._grow(self._total)

    def _grow(self, size_bytes: int) -> None:
        # A bytearray cannot be resized while the loop still holds the view it received into.
        larger = bytearray(size_bytes)
        larger[: self._filled] = memoryview(self._buffer)[: self._filled]
        self._buffer = larger


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    """A connection to ``port`` on this machine."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    try:
        yield connection
    finally:
        connection.close()
