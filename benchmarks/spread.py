"""Medians, quartiles and paired ratios: nothing here is ever said about a single timing."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of ``count`` values and the quartiles around it."""

    median: float
    low: float
    high: float
    count: int

    def format(self, digits: int = 2, unit: str = "") -> str:
        """Such as ``1.04 (1.02–1.07)``."""
        return f"{self.median:.{digits}f}{unit} ({self.low:.{digits}f}–{self.high:.{digits}f})"


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of at least two values."""
    assert len(values) > 1, "nothing is timed once"
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, len(values))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """The spread of pairwise ratios: the i-th of both were measured right after one another."""
    return spread([a / b for a, b in zip(numerators, denominators, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` (0..1) of all values do not exceed (nearest rank)."""
    assert values, "no values"
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, math.ceil(share * len(ranked)) - 1))]
