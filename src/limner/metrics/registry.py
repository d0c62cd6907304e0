"""The registry of one server, and labels that cannot grow without bound.

Owns no figure; nothing here is global, so that several servers can live in one process.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

OTHER = "other"


class Registry(CollectorRegistry):
    """Leaves out the ``_created`` series, which would double what is stored of every counter and histogram."""

    def collect(self) -> Iterable[Metric]:
        """Every family with its samples."""
        for family in super().collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class BoundedLabel:
    """The first ``limit`` values by their own name, every later one as "other"."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def of(self, value: str) -> str:
        """The label for ``value``."""
        if value not in self._known:
            if len(self._known) >= self._limit:
                return OTHER
            self._known.add(value)
        return value
