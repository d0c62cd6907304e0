"""Waiting for coroutines: for several at once, and for one that may be broken off for a reason.

Owns the two ways in which asyncio's own means cost a task more than is needed. Knows nothing of what is waited for.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> tuple[T, ...]:
    """All results, in order. What goes wrong first is raised and ends the rest, which nobody waits for any more."""
    coroutines = tuple(work)
    if len(coroutines) < 2:  # nothing to do at the same time, and a task costs more than most of what is waited for
        return tuple([await one for one in coroutines])
    tasks = [asyncio.create_task(one) for one in coroutines]
    try:
        return tuple(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            if not task.cancelling():  # a second time would cut its cleaning up short
                task.cancel()


class Interrupt:
    """Breaks off what is waited for under it, one thing after another, in the task that waits: as `asyncio.timeout`
    does, but when it is told to. The first reason counts, for good."""

    def __init__(self) -> None:
        self._reason: Exception | None = None
        self._waiting: asyncio.Task[Any] | None = None
        self._cancellations = 0  # that the waiting task had been sent before
        self._struck = False

    def strike(self, reason: Exception) -> None:
        """Let whoever waits under this hear ``reason``, now and from now on."""
        self._reason = self._reason or reason
        task = self._waiting
        # Once is enough: a second cancellation would cut short the cleaning up after the first.
        if task is not None and task.cancelling() <= self._cancellations:
            self._struck = True
            task.cancel()

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result; the reason is raised instead if it comes before that, once the work has let go."""
        assert self._waiting is None, "one thing after another"
        if self._reason is not None:
            work.close()
            raise self._reason
        task = asyncio.current_task()
        assert task is not None, "coroutines are awaited in tasks"
        self._waiting, self._cancellations = task, task.cancelling()
        try:
            return await work
        finally:
            self._waiting = None
            if self._struck and task.uncancel() <= self._cancellations:
                assert self._reason is not None
                raise self._reason from None
