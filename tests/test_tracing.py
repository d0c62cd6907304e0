"""Spans, as a collector gets them."""

import asyncio
import builtins
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from limner.config import load_settings
from limner.errors import InvalidRequest, NotReady
from limner.tracing import Tracing, open_tracing, traces_url

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


class Kept(InMemorySpanExporter):
    """An exporter that answers after it was closed."""

    def shutdown(self) -> None:
        """Keep what came."""


@pytest.fixture
def kept() -> Kept:
    return Kept()


def spans(tracing: Tracing, kept: Kept) -> dict[str, ReadableSpan]:
    """What was exported, by name."""
    tracing.close()
    return {span.name: span for span in kept.get_finished_spans()}


def test_spans_nest_across_tasks(kept: Kept) -> None:
    tracing = Tracing(kept)

    async def job() -> None:
        with tracing.span("job", model="sketch", nothing=None):
            await asyncio.sleep(0)

    async def main() -> None:
        with tracing.request("GET", {}):
            await asyncio.create_task(job())

    asyncio.run(main())
    found = spans(tracing, kept)
    assert found["GET"].kind is SpanKind.SERVER
    assert found["GET"].parent is None
    assert found["job"].parent is not None
    assert found["job"].parent.span_id == found["GET"].get_span_context().span_id  # type: ignore[union-attr]
    assert dict(found["job"].attributes or {}) == {"model": "sketch"}


def test_a_span_can_learn_more_while_it_lasts(kept: Kept) -> None:
    tracing = Tracing(kept)
    with tracing.request("GET", {}) as span:
        span.set("http.response.status_code", 200)
        span.set("http.route", None)
        span.rename("GET /health")
    (found,) = spans(tracing, kept).values()
    assert (found.name, dict(found.attributes or {})) == ("GET /health", {"http.response.status_code": 200})


@pytest.mark.parametrize(("share", "header", "is_kept"), [(0, SAMPLED, True), (1, UNSAMPLED, False)])
def test_a_clients_trace_goes_on_as_the_client_decided(kept: Kept, share: float, header: str, is_kept: bool) -> None:
    tracing = Tracing(kept, share=share)
    with tracing.request("GET", {"traceparent": header, "tracestate": "vendor=1"}):
        assert tracing.trace_id() == (TRACE if is_kept else "")
        sent = tracing.headers()
    assert (sent["traceparent"][:36], sent["tracestate"]) == (f"00-{TRACE}-", "vendor=1")
    assert PARENT not in sent["traceparent"]
    assert bool(spans(tracing, kept)) == is_kept


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01"])
def test_a_header_that_is_none_begins_a_trace_of_our_own(kept: Kept, header: str) -> None:
    tracing = Tracing(kept)
    with tracing.request("GET", {"traceparent": header}):
        assert tracing.trace_id() not in ("", TRACE, "0" * 32)
    assert spans(tracing, kept)["GET"].parent is None


def test_a_share_of_the_traces_is_kept(kept: Kept) -> None:
    tracing = Tracing(kept, share=0.5)
    for _ in range(400):
        with tracing.request("GET", {}):
            pass
    tracing.close()
    assert 120 < len(kept.get_finished_spans()) < 280


def test_work_can_be_taken_up_later_under_the_same_trace(kept: Kept) -> None:
    tracing = Tracing(kept)
    with tracing.request("POST", {}):
        stored = tracing.headers()
    with tracing.span("job", parent=stored):
        pass
    with tracing.span("another", parent={}):
        pass
    found = spans(tracing, kept)
    ids = {name: span.get_span_context().trace_id for name, span in found.items()}  # type: ignore[union-attr]
    assert ids["job"] == ids["POST"] != ids["another"]


def test_failures_are_told_by_code_and_not_by_what_the_client_sent(kept: Kept) -> None:
    tracing = Tracing(kept)
    for name, error in (("ours", InvalidRequest("size 'my secret' is wrong")), ("bug", KeyError("my secret"))):
        with pytest.raises(type(error)), tracing.span(name):
            raise error
    found = spans(tracing, kept)
    told = {name: (span.status.is_ok, (span.attributes or {})["error.type"]) for name, span in found.items()}
    assert told == {"ours": (False, "invalid_value"), "bug": (False, "KeyError")}
    assert "my secret" not in "".join(span.to_json() for span in found.values())


async def test_being_cancelled_is_no_failure(kept: Kept) -> None:
    tracing = Tracing(kept)

    async def work() -> None:
        with tracing.span("work"):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert spans(tracing, kept)["work"].status.is_unset


