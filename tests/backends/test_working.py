import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import pytest

from limner.backends.working import Tell, working
from limner.core import Event, Finished, Progress
from limner.errors import InvalidRequest, NotReady

DONE = Finished(())


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


async def test_steps_become_progress_and_the_result_comes_last(thread: ThreadPoolExecutor) -> None:
    goes_on = threading.Event()

    def work(tell: Tell) -> Finished:
        tell(1, 2)
        goes_on.wait()
        tell(2, 2)
        return DONE

    events: list[Event] = []
    async for event in working(thread, work):
        events.append(event)
        goes_on.set()
    assert events == [Progress(1, 2), Progress(2, 2), DONE]


async def test_of_steps_that_nobody_has_taken_only_the_latest_is_kept(thread: ThreadPoolExecutor) -> None:
    goes_on = threading.Event()

    def work(tell: Tell) -> Finished:
        tell(1, 1000)
        goes_on.wait()
        for step in range(2, 1001):
            tell(step, 1000)
        return DONE

    events = working(thread, work)
    assert await anext(events) == Progress(1, 1000)
    goes_on.set()
    thread.submit(lambda: None).result()  # holds up this loop until all has been told
    assert [event async for event in events] == [Progress(1000, 1000), DONE]


async def test_errors_reach_who_waits(thread: ThreadPoolExecutor) -> None:
    def work(tell: Tell) -> Finished:
        raise InvalidRequest("no", param="image")

    with pytest.raises(InvalidRequest, match="no"):
        await anext(working(thread, work))


async def test_closing_ends_the_work_at_its_next_step(thread: ThreadPoolExecutor) -> None:
    goes_on, ended = threading.Event(), threading.Event()
    steps = []

    def work(tell: Tell) -> Finished:
        try:
            for step in range(1, 10):
                tell(step, 10)
                steps.append(step)
                goes_on.wait()
        finally:
            ended.set()
        return DONE

    async with aclosing(working(thread, work)) as events:
        await anext(events)
    goes_on.set()
    assert await asyncio.to_thread(ended.wait, 5)
    assert steps == [1]


async def test_work_that_has_not_begun_never_does(thread: ThreadPoolExecutor) -> None:
    goes_on, begun = threading.Event(), []
    thread.submit(goes_on.wait)

    def work(tell: Tell) -> Finished:
        begun.append(True)
        return DONE

    events = working(thread, work)
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    goes_on.set()
    await asyncio.to_thread(thread.submit(lambda: None).result)
    assert begun == []


async def test_who_waits_while_the_server_closes_is_told_so(thread: ThreadPoolExecutor) -> None:
    goes_on = threading.Event()
    thread.submit(goes_on.wait)
    waiting = asyncio.ensure_future(anext(working(thread, lambda tell: DONE)))
    await asyncio.sleep(0)
    thread.shutdown(wait=False, cancel_futures=True)
    late = asyncio.ensure_future(anext(working(thread, lambda tell: DONE)))
    told = await asyncio.gather(waiting, late, return_exceptions=True)
    goes_on.set()
    assert [str(one) for one in told] == ["the server is shutting down"] * 2
    assert all(isinstance(one, NotReady) for one in told)
