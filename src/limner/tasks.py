"""Waiting for coroutines: for several at once, and for one that may be broken off for a reason.

Owns no task longer than somebody waits for it, and knows nothing of what is waited for.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
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
    """Breaks off what is waited for under it. The first reason counts, for good."""

    def __init__(self) -> None:
        self._reason: Callable[[], Exception] | None = None
        self._works: set[asyncio.Task[Any]] = set()  # that go on

    def strike(self, reason: Callable[[], Exception]) -> None:
        """Let whoever waits under this hear ``reason()``, now and from now on.

        A function, as an error that is kept keeps all that its traceback has seen.
        """
        if self._reason is None:
            self._reason = reason
            self._works = {work for work in self._works if not work.cancel()}  # what has just ended is heard of

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result; the reason is raised instead if it comes before that, once the work has let go.

        The work has a task of its own: whatever else happens to the one that waits, it is cancelled once, and what it
        does then is not cut short. Who is cancelled while waiting for that waits no longer.
        """
        if self._reason is not None:
            work.close()
            raise self._told()
        task = asyncio.create_task(work)
        self._works.add(task)
        try:
            await asyncio.wait({task})
            goes_on = task in self._works
        finally:
            if task in self._works:
                self._works.discard(task)
                task.cancel()
            if not task.done():
                await asyncio.wait({task})
        try:
            if goes_on:
                return task.result()
            if not task.cancelled():
                task.exception()  # retrieved: the reason is told instead
            raise self._told()
        finally:
            del task  # what is raised keeps this frame, which would keep it

    def _told(self) -> Exception:
        assert self._reason is not None
        return self._reason()
