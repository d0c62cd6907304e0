"""A server that leaves while clients wait: they learn which job to ask the next one for."""

import asyncio

from starlette.requests import Request as HttpRequest
from starlette.types import Message, Receive, Scope, Send

from limner.api.middleware import Exchange


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
