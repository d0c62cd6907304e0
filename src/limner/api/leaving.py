"""A client that closes its connection cancels its job."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request as HttpRequest

from limner.jobs import Job


@asynccontextmanager
async def cancel_when_left(http: HttpRequest, job: Job) -> AsyncIterator[None]:
    """While the block runs, a disconnect cancels ``job``; so does leaving the block before the job is done.

    The request's body must have been read: the next message can then only be the disconnect.
    """
    watcher = asyncio.create_task(_watch(http, job))
    try:
        yield
    finally:
        watcher.cancel()
        job.cancel()


async def _watch(http: HttpRequest, job: Job) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
    job.cancel()
