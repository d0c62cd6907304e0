"""Figures of the engine, read from its own counts whenever they are asked for.

Owns how such a snapshot is named for Prometheus; knows the engine only by the shape of what it tells.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)
BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


class CacheUses(Protocol):
    """How often a cache had the answer."""

    @property
    def hits(self) -> int:
        """Times it had."""
        ...

    @property
    def misses(self) -> int:
        """Times it had not."""
        ...


class EngineFigures(Protocol):
    """A snapshot of an engine; see `limner.engine.EngineStats`."""

    @property
    def device(self) -> str:
        """Its name, such as cuda:0."""
        ...

    @property
    def forwards(self) -> Mapping[str, int]:
        """Forwards by stage."""
        ...

    @property
    def forward_s(self) -> Mapping[str, float]:
        """Device seconds by stage."""
        ...

    @property
    def batches(self) -> Mapping[int, int]:
        """Denoising forwards by the calls merged into them."""
        ...

    @property
    def out_of_memory(self) -> int:
        """Forwards that found no room."""
        ...

    @property
    def active_samples(self) -> int:
        """Samples begun and not ended."""
        ...

    @property
    def waiting_samples(self) -> int:
        """Samples not begun."""
        ...

    @property
    def cache_uses(self) -> Mapping[tuple[str, str], CacheUses]:
        """By model and cache."""
        ...

    @property
    def parameter_bytes(self) -> Mapping[str, int]:
        """By model."""
        ...

    @property
    def device_bytes(self) -> Mapping[str, int]:
        """By kind: allocated, reserved, free, total."""
        ...


class EngineCollector(Collector):
    """Asks ``source`` at every scrape; None, or an engine that fails to answer, leaves the families without samples."""

    def __init__(self, source: Callable[[], EngineFigures | None]) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """The families, filled from one snapshot."""
        try:
            figures = self._source()
        except Exception:  # a scrape's root: a device that has died must not take the other figures with it
            logger.exception("the engine's figures could not be read")
            figures = None
        yield from _work(figures)
        yield from _memory(figures)

    def describe(self) -> Iterator[Metric]:
        """The families alone; registering must not ask the engine."""
        yield from _work(None)
        yield from _memory(None)


def _work(figures: EngineFigures | None) -> Iterator[Metric]:
    batches = HistogramMetricFamily(
        "limner_batch_size", "Calls merged into one denoising forward; a guided sample makes two a step."
    )
    forwards = CounterMetricFamily("limner_forwards", "Forwards of models.", labels=["stage"])
    seconds = CounterMetricFamily("limner_forward_seconds", "Device seconds of forwards.", labels=["stage"])
    failures = CounterMetricFamily("limner_out_of_memory", "Forwards that found no room on the device.")
    samples = GaugeMetricFamily(
        "limner_samples", "Pictures that the engine is drawing or has waiting.", labels=["state"]
    )
    if figures is not None:
        buckets, total = _cumulative(figures.batches)
        batches.add_metric([], buckets, total)
        for stage, count in figures.forwards.items():
            forwards.add_metric([stage], count)
            seconds.add_metric([stage], figures.forward_s.get(stage, 0.0))
        failures.add_metric([], figures.out_of_memory)
        samples.add_metric(["active"], figures.active_samples)
        samples.add_metric(["waiting"], figures.waiting_samples)
    yield from (batches, forwards, seconds, failures, samples)


def _memory(figures: EngineFigures | None) -> Iterator[Metric]:
    hits = CounterMetricFamily("limner_cache_hits", "Times a cache had the answer.", labels=["cache", "model"])
    misses = CounterMetricFamily("limner_cache_misses", "Times a cache had not.", labels=["cache", "model"])
    weights = GaugeMetricFamily("limner_model_parameter_bytes", "Size of a loaded model's weights.", labels=["model"])
    device = GaugeMetricFamily(
        "limner_device_memory_bytes", "Memory of the device; nothing of a CPU.", labels=["device", "kind"]
    )
    if figures is not None:
        for (model, cache), uses in figures.cache_uses.items():
            hits.add_metric([cache, model], uses.hits)
            misses.add_metric([cache, model], uses.misses)
        for model, size in figures.parameter_bytes.items():
            weights.add_metric([model], size)
        for kind, size in figures.device_bytes.items():
            device.add_metric([figures.device, kind], size)
    yield from (hits, misses, weights, device)


def _cumulative(batches: Mapping[int, int]) -> tuple[list[tuple[str, float]], float]:
    """Prometheus buckets, each with all that is not larger, and the sum of sizes."""
    buckets = [
        (str(float(bound)), float(sum(count for size, count in batches.items() if size <= bound)))
        for bound in BATCH_BUCKETS
    ]
    buckets.append(("+Inf", float(sum(batches.values()))))
    return buckets, float(sum(size * count for size, count in batches.items()))
