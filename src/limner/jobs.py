"""A job: one accepted request and all that has happened to it, as this process knows it.

Owns the history of events and its followers; does not run anything and reads no database.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from limner.core import ImageFormat, Preview, Progress, Queued, Request, Size, Tokens, Warning, Words
from limner.errors import ClientLeft, LimnerError
from limner.store.rows import Hook, JobStatus
from limner.tasks import Interrupt

T = TypeVar("T")
LAST_EVENT = "end"
ResponseFormat = Literal["b64_json", "url"]


@dataclass(frozen=True, slots=True)
class Submission:
    """How a request is handed in. ``detached``: nobody waits for it, and it may wait longer than those who do.
    ``warnings`` are what the dialect noticed; ``response_format`` is how its result is shown whenever it is asked for.
    ``previous`` is the job that it goes on from in a conversation, ``attached`` are the places among its inputs of
    those that came with this turn: they stay when the job has ended, for the turns that go on from it.
    """

    idempotency_key: str | None = None
    hook: Hook | None = None
    detached: bool = False
    warnings: tuple[Warning, ...] = ()
    response_format: ResponseFormat = "url"
    previous: str | None = None
    attached: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A finished picture in the blob store. ``data`` is the file while it is still in memory."""

    id: str
    key: str
    format: ImageFormat
    size: Size
    seed: int
    size_bytes: int
    expires_at_s: float
    data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished job's pictures in seed order, its answer where it was asked for words, and what only its end could
    tell."""

    pictures: tuple[StoredPicture, ...]
    model_revision: str | None
    timings_s: Mapping[str, float]
    warnings: tuple[Warning, ...]
    text: str | None = None
    tokens: Tokens | None = None


JobEvent: TypeAlias = Queued | Progress | Preview | Words | Outcome


@dataclass(slots=True)
class Times:
    """When what happened, in unix seconds; ``deadline_at_s`` is when the job is given up."""

    created_at_s: float
    deadline_at_s: float
    started_at_s: float | None = None
    ended_at_s: float | None = None


@dataclass(slots=True)
class Account:
    """What a job costs, in micro-credits, and the device time it took."""

    reserve_micro: int = 0
    cost_micro: int = 0
    device_s: float = 0.0


@dataclass(frozen=True, slots=True)
class HandedIn:
    """What stays with a job of its submission (see there), and the sizes of the pictures that came with it."""

    response_format: ResponseFormat = "url"
    previous: str | None = None
    attached: tuple[int, ...] = ()
    input_sizes: tuple[Size, ...] = ()


class Job:
    """Made by the service. ``request`` is resolved: nothing in it is left to guess; it lacks its pictures when the job
    is not drawn by this process. ``effective`` is what the catalogue says the request amounts to.

    An event's id names the history it stands in: another process, or this one later, has another for the same job.
    """

    def __init__(
        self,
        job_id: str,
        request: Request,
        *,
        effective: Mapping[str, Any],
        warnings: tuple[Warning, ...],
        times: Times,
        handed_in: HandedIn = HandedIn(),
    ) -> None:
        self.id = job_id
        self.request = request
        self.effective = effective
        self.warnings = warnings
        self.times = times
        self.handed_in = handed_in
        self.account = Account()
        self.status: JobStatus = "queued"
        self.error: LimnerError | None = None
        self.outcome: Outcome | None = None
        self.abandoned: LimnerError | None = None
        self.followers = 0
        self.waiters = 0
        self._source = f"{random.getrandbits(32):08x}"
        self._history: list[JobEvent] = []
        self._interrupt = Interrupt()
        self._change = asyncio.Event()  # the next one

    @property
    def model(self) -> str:
        """The id of the model that draws it."""
        return self.request.model

    @property
    def done(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ("finished", "failed", "cancelled")

    @property
    def _known_no_further(self) -> bool:
        """Whether nothing more will be heard of it here."""
        return self.done or self.abandoned is not None

    @property
    def progress(self) -> float:
        """Share of the work done, 0..1."""
        if self.status == "finished":
            return 1.0
        return next((e.fraction for e in reversed(self._history) if isinstance(e, Progress)), 0.0)

    @property
    def last(self) -> JobEvent | None:
        """What was recorded last."""
        return self._history[-1] if self._history else None

    @property
    def said(self) -> str:
        """The words recorded so far."""
        return "".join(event.text for event in self._history if isinstance(event, Words))

    def cancel(self, reason: ClientLeft) -> None:
        """Ask for the work to stop; followers then see the first ``reason``. Does nothing once the job is done."""
        self._interrupt.strike(lambda: reason)

    async def unless_cancelled(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work`` on this job; it is broken off, and the reason raised, when `cancel` comes first."""
        return await self._interrupt.guard(work)

    async def events(self, after: str | None = None) -> AsyncGenerator[JobEvent]:
        """As `numbered_events`, without their ids."""
        async with aclosing(self.numbered_events(after)) as events:
            async for _, event in events:
                yield event

    async def numbered_events(self, after: str | None = None) -> AsyncGenerator[tuple[str, JobEvent]]:
        """Events and their ids, past ones first; ends when the job has finished, raises the job's error otherwise.

        ``after`` is an id that was given out before: what came later follows, or all that is known where it stands in
        another history.
        """
        position = self._position_after(after)
        self.followers += 1
        try:
            while True:
                while position >= len(self._history) and not self._known_no_further:
                    await self._change.wait()
                while position < len(self._history):
                    position += 1
                    yield self._event_id(position), self._history[position - 1]
                if self._known_no_further and position >= len(self._history):
                    error = self.error or self.abandoned
                    if error is not None and after != LAST_EVENT:
                        raise error
                    return
        finally:
            self.followers -= 1

    def _position_after(self, event_id: str | None) -> int:
        if event_id == LAST_EVENT and self.done:
            return len(self._history)
        source, _, number = (event_id or "").rpartition("-")
        known = source == self._source and number.isascii() and number.isdigit() and len(number) < 10
        return min(int(number), len(self._history)) if known else 0

    def _event_id(self, position: int) -> str:
        if isinstance(self._history[position - 1], Outcome):
            return LAST_EVENT
        return f"{self._source}-{position}"

    async def result(self) -> Outcome:
        """Wait for the pictures; raises the job's error."""
        await self._end()
        error = self.error or self.abandoned
        if error is not None:
            raise error
        assert self.outcome is not None, "a job finishes with its pictures"
        return self.outcome

    async def wait(self, timeout_s: float) -> None:
        """Return when the job is done, or after ``timeout_s``. Raises NotReady when this process leaves meanwhile."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._end()
        except TimeoutError:
            pass
        if self.abandoned is not None and not self.done:
            raise self.abandoned

    async def _end(self) -> None:
        self.waiters += 1
        try:
            while not self._known_no_further:
                await self._change.wait()
        finally:
            self.waiters -= 1

    def begin(self, started_at_s: float | None) -> None:
        """Work begins, perhaps once more after this process gave the job up; the service alone calls this."""
        self.abandoned = None
        self.times.started_at_s = started_at_s
        self.status = "running"

    def record(self, event: Queued | Progress | Preview | Words) -> None:
        """Append an event; the service alone calls this. What comes after the end is not told any more."""
        if self.done:
            return
        self._history.append(event)
        self.status = "queued" if isinstance(event, Queued) else "running"
        self._tell()

    def finish(self, outcome: Outcome) -> None:
        """End the job with its pictures or its words, unless it has ended; what another process has said of them is
        told before. The service alone calls this."""
        if self.done:
            return
        heard = self.said
        if outcome.text and outcome.text != heard and outcome.text.startswith(heard):
            self._history.append(Words(outcome.text[len(heard) :]))
        self._history.append(outcome)
        self.outcome = outcome
        self.status = "finished"
        self._tell()

    def fail(self, error: LimnerError) -> None:
        """End the job with an error, unless it has ended; the service alone calls this."""
        if self.done:
            return
        self.error = error
        self.status = "cancelled" if isinstance(error, ClientLeft) else "failed"
        self._tell()

    def abandon(self, error: LimnerError) -> None:
        """The job goes on without this process: whoever waits here hears ``error``; the service alone calls this."""
        self.abandoned = error
        self._tell()

    def _tell(self) -> None:
        change, self._change = self._change, asyncio.Event()
        change.set()
