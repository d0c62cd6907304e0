"""Samples that wait for a lane, and how lanes share them.

Owns the one condition that lanes sleep on. Knows no torch: what waits is anything with an owner, work and a model.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Generic, Protocol, TypeVar

from limner.engine.policy import Shares, Waiting, choose, order


class Queueable(Protocol):
    """What a backlog holds."""

    submitted_at: float
    cancelled: bool

    @property
    def owner(self) -> str:
        """Whose it is."""
        ...

    @property
    def remaining(self) -> float:
        """Work left, in any one unit."""
        ...


T = TypeVar("T", bound=Queueable)


class Backlog(Generic[T]):
    """A queue with as many takers as there are lanes. All methods are safe from any thread."""

    def __init__(self, lanes: int, *, max_active: int, age_limit_s: float = 10.0) -> None:
        self.changed = threading.Condition()
        self.shares = Shares()
        self.closing = False
        self._waiting: list[T] = []
        self._active: list[list[T]] = [[] for _ in range(lanes)]
        self._alive = [True] * lanes
        self._max_active, self._age_limit_s = max_active, age_limit_s

    def add(self, item: T) -> bool:
        """Queue ``item``; False if nobody will ever take it."""
        with self.changed:
            if self.closing or not any(self._alive):
                return False
            self._waiting.append(item)
            self._note_owners()
            self.changed.notify_all()
            return True

    def take(self, lane: int) -> T | None:
        """The next item for ``lane``, which counts as active there until `done`. Lanes stay level: one that has more
        than the emptiest takes nothing."""
        with self.changed:
            if not self.can_take(lane):
                return None
            now = monotonic()
            waiting = [Waiting(None, w.owner, w.remaining, now - w.submitted_at) for w in self._waiting]
            item = self._waiting.pop(order(waiting, self.shares, self._age_limit_s)[0])
            self._active[lane].append(item)
            # An idle lane may have declined before because it was not the emptiest.
            self.changed.notify_all()
            return item

    def done(self, lane: int, item: T) -> None:
        """``item`` has ended."""
        with self.changed:
            self._active[lane].remove(item)
            self._note_owners()
            self.changed.notify_all()

    def charge(self, owner: str, device_s: float) -> None:
        """Count device time against ``owner``."""
        with self.changed:
            self.shares.charge(owner, device_s)

    def choose(self, waiting: Sequence[Waiting], limit: int) -> list[int]:
        """Which of a lane's ``waiting`` calls run next, as `policy.choose`."""
        with self.changed:
            return choose(waiting, self.shares, limit=limit, age_limit_s=self._age_limit_s)

    def drop_cancelled(self) -> list[T]:
        """Take out what was cancelled while waiting."""
        with self.changed:
            dropped = [item for item in self._waiting if item.cancelled]
            self._waiting = [item for item in self._waiting if not item.cancelled]
            return dropped

    def waiting(self) -> int:
        """How many items no lane has taken."""
        return len(self._waiting)

    def active(self) -> int:
        """How many items lanes have taken and not ended."""
        return sum(map(len, self._active))

    def wait(self, until: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Sleep until ``until`` holds after a change, or for ``timeout_s``."""
        with self.changed:
            self.changed.wait_for(until, timeout_s)

    def notify(self) -> None:
        """Make every lane look again."""
        with self.changed:
            self.changed.notify_all()

    def can_take(self, lane: int) -> bool:
        """Whether `take` would answer something; called with the lock held."""
        active = [len(items) for items, alive in zip(self._active, self._alive, strict=True) if alive]
        mine = len(self._active[lane])
        return bool(self._waiting) and mine <= min(active) and mine < self._max_active

    def close(self) -> None:
        """Take nothing more; lanes end when they see it."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()

    def lane_died(self, lane: int) -> list[T]:
        """Give up a lane; what it had, and, after the last one, everything that waits."""
        with self.changed:
            self._alive[lane] = False
            lost, self._active[lane] = self._active[lane], []
            if not any(self._alive):
                lost, self._waiting = lost + self._waiting, []
            self.changed.notify_all()
            return lost

    @property
    def is_healthy(self) -> bool:
        """Whether every lane lives."""
        return all(self._alive)

    def _note_owners(self) -> None:
        everything: Iterable[T] = (*self._waiting, *(item for items in self._active for item in items))
        self.shares.present(list({item.owner for item in everything}))
