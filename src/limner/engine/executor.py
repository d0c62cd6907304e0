"""A lane: one thread that begins samples, merges their suspended calls into forwards, and resumes them.

One turn reads as *admit, choose, run, resume*. Owns its fibers; samples come from the backlog, the choice from the
policy, the forward from the rendezvous point.
"""

import logging
import threading
from collections.abc import Sequence
from time import monotonic, perf_counter
from typing import Any

import torch

from limner.core import Picture
from limner.engine.backlog import Backlog
from limner.engine.devices import Device, free_memory, prepare_thread
from limner.engine.failures import is_out_of_memory, let_go, to_limner_error
from limner.engine.fibers import FiberPool
from limner.engine.gate import Gate
from limner.engine.live import Live, Pause
from limner.engine.lora import Weights
from limner.engine.policy import BatchCurve, Waiting
from limner.engine.rendezvous import Call
from limner.engine.sample import Cancelled, Result
from limner.engine.stats import Tally
from limner.errors import NotReady

log = logging.getLogger(__name__)

_Ready = tuple[Live, Call]
_MOST_KEYS = 256  # kinds of calls that are remembered
_POLL_S = 0.002  # how often a lane looks whether another lane has finished the prompt it waits for


class Lane:
    """One executor. Started by its constructor; ends after the backlog closes."""

    def __init__(
        self, index: int, backlog: Backlog[Live], device: Device, gate: Gate, max_batch: int, tally: Tally
    ) -> None:
        self._index, self._backlog, self._device, self._gate = index, backlog, device, gate
        self._max_batch, self._tally = max_batch, tally
        self._caps: dict[object, int] = {}  # a call's key -> batch size that still fitted into memory
        self._curves: dict[object, BatchCurve] = {}
        self._active: list[Live] = []
        # The heavy operations run on the lane. What is left in a fiber is small: more threads would only cost a pool.
        self._fibers = FiberPool(lambda: prepare_thread(device, threads=1), name=f"limner-fiber-{index}")
        self._thread = threading.Thread(target=self._run, name=f"limner-lane-{index}", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until the lane has ended."""
        self._thread.join()

    @property
    def fiber_threads(self) -> int:
        """Threads that this lane's fibers have needed so far."""
        return self._fibers.threads

    def _run(self) -> None:
        try:
            prepare_thread(self._device, self._device.threads)
            while not self._backlog.closing:
                self._turn()
            self._end(NotReady("the engine is closing"))
        except BaseException:  # the thread's root
            log.exception("lane %d died", self._index)
            for live in self._active:
                _unwind(live)
            for live in self._backlog.lane_died(self._index):
                live.listener.failed(NotReady("the engine has died"))
        finally:
            self._fibers.close()

    def _turn(self) -> None:
        self._admit()
        self._resume_ready()
        batch = self._choose()
        if batch:
            self._forward(batch)
        elif not any(_can_go_on(live) for live in self._active):
            self._sleep()

    def _sleep(self) -> None:
        backlog = self._backlog

        def has_news() -> bool:
            return backlog.closing or backlog.can_take(self._index) or any(_can_go_on(live) for live in self._active)

        backlog.wait(has_news, _POLL_S if self._active else None)

    def _admit(self) -> None:
        for dropped in self._backlog.drop_cancelled():
            dropped.listener.cancelled()
        while (live := self._backlog.take(self._index)) is not None:
            live.lane, live.started_at = self._index, monotonic()
            self._active.append(live)
            try:
                live.loras = self._adapters_for(live)
                live.fiber = self._fibers.start(live.draw, live)
            except Exception as error:  # noqa: BLE001 - this sample's failure, not the lane's
                self._finish(live, error)
                continue
            self._resume(live)

    def _adapters_for(self, live: Live) -> tuple[Weights, ...]:
        if not live.sample.loras:
            return ()
        # Loading changes modules that other lanes are running on, so it waits for all of them to stand still.
        with self._gate.writing():
            return live.model.adapters.acquire(live.sample.loras)

    def _resume_ready(self) -> None:
        """Go on with fibers that wait for no forward: cancelled ones, and those whose pause is over."""
        for live in list(self._active):
            if live.cancelled:
                self._resume(live, error=Cancelled())
            elif isinstance(live.waiting_on, Pause) and live.waiting_on.is_over():
                self._resume(live)

    def _choose(self) -> list[_Ready]:
        """The samples, and their calls, that make the next forward."""
        ready = [(live, call) for live in self._active if isinstance(call := live.waiting_on, Call)]
        if not ready:
            return []
        now = monotonic()
        # Encoding comes first, because a sample can only merge once it is done; decoding ends a sample.
        waiting = [
            Waiting(call.key, live.owner, live.remaining if call.point.stage == "denoise" else 0.0, now - call.since)
            for live, call in ready
        ]
        chosen = [ready[i] for i in self._backlog.choose(waiting, self._max_batch)]
        wanted = min(self._max_batch, sum(call.count for _, call in chosen))
        return _fitting(chosen, self._limit(chosen[0][1], wanted))

    def _limit(self, call: Call, most: int) -> int:
        if most == 1:
            return 1
        return min(self._caps.get(call.key, most), self._curve(call).limit(most))

    def _curve(self, call: Call) -> BatchCurve:
        if len(self._curves) > _MOST_KEYS:
            self._curves.clear()
        return self._curves.setdefault(call.key, BatchCurve())

    def _forward(self, batch: Sequence[_Ready]) -> None:
        """Run one forward and resume its fibers; what fails together is tried again one by one."""
        first = batch[0][1]
        calls = [one for _, call in batch for one in call.together]
        if self._device.threads > 1:  # fibers set one thread, which some libraries understand as everybody's number
            torch.set_num_threads(self._device.threads)
        began = perf_counter()
        try:
            with self._gate.reading():
                outputs = iter(first.point.run(calls))
                self._device.synchronize()
        except Exception as error:  # noqa: BLE001 - belongs to the samples, which report it
            self._recover(batch, error)
            return
        elapsed_s = perf_counter() - began
        self._tally.forward(first.point.stage, len(calls), elapsed_s)
        if first.merges:
            self._curve(first).observe(len(calls), elapsed_s)
        for live, call in batch:
            share_s = elapsed_s * call.count / len(calls)
            live.charge(call.point.stage, share_s)
            self._backlog.charge(live.owner, share_s)
            output = next(outputs)
            for guess in call.foreseen:
                guess.output = next(outputs)
            self._resume(live, output)

    def _recover(self, batch: Sequence[_Ready], error: Exception) -> None:
        size = sum(call.count for _, call in batch)
        let_go(error)  # of the tensors of the forward that failed
        if is_out_of_memory(error):
            free_memory()
            self._tally.out_of_memory()
            if size > 1:  # a lone call that finds no room says nothing of how many there is room for
                self._lower_cap(batch[0][1].key, size // 2)
        if size == 1:
            self._resume(batch[0][0], error=error)
            return
        log.warning("a batch of %d failed and runs singly: %s", size, error)
        for live, call in batch:
            for guess in call.foreseen:
                guess.failed = not is_out_of_memory(error)
            call.foreseen = ()
            self._forward([(live, call)])

    def _lower_cap(self, key: object, size: int) -> None:
        if len(self._caps) > _MOST_KEYS:
            self._caps.clear()
        self._caps[key] = size

    def _resume(self, live: Live, output: Any = None, *, error: BaseException | None = None) -> None:
        assert live.fiber is not None
        with self._gate.reading():
            live.fiber.resume(output, error=error)
        if live.fiber.done:
            self._finish(live, live.fiber.error)

    def _finish(self, live: Live, error: BaseException | None) -> None:
        """Report the end. The fiber goes first: an error's traceback would keep its tensors alive, as its frames do."""
        picture = live.fiber.result if live.fiber else None
        live.fiber = None
        live.model.adapters.release(live.loras)
        live.forget()
        self._active.remove(live)
        self._backlog.done(self._index, live)
        _report(live, picture, error)
        let_go(error)

    def _end(self, error: NotReady) -> None:
        """Unwind every fiber and fail what is left."""
        for live in list(self._active):
            live.cancelled = True
            while live in self._active:
                self._resume(live, error=Cancelled())
        for live in self._backlog.lane_died(self._index):
            live.listener.failed(error)


def _unwind(live: Live) -> None:
    """End the fiber of a dead lane: others may wait for the prompt that it encodes."""
    live.cancelled = True
    while live.fiber is not None and not live.fiber.done:
        live.fiber.resume(error=Cancelled())
    live.model.adapters.release(live.loras)


def _fitting(chosen: Sequence[_Ready], limit: int) -> list[_Ready]:
    """As many of the chosen as make at most ``limit`` calls; what is foreseen stays out where it has no room."""
    fitting: list[_Ready] = []
    room = limit
    for live, call in chosen:
        if not room:
            break
        if call.count > room:
            call.foreseen = ()
        fitting.append((live, call))
        room -= call.count
    return fitting


def _report(live: Live, picture: object, error: BaseException | None) -> None:
    match error:
        case None:
            assert isinstance(picture, Picture)
            live.listener.finished(Result(picture, live.timings()))
        case Cancelled():
            live.listener.cancelled()
        case _:
            live.listener.failed(to_limner_error(error, live.sample.pipeline, began=live.step > 0))


def _can_go_on(live: Live) -> bool:
    waiting_on = live.waiting_on
    return live.cancelled or not isinstance(waiting_on, Pause) or waiting_on.is_over()
