"""Every exchange is counted, timed and traced; none is changed."""

import httpx2
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from starlette.types import Receive, Scope, Send

from limner.api.watch import Watch
from limner.metrics import Metrics
from limner.tracing import Tracing
from tests.test_metrics import samples
from tests.test_tracing import SAMPLED, TRACE, Kept, spans

URL = "/v1/images/generations"


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def tracing(kept: Kept) -> Tracing:
    return Tracing(kept)


@pytest.fixture
def watched(app: FastAPI, metrics: Metrics, tracing: Tracing) -> httpx2.AsyncClient:
    """A client of the whole app behind the watch."""
    watch = Watch(app, metrics_of=lambda: metrics, tracing_of=lambda: tracing)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=watch), base_url="http://limner.test")


def counted(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Requests by method, route and status."""
    return {key[1:]: value for key, value in samples(metrics).items() if key[0] == "limner_http_requests_total"}


def told(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def test_requests_are_counted_by_the_routes_template(watched: httpx2.AsyncClient, metrics: Metrics) -> None:
    for path in ("/v1/models/sketch", "/v1/models/Qwen/Qwen-Image", "/v1/models/nothing", "/no/such/path", "/docs"):
        await watched.get(path)
    await watched.post(URL, json={"prompt": "x", "size": "nonsense"})
    assert counted(metrics) == {
        ("GET", "/v1/models/{model_id:model}", "200"): 2,
        ("GET", "/v1/models/{model_id:model}", "404"): 1,
        ("GET", "other", "404"): 1,
        ("GET", "/docs", "200"): 1,
        ("POST", URL, "400"): 1,
    }
    found = samples(metrics)
    assert found["limner_http_request_seconds_count", "GET", "/v1/models/{model_id:model}"] == 3
    assert found["limner_http_requests_in_flight",] == 0


async def test_the_answer_is_the_same(watched: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    seen, plain = await watched.get("/v1/models"), await client.get("/v1/models")
    assert (seen.status_code, seen.content) == (plain.status_code, plain.content)
    assert "x-request-id" in seen.headers


async def test_a_request_is_a_span_that_continues_the_clients_trace(
    watched: httpx2.AsyncClient, tracing: Tracing, kept: Kept
) -> None:
    headers = {"traceparent": SAMPLED, "X-Request-Id": "req_mine"}
    await watched.post(URL, json={"prompt": "x", "n": 1}, headers=headers)
    span = spans(tracing, kept)[f"POST {URL}"]
    context = span.get_span_context()
    assert context is not None
    assert (f"{context.trace_id:032x}", span.kind) == (TRACE, SpanKind.SERVER)
    assert told(span) == {
        "http.request.method": "POST",
        "http.route": URL,
        "http.response.status_code": 200,
        "limner.request_id": "req_mine",
    }


async def test_health_and_metrics_make_no_spans(watched: httpx2.AsyncClient, tracing: Tracing, kept: Kept) -> None:
    for path in ("/health", "/health/ready", "/metrics"):
        assert (await watched.get(path)).status_code == 200
    assert spans(tracing, kept) == {}


async def test_a_client_that_left_is_a_499(metrics: Metrics) -> None:
    async def never_answers(scope: Scope, receive: Receive, send: Send) -> None:
        """As the app behaves when nobody is there to answer."""

    watch = Watch(never_answers, metrics_of=lambda: metrics, tracing_of=Tracing)
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await watch(scope, receive=None, send=None)  # type: ignore[arg-type]
    assert counted(metrics) == {("GET", "other", "499"): 1}


async def test_whatever_breaks_the_request_is_over(metrics: Metrics) -> None:
    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("broken")

    watch = Watch(breaks, metrics_of=lambda: metrics, tracing_of=Tracing)
    with pytest.raises(RuntimeError):
        await watch({"type": "http", "method": "GET", "path": "/", "headers": []}, None, None)  # type: ignore[arg-type]
    assert samples(metrics)["limner_http_requests_in_flight",] == 0


async def test_before_the_start_requests_pass_unseen(app: FastAPI) -> None:
    watch = Watch(app, metrics_of=lambda: None, tracing_of=lambda: None)
    transport = httpx2.ASGITransport(app=watch)
    async with httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as client:
        assert (await client.get("/health/live")).status_code == 200
