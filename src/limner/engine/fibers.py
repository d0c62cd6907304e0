"""Fibers: ordinary blocking code that another thread can suspend and resume.

A fiber runs its function in a thread of its own and passes a baton: either the fiber or the thread that resumed it
runs, never both. Owns threads and batons only; knows no torch. Threads rather than greenlets, because torch keeps its
grad mode per thread.
"""

import threading
from collections.abc import Callable

_local = threading.local()


class _Worker:
    """A reusable thread. Both locks serve as binary semaphores, taken while nobody may pass."""

    def __init__(self, prepare: Callable[[], None], name: str) -> None:
        self.go = threading.Lock()
        self.back = threading.Lock()
        self.go.acquire()
        self.back.acquire()
        self.fiber: Fiber | None = None
        self.thread = threading.Thread(target=self._run, args=(prepare,), name=name, daemon=True)
        self.thread.start()

    def _run(self, prepare: Callable[[], None]) -> None:
        prepare()
        while True:
            self.go.acquire()
            if self.fiber is None:
                return
            _local.fiber = self.fiber
            self.fiber.run_body()
            _local.fiber = None
            self.back.release()


class Fiber:
    """One suspendable call. Resumed by one thread at a time; ``done`` after its function returned or raised.

    ``context`` is whatever its starter wants to find again through `current`.
    """

    def __init__(self, body: Callable[[], object], context: object, worker: _Worker, pool: "FiberPool") -> None:
        self._body: Callable[[], object] | None = body
        self.context = context
        self._worker = worker
        self._pool = pool
        self._answer: object = None
        self._thrown: BaseException | None = None
        self.waiting_on: object = None
        self.result: object = None
        self.error: BaseException | None = None
        self.done = False

    def resume(self, answer: object = None, *, error: BaseException | None = None) -> None:
        """Run until the next suspension or the end; ``suspend`` returns ``answer`` there, or raises ``error``."""
        self._require_unfinished()
        self.waiting_on, self._answer, self._thrown = None, answer, error
        self._worker.fiber = self
        self._worker.go.release()
        self._worker.back.acquire()
        if self.done:
            self._worker.fiber = None
            self._pool._give_back(self._worker)

    def _require_unfinished(self) -> None:
        if self.done:
            raise RuntimeError("a finished fiber cannot be resumed")

    def run_body(self) -> None:
        """The fiber's whole life, in its own thread. An error thrown before the first line means it never starts."""
        assert self._body is not None
        body, self._body = self._body, None
        try:
            if self._thrown is not None:
                raise self._thrown
            self.result = body()
        except BaseException as error:  # noqa: BLE001 - a thread's root: the resumer looks at it
            self.error = error
        self._answer = self._thrown = None
        self.done = True

    def suspend(self, item: object) -> object:
        """Called inside the fiber: hand ``item`` to the resumer as ``waiting_on`` and wait for its answer."""
        assert current() is self, "only the fiber itself can suspend"
        self.waiting_on = item
        self._worker.back.release()
        self._worker.go.acquire()
        answer, thrown = self._answer, self._thrown
        self._answer = self._thrown = None
        if thrown is not None:
            raise thrown
        return answer


class FiberPool:
    """Starts fibers on threads that are used again; every new thread runs ``prepare`` once."""

    def __init__(self, prepare: Callable[[], None] = lambda: None, name: str = "fiber") -> None:
        self._prepare = prepare
        self._name = name
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._made = 0
        self._closed = False

    @property
    def threads(self) -> int:
        """Threads made so far; finished fibers give theirs back for the next."""
        return self._made

    def start(self, body: Callable[[], object], context: object = None) -> Fiber:
        """A fiber that runs nothing before its first ``resume``."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
            if worker is None:
                self._made += 1
        if worker is None:
            worker = _Worker(self._prepare, f"{self._name}-{self._made}")
        return Fiber(body, context, worker, self)

    def close(self) -> None:
        """End idle threads; those of running fibers end when they are given back."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for worker in idle:
            worker.go.release()
            worker.thread.join()

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(worker)
                return
        worker.go.release()


def current() -> Fiber | None:
    """The fiber this thread is running, if any."""
    return getattr(_local, "fiber", None)
