"""Work that blocks, such as looking at a picture, on a thread of its own, as events.

Owns the passing of progress to the loop and of cancellation to the thread. Knows nothing of what is done.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from time import monotonic
from typing import TypeAlias, TypeVar

from limner.core import Event, Finished, Progress
from limner.errors import NotReady

T = TypeVar("T")
_CLOSING = "the server is shutting down"
Tell: TypeAlias = Callable[[int, int], None]
"""Steps done, of how many. Raises where nobody waits for the work any more, which ends it."""


def took(began_s: float) -> dict[str, float]:
    """The timings of work on one thread since ``began_s``, monotonic: all of it is device time, which "decode" is."""
    seconds = round(monotonic() - began_s, 6)
    return {"decode": seconds, "total": seconds}


class _Unwanted(BaseException):
    """Thrown into work that was cancelled; no ``except Exception`` on the way may swallow it."""


def outcome(done: asyncio.Future[T]) -> T:
    """What work on a thread came to. Raises NotReady where its executor was shut down before it began."""
    if done.cancelled():
        raise NotReady(_CLOSING)
    return done.result()


def begun(threads: Executor, work: Callable[[], T]) -> asyncio.Future[T]:
    """``work`` on one of ``threads``, for `outcome`. Raises NotReady where they have been shut down."""
    try:
        return asyncio.get_running_loop().run_in_executor(threads, work)
    except RuntimeError as error:  # after its shutdown an executor takes nothing
        raise NotReady(_CLOSING) from error


async def working(threads: Executor, work: Callable[[Tell], Finished]) -> AsyncGenerator[Event, None]:
    """What ``work`` tells as Progress, of which only the latest is kept, then what it returns; raises what it raises,
    and NotReady where the threads end before the work has begun. Closing the iterator ends the work at the next step
    that it tells, or before it has begun."""
    loop, news, left = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    latest: list[Progress] = []

    def note(progress: Progress) -> None:
        latest[:] = [progress]
        news.set()

    def tell(step: int, total_steps: int) -> None:
        if left.is_set():
            raise _Unwanted
        with contextlib.suppress(RuntimeError):  # after the loop has closed nobody listens
            loop.call_soon_threadsafe(note, Progress(step, total_steps))

    doing = begun(threads, lambda: work(tell))
    doing.add_done_callback(lambda _: news.set())
    try:
        while latest or not doing.done():
            if latest:
                yield latest.pop()
            else:
                news.clear()
                await news.wait()
        yield outcome(doing)
    finally:
        left.set()
        doing.cancel()