def test_stages_follow_one_another_after_the_wait(kept: Kept) -> None:
    tracing = Tracing(kept)
    with tracing.span("job"):
        tracing.took("queue", 1000.0, 2.0, model="sketch")
        tracing.stages(1002.0, {"queue": 0.5, "encode": 0.25, "denoise": 4.0, "decode": 0.0, "total": 9.0})
    found = spans(tracing, kept)
    times = {n: ((s.start_time or 0) / 1e9, (s.end_time or 0) / 1e9) for n, s in found.items() if n != "job"}
    assert times == {
        "queue": (1000.0, 1002.0),
        "engine.encode": (1002.5, 1002.75),
        "engine.denoise": (1002.75, 1006.75),
    }
    job = found["job"].get_span_context()
    assert {s.parent.span_id for n, s in found.items() if n != "job" and s.parent} == {job.span_id}  # type: ignore[union-attr]


def test_stages_of_pictures_drawn_side_by_side_end_with_the_job(kept: Kept) -> None:
    tracing = Tracing(kept)
    tracing.stages(1000.0, {"queue": 1.0, "encode": 1.0, "denoise": 6.0, "decode": 1.0, "total": 5.0})
    found = spans(tracing, kept)
    times = {name: ((s.start_time or 0) / 1e9, (s.end_time or 0) / 1e9) for name, s in found.items()}
    assert times == {
        "engine.encode": (1001.0, 1001.5),
        "engine.denoise": (1001.5, 1004.5),
        "engine.decode": (1004.5, 1005.0),
    }
    assert dict(found["engine.denoise"].attributes or {}) == {"device_s": 6.0}


def test_without_a_collector_nothing_happens_and_nothing_is_imported() -> None:
    code = """
import sys
from limner.config import load_settings
from limner.tracing import open_tracing
tracing = open_tracing(load_settings(None, {}))
with tracing.request("GET", {"traceparent": "x"}) as span, tracing.span("job", a=1):
    span.set("a", 1)
    span.rename("b")
tracing.took("queue", 0.0, 1.0)
tracing.stages(0.0, {"denoise": 1.0})
tracing.close()
assert (tracing.on, tracing.headers(), tracing.trace_id()) == (False, {}, "")
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_off_costs_next_to_nothing() -> None:
    tracing = Tracing()
    started_s = time.perf_counter()
    for _ in range(10_000):
        with tracing.span("job", model="sketch"):
            pass
    assert time.perf_counter() - started_s < 1.0  # about 10 ms


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without_it(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_it)
    with pytest.raises(InvalidRequest, match=r"pip install limner\[otel\]") as caught:
        open_tracing(load_settings(None, {"otlp_endpoint": "http://127.0.0.1:4318"}))
    assert caught.value.param == "otlp_endpoint"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://c:4318", "http://c:4318/v1/traces"),
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("https://c/otlp", "https://c/otlp/v1/traces"),
        ("https://c/otlp/v1/traces", "https://c/otlp/v1/traces"),
    ],
)
def test_the_collectors_base_or_full_address_will_do(endpoint: str, url: str) -> None:
    assert traces_url(endpoint) == url


def test_an_address_that_is_no_url_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'collector:4317' is no http") as caught:
        open_tracing(load_settings(None, {"otlp_endpoint": "collector:4317"}))
    assert caught.value.param == "otlp_endpoint"


class Collector:
    """Takes what is exported over HTTP."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.requests: list[ExportTraceServiceRequest] = []

    def names(self) -> set[str]:
        """Of all spans that came."""
        resources = [spans for request in self.requests for spans in request.resource_spans]
        return {span.name for one in resources for scope in one.scope_spans for span in scope.spans}


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    """A collector and its address."""
    taken = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            taken.paths.append(self.path)
            taken.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield taken, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_real_collector_gets_them_at_shutdown(collector: tuple[Collector, str]) -> None:
    taken, address = collector
    tracing = open_tracing(load_settings(None, {"otlp_endpoint": address, "trace_share": 1.0}))
    with tracing.request("POST /v1/images/generations", {}), tracing.span("job"):
        pass
    tracing.close()
    assert taken.paths == ["/v1/traces"]
    assert taken.names() == {"POST /v1/images/generations", "job"}
    attributes = taken.requests[0].resource_spans[0].resource.attributes
    assert {"service.name": "limner"}.items() <= {a.key: a.value.string_value for a in attributes}.items()


def test_a_collector_that_is_away_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    tracing = open_tracing(load_settings(None, {"otlp_endpoint": "http://127.0.0.1:9", "trace_share": 1.0}))
    with tracing.span("job"):
        pass
    started_s = time.monotonic()
    tracing.close()
    assert time.monotonic() - started_s < 6.0
    assert "export" in caplog.text, "the operator is told"


def test_an_error_of_ours_keeps_its_type_on_the_way(kept: Kept) -> None:
    with pytest.raises(NotReady, match="loading"), Tracing(kept).span("job"):
        raise NotReady("loading")
