"""Webhooks that arrive are counted, once for every time they come; what breaks off has not come."""

import asyncio
from urllib.parse import urlsplit

import httpx2

from chaos.receiver import receiving


async def test_every_arrival_counts() -> None:
    async with receiving() as receiver, httpx2.AsyncClient(trust_env=False) as http:
        for delivery in ("a", "b", "a"):
            reply = await http.post(receiver.url, content=b"{}", headers={"webhook-id": delivery})
            assert reply.status_code == 200
        assert receiver.came == {"a": 2, "b": 1}


async def test_half_a_request_has_not_come() -> None:
    async with receiving() as receiver:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(receiver.url).port)
        writer.write(b"POST / HTTP/1.1\r\nwebhook-id: a\r\ncontent-length: 10\r\n\r\n123")
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        assert not receiver.came
