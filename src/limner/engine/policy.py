"""Who goes next: shortest remaining work first, with ageing, fair across owners.

Plain values and arithmetic; knows no torch, no threads and no models, and is tested from tables.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that could run now.

    ``key`` groups what may run together; ``remaining`` is work left in any one unit (steps x pixels); ``waited_s``
    counts since it last got the device.
    """

    key: Hashable
    owner: str
    remaining: float
    waited_s: float


class Shares:
    """Device time per owner, for fairness between owners and not between samples.

    An owner that was away comes back level with the least-served one present, so that idling saves up nothing.
    """

    def __init__(self, quantum_s: float = 2.0) -> None:
        self._quantum_s = quantum_s
        self._served_s: dict[str, float] = {}

    def present(self, owners: Sequence[str]) -> None:
        """Tell which owners have work now; the others are forgotten."""
        known = [self._served_s[owner] for owner in owners if owner in self._served_s]
        floor = min(known, default=0.0)
        self._served_s = {owner: self._served_s.get(owner, floor) for owner in owners}

    def charge(self, owner: str, device_s: float) -> None:
        """``owner`` used ``device_s`` seconds of a device."""
        self._served_s[owner] = self._served_s.get(owner, 0.0) + device_s

    def debt(self, owner: str) -> int:
        """Quanta served beyond the least-served owner. Whole quanta, so that small differences split no batch."""
        floor = min(self._served_s.values(), default=0.0)
        return int((self._served_s.get(owner, floor) - floor) / self._quantum_s)


def order(waiting: Sequence[Waiting], shares: Shares, age_limit_s: float) -> list[int]:
    """Indices, first to run first: whatever waited beyond ``age_limit_s`` (longest first), then the least-served
    owner's, then the least work remaining; ties keep the order given."""

    def rank(i: int) -> tuple[float, int, float]:
        w = waiting[i]
        if w.waited_s > age_limit_s:
            return (-w.waited_s, 0, 0.0)
        return (0.0, shares.debt(w.owner), w.remaining)

    return sorted(range(len(waiting)), key=rank)


def choose(waiting: Sequence[Waiting], shares: Shares, *, limit: int, age_limit_s: float = 10.0) -> list[int]:
    """Indices of the next batch: the first in order and, up to ``limit``, those that can run along with it."""
    ranked = order(waiting, shares, age_limit_s)
    if not ranked:
        return []
    key = waiting[ranked[0]].key
    return [i for i in ranked if waiting[i].key == key][: max(1, limit)]


class BatchCurve:
    """Measured seconds of one forward by batch size, t(B), and the largest batch worth making.

    A size counts by the median of its latest times. Sizes that were not measured count as worth it. Once it is seen
    that a smaller batch gives as many samples per second, within ``gain``, that one is the limit: larger ones would
    only make everybody wait longer. Every ``explore``-th answer is half or twice as much, so that the curve fills
    itself and a disturbance does not stay for ever.
    """

    def __init__(self, *, gain: float = 1.05, trials: int = 3, explore: int = 10) -> None:
        self._gain, self._trials, self._explore = gain, trials, explore
        self._latest_s: dict[int, deque[float]] = {}
        self._asked = 0

    def observe(self, size: int, seconds: float) -> None:
        """A forward of ``size`` samples took ``seconds``."""
        self._latest_s.setdefault(size, deque(maxlen=5)).append(seconds)

    def limit(self, most: int) -> int:
        """The batch size to allow now, 1..``most``."""
        self._asked += 1
        limit = self._worthwhile(most)
        turn, rest = divmod(self._asked, self._explore)
        if rest:
            return limit
        return max(1, limit // 2) if turn % 2 else min(most, limit * 2)

    def _worthwhile(self, most: int) -> int:
        rates = {
            size: size / median(times)
            for size, times in self._latest_s.items()
            if size <= most and len(times) >= self._trials
        }
        if not rates:
            return most
        enough = min(size for size, rate in rates.items() if rate * self._gain >= max(rates.values()))
        return most if enough == max(rates) else enough
