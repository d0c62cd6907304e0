"""A server that leaves while clients wait: they learn which job to ask the next one for. Clients that leave."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import nullcontext

import pytest
from starlette.requests import Request as HttpRequest
from starlette.types import Message, Receive, Scope, Send

from limner.api.calls import ClosingStream, with_keep_alive
from limner.api.leaving import Presence
from limner.api.middleware import Exchange
from limner.errors import ClientLeft


async def test_whoever_is_cut_off_is_told_his_job() -> None:
    """uvicorn cancels what has not been answered when its time is over."""
    waiting = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        HttpRequest(scope).state.headers = {"X-Limner-Job": "job_1"}
        waiting.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/images/generations", "headers": []}
    exchange = asyncio.create_task(Exchange(app, max_body_bytes=1, max_bodies_bytes=1)(scope, receive, send))
    await waiting.wait()
    exchange.cancel()
    await exchange
    headers = dict(sent[0]["headers"])
    assert sent[0]["status"] == 503
    assert headers[b"x-limner-job"] == b"job_1"
    assert int(headers[b"retry-after"]) > 0


@pytest.mark.parametrize("breaks", [False, True])
async def test_work_ends_with_the_connection(breaks: bool) -> None:
    async def receive() -> Message:
        await asyncio.sleep(0.01)
        if breaks:
            raise OSError("broken pipe")
        return {"type": "http.disconnect"}

    client = Presence(HttpRequest({"type": "http"}, receive))
    async with client:
        with pytest.raises(ClientLeft):
            await client.unless_left(asyncio.sleep(60))
        with pytest.raises(OSError, match="broken pipe") if breaks else nullcontext():
            await client.left()


@pytest.mark.parametrize("turns", range(8))
async def test_a_client_that_leaves_as_an_event_comes_follows_no_longer(turns: int) -> None:
    """Events count their followers until they are closed; here nothing collects them."""
    happened, closed = asyncio.Event(), asyncio.Event()

    async def events() -> AsyncGenerator[int]:
        try:
            while True:
                await happened.wait()
                happened.clear()
                yield 1
        finally:
            closed.set()

    followed = events()

    async def follow() -> None:
        async for _ in with_keep_alive(followed):
            pass

    client = asyncio.create_task(follow())
    await asyncio.sleep(0.01)
    happened.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    client.cancel()
    await asyncio.wait_for(closed.wait(), 5)
    with pytest.raises(asyncio.CancelledError):
        await client


async def test_a_client_that_leaves_while_it_is_sent_something_follows_no_longer() -> None:
    closed = asyncio.Event()

    async def body() -> AsyncGenerator[bytes]:
        try:
            yield b"a chunk"
        finally:
            closed.set()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    chunks = body()  # held, so that nothing collects it
    response = ClosingStream(chunks)
    await asyncio.wait_for(response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send), 5)
    assert closed.is_set()
