"""A client that closes its connection: noticed at once, and the service decides what becomes of its job."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from starlette.requests import Request as HttpRequest

from limner.errors import ClientLeft
from limner.jobs import Job
from limner.service import Service
from limner.tasks import Interrupt

T = TypeVar("T")


class Presence:
    """Watches a client's connection while the block runs.

    The request's body must have been read: the next message can then only be the disconnect.
    """

    def __init__(self, http: HttpRequest) -> None:
        self._http = http
        self._interrupt = Interrupt()
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._watching is not None
        self._watching.cancel()

    async def unless_left(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result; it is cancelled and ClientLeft raised when the client leaves first."""
        return await self._interrupt.guard(work)

    async def left(self) -> None:
        """Return once the client has left."""
        assert self._watching is not None
        await self._watching

    async def _watch(self) -> None:
        try:
            while (await self._http.receive())["type"] != "http.disconnect":
                pass
        finally:  # a connection that cannot be watched has nobody at its other end
            self._interrupt.strike(lambda: ClientLeft("the client closed its connection"))


async def tell_when_left(http: HttpRequest, service: Service, job: Job) -> None:
    """Wait for the client to leave, then tell the service: for replies that stream, beside their sending."""
    async with Presence(http) as client:
        await client.left()
    service.left(job)
