"""Traces: where a request's time went, told to an OpenTelemetry collector.

Owns spans, sampling and delivery. OpenTelemetry (the extra ``otel``) is imported only when a collector is named;
otherwise every method returns at once. Spans carry codes and figures, never prompts or error messages.
"""

import logging
import math
import threading
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol, TypeAlias

from limner import __version__
from limner.config import Settings
from limner.errors import InvalidRequest, LimnerError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as OtelSpan

logger = logging.getLogger(__name__)
DELIVERY_S = 5.0  # how long one delivery, and the last one at shutdown, may take
NANO = 1_000_000_000
STAGES = ("encode", "denoise", "decode")  # of device time

Value: TypeAlias = str | bool | int | float
Headers: TypeAlias = Mapping[str, str]


class Span(Protocol):
    """A stretch of work that is going on."""

    def set(self, name: str, value: Value | None) -> None:
        """Say something about it; None says nothing."""
        ...

    def rename(self, name: str) -> None:
        """Call it otherwise, now that more is known."""
        ...


class Tracing:
    """Makes spans below the current task's span. Without an exporter it does nothing, cheaply.

    ``share`` of the traces that begin here are kept; one that began at a client is kept if that client keeps it.
    """

    def __init__(self, exporter: "SpanExporter | None" = None, *, share: float = 1.0) -> None:
        self._otel = None if exporter is None else _Otel(exporter, share)

    @property
    def on(self) -> bool:
        """Whether anything is traced."""
        return self._otel is not None

    def span(
        self, name: str, *, parent: Headers | None = None, **attributes: Value | None
    ) -> AbstractContextManager[Span]:
        """Time a block. ``parent`` is what `headers` gave elsewhere; by default the current span is.

        An exception that leaves the block marks the span as failed, by its code or class.
        """
        return _NOTHING if self._otel is None else self._otel.span(name, parent, attributes, is_server=False)

    def request(self, name: str, headers: Headers, **attributes: Value | None) -> AbstractContextManager[Span]:
        """Time the handling of an HTTP request; ``headers`` (lower case) may continue a client's trace."""
        return _NOTHING if self._otel is None else self._otel.span(name, headers, attributes, is_server=True)

    def took(self, name: str, start_s: float, seconds: float, **attributes: Value | None) -> None:
        """A span that is over: it began at ``start_s`` (unix seconds)."""
        if self._otel is not None:
            self._otel.took(name, start_s, seconds, attributes)

    def stages(self, start_s: float, timings_s: Mapping[str, float]) -> None:
        """Spans for the engine's stages, one after the other from ``start_s`` on, with their ``device_s``.

        They are as long as that, but shortened in proportion where pictures of one job were drawn side by side and the
        sum is longer than the job. A stage's real beginning means little: merged forwards interleave jobs.
        """
        queue_s = timings_s.get("queue", 0.0)
        device_s = {stage: timings_s.get(stage, 0.0) for stage in STAGES}
        work_s, whole_s = sum(device_s.values()), timings_s.get("total", math.inf) - queue_s
        scale = min(1.0, whole_s / work_s) if work_s > 0 else 1.0
        begin_s = start_s + queue_s
        for stage, seconds in device_s.items():
            if seconds > 0:
                self.took(f"engine.{stage}", begin_s, seconds * scale, device_s=seconds)
            begin_s += seconds * scale

    def headers(self) -> dict[str, str]:
        """``traceparent`` of the current span, to send to an upstream or to keep with a job; empty without one."""
        return {} if self._otel is None else self._otel.headers()

    def trace_id(self) -> str:
        """The current trace's id, 32 hex digits; "" where nothing is kept of it."""
        parts = self.headers().get("traceparent", "").split("-")
        return parts[1] if len(parts) == 4 and int(parts[3], 16) & 1 else ""

    def close(self) -> None:
        """Deliver what is left, for at most DELIVERY_S. Blocks."""
        if self._otel is not None:
            self._otel.close()


def open_tracing(settings: Settings) -> Tracing:
    """Tracing as the settings say. Raises InvalidRequest for a collector's address that is no URL, or without the
    package."""
    if not settings.otlp_endpoint:
        return Tracing()
    address = traces_url(settings.otlp_endpoint)
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise InvalidRequest(
            "otlp_endpoint is set, but OpenTelemetry is not installed: pip install limner[otel]", param="otlp_endpoint"
        ) from error
    return Tracing(OTLPSpanExporter(address, timeout=DELIVERY_S), share=settings.trace_share)


def traces_url(endpoint: str) -> str:
    """Where traces go at a collector whose base URL, or very URL for traces, is ``endpoint``."""
    if not endpoint.lower().startswith(("http://", "https://")):
        raise InvalidRequest(
            f"otlp_endpoint {endpoint!r} is no http(s) URL; write it like http://127.0.0.1:4318", param="otlp_endpoint"
        )
    base = endpoint.rstrip("/")
    return base if base.endswith("/v1/traces") else f"{base}/v1/traces"


class _Nothing:
    """The span of what is not traced."""

    def set(self, name: str, value: Value | None) -> None:
        pass

    def rename(self, name: str) -> None:
        pass


_NOTHING: AbstractContextManager[Span] = nullcontext(_Nothing())


class _Recording:
    def __init__(self, span: "OtelSpan") -> None:
        self._span = span

    def set(self, name: str, value: Value | None) -> None:
        if value is not None:
            self._span.set_attribute(name, value)

    def rename(self, name: str) -> None:
        self._span.update_name(name)


class _Otel:
    """OpenTelemetry's side of it: one provider that is nobody else's."""

    def __init__(self, exporter: "SpanExporter", share: float) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create({"service.name": "limner", "service.version": __version__})
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)), resource=resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("limner", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self, name: str, parent: Headers | None, attributes: Mapping[str, Value | None], *, is_server: bool
    ) -> Generator[Span]:
        from opentelemetry.trace import SpanKind, Status, StatusCode

        kind = SpanKind.SERVER if is_server else SpanKind.INTERNAL
        with self._tracer.start_as_current_span(
            name,
            context=self._continued(parent),
            kind=kind,
            attributes=_known(attributes),
            record_exception=False,  # messages may quote what a client sent
            set_status_on_exception=False,
        ) as span:
            try:
                yield _Recording(span)
            except Exception as error:
                code = error.code if isinstance(error, LimnerError) else type(error).__name__
                span.set_attribute("error.type", code)
                span.set_status(Status(StatusCode.ERROR, code))
                raise

    def _continued(self, parent: Headers | None) -> "Context | None":
        return None if parent is None else self._propagator.extract(parent)

    def took(self, name: str, start_s: float, seconds: float, attributes: Mapping[str, Value | None]) -> None:
        start_ns = round(start_s * NANO)
        span = self._tracer.start_span(name, start_time=start_ns, attributes=_known(attributes))
        span.end(start_ns + round(max(seconds, 0.0) * NANO))

    def headers(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier

    def close(self) -> None:
        # The provider itself would wait for half a minute for a collector that is not there.
        closing = threading.Thread(target=self._provider.shutdown, name="limner-traces", daemon=True)
        closing.start()
        closing.join(DELIVERY_S)
        if closing.is_alive():
            logger.warning("the last traces could not be delivered within %g s", DELIVERY_S)


def _known(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if value is not None}
