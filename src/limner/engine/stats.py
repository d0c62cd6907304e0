"""What an engine has done since it started and what it holds now, in figures.

Owns the counts that lanes write and the values that whoever watches is given; imports no torch and knows no metrics
system.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from limner.engine.sample import Stage


@dataclass(slots=True)
class Uses:
    """How often a cache was asked and had the answer; written under the cache's own lock."""

    hits: int = 0
    misses: int = 0

    def count(self, *, hit: bool) -> None:
        """The cache was asked once."""
        if hit:
            self.hits += 1
        else:
            self.misses += 1


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot. Counts only grow; what is held now is in ``active_samples``, ``waiting_samples`` and the bytes.

    ``forwards`` and ``forward_s`` (device seconds) are by stage; ``batches`` counts denoising forwards by the calls
    merged into them. ``cache_uses`` is by model and cache (``prompt``, ``lora``). ``device_bytes`` has ``allocated``,
    ``reserved``, ``free`` and ``total`` as far as the device tells them; a CPU tells nothing.
    """

    device: str
    forwards: Mapping[str, int]
    forward_s: Mapping[str, float]
    batches: Mapping[int, int]
    out_of_memory: int
    active_samples: int
    waiting_samples: int
    cache_uses: Mapping[tuple[str, str], Uses]
    parameter_bytes: Mapping[str, int]
    device_bytes: Mapping[str, int]


@dataclass(slots=True)
class Tally:
    """What lanes count. Safe from any thread."""

    _forwards: Counter[str] = field(default_factory=Counter)
    _forward_s: dict[str, float] = field(default_factory=dict)
    _batches: Counter[int] = field(default_factory=Counter)
    _out_of_memory: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def forward(self, stage: Stage, calls: int, seconds: float) -> None:
        """One forward for ``calls`` calls took ``seconds`` of the device."""
        with self._lock:
            self._forwards[stage] += 1
            self._forward_s[stage] = self._forward_s.get(stage, 0.0) + seconds
            if stage == "denoise":
                self._batches[calls] += 1

    def out_of_memory(self) -> None:
        """A forward found no room."""
        with self._lock:
            self._out_of_memory += 1

    def read(self) -> tuple[Mapping[str, int], Mapping[str, float], Mapping[int, int], int]:
        """Forwards by stage, their seconds by stage, denoising forwards by calls, and forwards without room."""
        with self._lock:
            return dict(self._forwards), dict(self._forward_s), dict(self._batches), self._out_of_memory
