"""Waiting for several coroutines, and for one that is broken off for a reason."""

import asyncio
import gc
import weakref

import pytest

from limner.tasks import Interrupt, together


class Reason(Exception):
    """Why work is broken off."""


async def number(value: int) -> int:
    await asyncio.sleep(0)
    return value


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_results_come_in_order(count: int) -> None:
    assert await together(number(i) for i in range(count)) == tuple(range(count))


async def test_what_goes_wrong_ends_the_rest() -> None:
    ended = asyncio.Event()

    async def lasting() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def failing() -> None:
        await asyncio.sleep(0)
        raise Reason

    with pytest.raises(Reason):
        await together([lasting(), failing()])
    await asyncio.wait_for(ended.wait(), 5)


async def test_undisturbed_work_gives_its_result() -> None:
    assert await Interrupt().guard(number(3)) == 3


async def test_the_first_reason_is_raised_once_the_work_has_let_go() -> None:
    interrupt, heard = Interrupt(), []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            interrupt.strike(lambda: Reason("second"))  # does not cut this short
            await asyncio.sleep(0.01)
            heard.append("let go")

    asyncio.get_running_loop().call_later(0.01, interrupt.strike, lambda: Reason("first"))
    with pytest.raises(Reason, match="first"):
        await interrupt.guard(work())
    assert heard == ["let go"]


async def test_what_comes_after_the_reason_does_not_begin() -> None:
    interrupt, begun = Interrupt(), []
    interrupt.strike(Reason)

    async def work() -> None:
        begun.append(True)

    with pytest.raises(Reason):
        await interrupt.guard(work())
    assert not begun


async def test_all_that_is_waited_for_is_broken_off() -> None:
    interrupt = Interrupt()
    tasks = [asyncio.create_task(interrupt.guard(asyncio.sleep(60))) for _ in range(2)]
    await asyncio.sleep(0)
    interrupt.strike(Reason)
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in ended] == [Reason, Reason]


async def test_work_that_answers_its_cancellation_is_still_broken_off() -> None:
    interrupt = Interrupt()

    async def stubborn() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return 1
        return 0

    asyncio.get_running_loop().call_later(0.01, interrupt.strike, Reason)
    with pytest.raises(Reason):
        await interrupt.guard(stubborn())


async def test_a_strike_is_not_lost_while_the_work_has_a_timeout_of_its_own() -> None:
    interrupt, rounds = Interrupt(), []

    async def work() -> None:
        for number in range(3):
            rounds.append(number)
            try:
                async with asyncio.timeout(0.01):
                    try:
                        await asyncio.sleep(60)
                    finally:
                        interrupt.strike(Reason)
                        await asyncio.sleep(0.01)
            except TimeoutError:
                continue

    with pytest.raises(Reason):
        await interrupt.guard(work())
    assert rounds == [0]


@pytest.mark.parametrize("struck", [False, True])
async def test_letting_go_is_not_cut_short_by_who_cancels_the_one_that_waits(struck: bool) -> None:
    interrupt, let_go = Interrupt(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            let_go.set()

    task = asyncio.create_task(interrupt.guard(work()))
    await asyncio.sleep(0.01)
    if struck:
        interrupt.strike(Reason)
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.01)
    task.cancel()  # who waits no longer waits even for that
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not let_go.is_set()
    await asyncio.wait_for(let_go.wait(), 5)


async def test_a_timeout_around_it_is_told_from_the_reason() -> None:
    async def guarded(interrupt: Interrupt, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            await interrupt.guard(asyncio.sleep(60))

    with pytest.raises(TimeoutError):
        await guarded(Interrupt(), 0.01)
    interrupt = Interrupt()
    asyncio.get_running_loop().call_later(0.01, interrupt.strike, Reason)
    with pytest.raises(Reason):
        await guarded(interrupt, 60)


@pytest.mark.parametrize("fails", [False, True])
async def test_what_the_work_held_is_free_at_once(fails: bool) -> None:
    class Body:
        """Megabytes."""

    async def work(body: Body) -> None:
        await asyncio.sleep(0.01)
        if fails:
            raise ValueError
        await asyncio.sleep(60)

    async def exchange() -> None:
        interrupt = Interrupt()
        asyncio.get_running_loop().call_later(0.05, interrupt.strike, Reason)
        try:
            body = Body()
            held.append(weakref.ref(body))
            await interrupt.guard(work(body))
        except (Reason, ValueError):
            pass

    held: list[weakref.ref[Body]] = []
    gc.collect()
    gc.disable()
    try:
        await asyncio.create_task(exchange())
        assert held[0]() is None
    finally:
        gc.enable()
