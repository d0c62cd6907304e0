"""A job: one accepted request and all that has happened to it.

Owns the history of events and its followers; does not run anything.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import Literal

from limner.catalogue.spec import ModelSpec
from limner.core import Event, Finished, Progress, Queued, Request, Warning
from limner.errors import ClientLeft, LimnerError

JobStatus = Literal["queued", "running", "finished", "failed", "cancelled"]


class Job:
    """Created by the service. ``request`` is resolved: nothing in it is left to guess."""

    def __init__(self, request: Request, spec: ModelSpec, warnings: tuple[Warning, ...]) -> None:
        self.id = f"job_{uuid.uuid4().hex}"
        self.request = request
        self.spec = spec
        self.warnings = warnings
        self.created_at_s = time.time()
        self.status: JobStatus = "queued"
        self.error: LimnerError | None = None
        self.cancel_requested = asyncio.Event()
        self._history: list[Event] = []
        self._changed = asyncio.Condition()

    @property
    def done(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ("finished", "failed", "cancelled")

    @property
    def progress(self) -> float:
        """Share of the work done, 0..1."""
        if self.status == "finished":
            return 1.0
        return next((e.fraction for e in reversed(self._history) if isinstance(e, Progress)), 0.0)

    def cancel(self) -> None:
        """Ask for the work to stop; followers then see ClientLeft. Does nothing once the job is done."""
        self.cancel_requested.set()

    async def events(self, start: int = 0) -> AsyncIterator[Event]:
        """Every event from the ``start``-th on, past ones first; ends after Finished, raises the job's error."""
        position = start
        while True:
            async with self._changed:
                while position >= len(self._history) and not self.done:
                    await self._changed.wait()
            while position < len(self._history):
                position += 1
                yield self._history[position - 1]
            if self.done and position >= len(self._history):
                if self.error is not None:
                    raise self.error
                return

    async def result(self) -> Finished:
        """Wait for the pictures; raises the job's error."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.done)
        if self.error is not None:
            raise self.error
        finished = self._history[-1]
        assert isinstance(finished, Finished)
        return finished

    async def record(self, event: Event) -> None:
        """Append an event; the service alone calls this."""
        async with self._changed:
            self._history.append(event)
            if isinstance(event, Finished):
                self.status = "finished"
            elif not isinstance(event, Queued):
                self.status = "running"
            self._changed.notify_all()

    async def fail(self, error: LimnerError) -> None:
        """End the job with an error; the service alone calls this."""
        async with self._changed:
            self.error = error
            self.status = "cancelled" if isinstance(error, ClientLeft) else "failed"
            self._changed.notify_all()
