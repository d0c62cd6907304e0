"""What a server counts and measures, and the page that Prometheus reads.

Owns names, labels and buckets; whoever does something calls the method that is named after it. Knows no HTTP, no
database and no engine: what it must ask for it is given as a function.
"""

import asyncio
import logging
import platform
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from limner import __version__
from limner.errors import LimnerError
from limner.metrics.engine import EngineCollector, EngineFigures
from limner.metrics.registry import BoundedLabel, Registry

logger = logging.getLogger(__name__)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ANONYMOUS = "anonymous"  # the key label of a server without keys
MICRO = 1_000_000
MAX_KEYS = 200
QUEUE_DEADLINE_S = 2.0
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
WORK_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600, 1800)
STAGE_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
HTTP_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

QueueSource = Callable[[], Awaitable[Mapping[str, tuple[int, int]]]]
ModelSource = Callable[[], Mapping[str, bool]]


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that has ended. ``error_code`` is set unless it finished; ``wall_s`` is 0 where it was not begun here;
    ``stages_s`` are device seconds by stage."""

    model: str
    operation: str
    owner: str
    status: Literal["finished", "failed", "cancelled"]
    error_code: str | None
    wall_s: float
    device_s: float
    cost_micro: int = 0
    images: int = 0
    stages_s: Mapping[str, float] = field(default_factory=dict)


class Metrics:
    """One server's figures, in a registry of its own. Methods are cheap and may be called from any thread.

    At most ``max_keys`` API keys have series of their own; the rest is counted as "other".
    """

    def __init__(self, *, max_keys: int = MAX_KEYS) -> None:
        self.registry = Registry()
        self._keys = BoundedLabel(max_keys)
        self._queue_source: QueueSource | None = None
        self._model_source: ModelSource | None = None
        self._make_jobs()
        self._make_keys()
        self._make_http()
        self._make_storage()
        self._make_process()

    def _counter(self, name: str, what: str, *labels: str, values: tuple[str, ...] = ()) -> Callable[..., Counter]:
        """Counters by their labels' values, which are looked up without the registry's locks. ``values`` of a single
        label are known beforehand: they start at 0, so that the first event shows as one."""
        labelled = cache(Counter(name, what, labels, registry=self.registry).labels)
        for value in values:
            labelled(value)
        return labelled

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Callable[..., Histogram]:
        """As `_counter`."""
        return cache(Histogram(name, what, labels, buckets=buckets, registry=self.registry).labels)

    def _make_jobs(self) -> None:
        work = ("model", "operation")
        self._accepted = self._counter("limner_jobs_accepted_total", "Jobs accepted.", *work)
        self._refused = self._counter(
            "limner_jobs_refused_total",
            "Requests refused at the door, without those that are malformed or lack a valid key.",
            "reason",
        )
        self._ended = self._counter("limner_jobs_ended_total", "Jobs ended.", *work, "status")
        self._failures = self._counter("limner_failures_total", "Jobs that did not finish.", "reason")
        self._taken_over = self._counter(
            "limner_jobs_taken_over_total",
            "Jobs whose process died: queued again or given up.",
            "outcome",
            values=("requeued", "given_up"),
        )
        self._images = self._counter("limner_images_total", "Pictures drawn.", *work)
        self._device_s = self._counter("limner_device_seconds_total", "Device time of ended jobs.", "model")
        self._wait_s = self._histogram(
            "limner_queue_wait_seconds", "From acceptance to the first work.", WAIT_BUCKETS, "model"
        )
        self._job_s = self._histogram("limner_job_seconds", "From the first work to the end.", WORK_BUCKETS, *work)
        self._stage_s = self._histogram("limner_stage_seconds", "Device time of a job's stage.", STAGE_BUCKETS, "stage")
        self._depth = self._gauge("limner_queue_depth", "Jobs queued, in the whole database.", "model")
        self._running = self._gauge("limner_jobs_running", "Jobs running, in the whole database.", "model")
        self._ready = self._gauge("limner_model_ready", "1 when the model can be used, otherwise 0.", "model")

    def _make_keys(self) -> None:
        self._key_jobs = self._counter("limner_key_jobs_total", "Jobs ended.", "key")
        self._key_images = self._counter("limner_key_images_total", "Pictures drawn.", "key")
        self._key_device_s = self._counter("limner_key_device_seconds_total", "Device time used.", "key")
        self._key_credits = self._counter("limner_key_credits_total", "Credits charged.", "key")

    def _make_http(self) -> None:
        route = ("route", "method")
        self._requests = self._counter("limner_http_requests_total", "HTTP requests answered.", *route, "status")
        self._request_s = self._histogram(
            "limner_http_request_seconds", "From a request's first byte to its answer's last.", HTTP_BUCKETS, *route
        )
        self._in_flight = self._gauge("limner_http_requests_in_flight", "HTTP requests not yet answered.")

    def _make_storage(self) -> None:
        self._blob_bytes = self._counter(
            "limner_blob_bytes_total", "Bytes put into and got from storage.", "operation", values=("put", "get")
        )
        self._blob_errors = self._counter(
            "limner_blob_errors_total", "Failures of storage.", "operation", values=("put", "get", "delete")
        )
        self._deliveries = self._counter(
            "limner_webhook_deliveries_total",
            "Attempts to tell a webhook.",
            "outcome",
            values=("delivered", "postponed", "given_up"),
        )
        self._scrape_errors = self._counter(
            "limner_scrape_errors_total", "Figures that could not be read.", "source", values=("queue",)
        )

    def _make_process(self) -> None:
        build = self._gauge("limner_build_info", "Always 1; the labels say what runs.", "version", "python")
        build.labels(__version__, platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def job_accepted(self, model: str, operation: str) -> None:
        """A job has its row."""
        self._accepted(model, operation).inc()

    def job_refused(self, reason: str) -> None:
        """A request did not become a job, for the reason with this error code."""
        self._refused(reason).inc()

    def job_started(self, model: str, waited_s: float) -> None:
        """A job's first work begins, ``waited_s`` after its acceptance."""
        self._wait_s(model).observe(max(waited_s, 0.0))

    def job_ended(self, job: EndedJob) -> None:
        """A job was recorded as ended."""
        self._ended(job.model, job.operation, job.status).inc()
        if job.wall_s:
            self._job_s(job.model, job.operation).observe(job.wall_s)
        self._device_s(job.model).inc(job.device_s)
        for stage, seconds in job.stages_s.items():
            self._stage_s(stage).observe(seconds)
        if job.error_code is not None:
            self._failures(job.error_code).inc()
        if job.images:
            self._images(job.model, job.operation).inc(job.images)
        self._charge(job)

    def _charge(self, job: EndedJob) -> None:
        key = self._keys.of(job.owner or ANONYMOUS)
        self._key_jobs(key).inc()
        self._key_images(key).inc(job.images)
        self._key_device_s(key).inc(job.device_s)
        self._key_credits(key).inc(job.cost_micro / MICRO)

    def jobs_taken_over(self, *, requeued: int, given_up: int) -> None:
        """Jobs of processes that died were queued again, or had died too often."""
        self._taken_over("requeued").inc(requeued)
        self._taken_over("given_up").inc(given_up)

    def request_began(self) -> None:
        """An HTTP request arrived; `request_ended` follows."""
        self._in_flight.inc()

    def request_ended(self, route: str, method: str, status: int, seconds: float) -> None:
        """An HTTP request was answered. ``route`` is the template, never the path: paths are without number."""
        shown = method if method in METHODS else "other"
        self._in_flight.dec()
        self._requests(route, shown, str(status)).inc()
        self._request_s(route, shown).observe(seconds)

    def blob_moved(self, operation: Literal["put", "get"], size_bytes: int) -> None:
        """A file was put into storage or got from it."""
        self._blob_bytes(operation).inc(size_bytes)

    def blob_failed(self, operation: Literal["put", "get", "delete"]) -> None:
        """Storage failed; a file that is not there is no failure."""
        self._blob_errors(operation).inc()

    def webhook(self, outcome: Literal["delivered", "postponed", "given_up"]) -> None:
        """One attempt to tell a webhook has ended."""
        self._deliveries(outcome).inc()

    def watch_engine(self, source: Callable[[], EngineFigures | None]) -> None:
        """Read the engine's own counts at every scrape, in the scrape's thread. To be called once."""
        self.registry.register(EngineCollector(source))

    def watch_queue(self, source: QueueSource) -> None:
        """Ask for ``model -> (queued, running)`` at every `scrape`."""
        self._queue_source = source

    def watch_models(self, source: ModelSource) -> None:
        """Ask for ``model -> whether it can be used`` at every `scrape`."""
        self._model_source = source

    async def refresh(self) -> None:
        """Ask the sources. A queue that does not answer leaves its gauges without samples, and is counted."""
        models = {} if self._model_source is None else self._model_source()
        depths = {} if self._queue_source is None else await self._ask(self._queue_source, models)
        for model, is_ready in models.items():
            self._ready.labels(model).set(is_ready)
        self._depth.clear()
        self._running.clear()
        for model, (queued, running) in depths.items():
            self._depth.labels(model).set(queued)
            self._running.labels(model).set(running)

    async def _ask(self, source: QueueSource, models: Iterable[str]) -> dict[str, tuple[int, int]]:
        try:
            async with asyncio.timeout(QUEUE_DEADLINE_S):
                return {**dict.fromkeys(models, (0, 0)), **await source()}
        except (LimnerError, TimeoutError) as error:
            logger.warning("the queue's depth could not be read: %s", str(error) or "no answer in time")
            self._scrape_errors("queue").inc()
            return {}

    def render(self) -> bytes:
        """The page, of type CONTENT_TYPE, with what is known now. Takes milliseconds: not for the loop."""
        return generate_latest(self.registry)
