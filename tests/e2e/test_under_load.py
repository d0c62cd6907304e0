"""Many clients at once, and clients that leave."""

import asyncio
import contextlib
import time
from collections import Counter

import httpx2

from tests.e2e.conftest import Server


async def test_two_hundred_clients_get_a_picture_or_a_429(server: Server) -> None:
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=server.api, timeout=110, limits=limits) as client:
        body = {"prompt": "a red circle", "num_inference_steps": 2, "size": "128x128"}
        replies = await asyncio.gather(*(client.post("/images/generations", json=body) for _ in range(200)))
    statuses = Counter(reply.status_code for reply in replies)
    assert set(statuses) <= {200, 429}
    assert statuses[200] >= 64
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies if reply.status_code == 429)


async def test_mixed_sizes_and_steps_at_once(server: Server) -> None:
    async with httpx2.AsyncClient(base_url=server.api, timeout=110) as client:
        bodies = [
            {"prompt": "a blue star", "size": size, "num_inference_steps": steps, "seed": index}
            for index, (size, steps) in enumerate(
                (size, steps) for size in ("128x128", "256x256", "192x128", "320x256") for steps in (2, 5)
            )
        ]
        replies = await asyncio.gather(*(client.post("/images/generations", json=body) for body in bodies))
    for body, reply in zip(bodies, replies, strict=True):
        assert reply.status_code == 200, reply.text
        assert reply.json()["size"] == body["size"]


async def test_a_client_that_leaves_cancels_its_work(server: Server) -> None:
    seen_before = server.log.read_text().count(" cancelled ")
    async with httpx2.AsyncClient(base_url=server.api, timeout=110) as client:
        slow = {"prompt": "a tree", "n": 10, "num_inference_steps": 50, "size": "512x512"}
        for stream in (False, True):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.7):
                    await client.post("/images/generations", json={**slow, "stream": stream})
    deadline = time.monotonic() + 20
    while server.log.read_text().count(" cancelled ") < seen_before + 2:
        assert time.monotonic() < deadline, server.log.read_text()[-3000:]
        await asyncio.sleep(0.1)
