"""Fibers: suspend, resume, throw, and threads used again."""

import threading

import pytest

from limner.engine.fibers import Fiber, FiberPool, current


def suspend(item: object) -> object:
    fiber = current()
    assert fiber is not None
    return fiber.suspend(item)


def test_a_fiber_runs_only_while_it_is_resumed() -> None:
    seen: list[object] = []

    def body() -> str:
        seen.append(suspend("first"))
        seen.append(suspend("second"))
        return "end"

    pool = FiberPool()
    fiber = pool.start(body)
    log: list[object] = []
    for answer in (None, 1, 2):
        fiber.resume(answer)
        log.append((fiber.waiting_on, list(seen)))
    assert log == [("first", []), ("second", [1]), (None, [1, 2])]
    assert fiber.done
    assert (fiber.result, fiber.error, seen) == ("end", None, [1, 2])
    pool.close()


def test_an_error_thrown_in_surfaces_at_the_suspension() -> None:
    def body() -> str:
        try:
            suspend("here")
        except KeyError:
            return "caught"
        return "not thrown"

    pool = FiberPool()
    fiber = pool.start(body)
    fiber.resume()
    fiber.resume(error=KeyError())
    assert fiber.result == "caught"
    pool.close()


def test_an_error_before_the_start_keeps_the_body_from_running() -> None:
    ran: list[int] = []
    pool = FiberPool()
    fiber = pool.start(lambda: ran.append(1))
    fiber.resume(error=KeyError())
    assert fiber.done
    assert isinstance(fiber.error, KeyError)
    assert not ran
    pool.close()


def test_an_error_in_the_body_is_kept_for_the_resumer() -> None:
    pool = FiberPool()
    fiber = pool.start(lambda: 1 // 0)
    fiber.resume()
    assert isinstance(fiber.error, ZeroDivisionError)
    with pytest.raises(RuntimeError):
        fiber.resume()
    pool.close()


def test_interleaved_fibers_know_themselves_and_their_context() -> None:
    seen: dict[object, list[object]] = {"a": [], "b": []}

    def body() -> None:
        for step in range(3):
            fiber = current()
            assert fiber is not None
            seen[fiber.context].append(step)
            fiber.suspend(None)

    pool = FiberPool()
    fibers = [pool.start(body, name) for name in seen]
    while not all(fiber.done for fiber in fibers):
        for fiber in fibers:
            fiber.resume()
    assert seen == {"a": [0, 1, 2], "b": [0, 1, 2]}
    assert current() is None
    pool.close()


def test_threads_are_used_again_and_end_with_the_pool() -> None:
    before = threading.active_count()
    prepared: list[int] = []
    pool = FiberPool(lambda: prepared.append(threading.get_ident()))

    def finish(fiber: Fiber) -> None:
        while not fiber.done:
            fiber.resume()

    for _ in range(500):
        finish(pool.start(lambda: suspend("once")))
    assert pool.threads == len(prepared) == 1
    pool.close()
    assert threading.active_count() == before
