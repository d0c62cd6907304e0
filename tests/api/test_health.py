"""/health and what lies below it, and /metrics."""

import asyncio

import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from limner.accounts import NewKey, Scope
from limner.api.app import create_app
from limner.api.gateway import Gateway
from limner.api.health import DEADLINE_S, KEPT_S, Readiness
from limner.config import Settings, load_settings
from limner.errors import NotReady
from tests.fakes import FakeBackend, opener

URL = "/v1/images/generations"


def client_of(app: FastAPI) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test")


def gateway_of(app: FastAPI) -> Gateway:
    gateway = app.state.gateway
    assert isinstance(gateway, Gateway)
    return gateway


async def test_a_server_that_works_is_live_and_ready(client: httpx2.AsyncClient) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        reply = await client.get(path)
        assert (reply.status_code, reply.json()["status"]) == (200, "ok"), path
        assert (await client.head(path)).status_code == 200
    assert (await client.get("/health/ready")).json() == {"status": "ok", "reasons": []}


async def test_health_keeps_its_shape(client: httpx2.AsyncClient) -> None:
    body = (await client.get("/health")).json()
    assert body.keys() == {"status", "model", "ready", "models"}
    assert body["models"][0] == {"id": "sketch", "state": "ready", "error": None}


async def test_while_starting_and_loading_it_is_live_and_not_ready(settings: Settings, backend: FakeBackend) -> None:
    app = create_app(settings, opener(backend, loading=True))
    async with client_of(app) as client:
        assert (await client.get("/health/live")).status_code == 200
        reply = await client.get("/health/ready")
        assert (reply.status_code, reply.json()["reasons"]) == (503, ["the server is starting"])
        async with app.router.lifespan_context(app):
            assert (await client.get("/health/live")).status_code == 200
            reply = await client.get("/health/ready")
            assert (reply.status_code, reply.json()["reasons"]) == (503, ["the model 'sketch' is loading"])


async def test_a_dead_engine_is_not_ready(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.healthy = False
    reply = await client.get("/health/ready")
    assert (reply.status_code, reply.json()["reasons"]) == (503, ["the model 'sketch' has failed"])
    assert (await client.get("/health/live")).status_code == 200


async def test_a_server_that_is_leaving_is_not_ready(client: httpx2.AsyncClient, app: FastAPI) -> None:
    gateway_of(app).service.stop_accepting()
    reply = await client.get("/health/ready")
    assert (reply.status_code, reply.json()["reasons"]) == (503, ["the server is shutting down"])
    assert (await client.get("/health/live")).status_code == 200


async def test_a_broken_picture_store_is_told_without_its_address(
    client: httpx2.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> str:
        raise NotReady("s3://internal-name: access denied")

    monkeypatch.setattr(gateway_of(app).service.blobs, "check", fail)
    reply = await client.get("/health/ready")
    assert (reply.status_code, reply.json()["reasons"]) == (503, ["the picture store does not work"])
    assert "internal-name: access denied" in caplog.text


class Part:
    """A part of the server that can be broken or slow; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.takes_s = 0.0

    async def check(self) -> None:
        self.asked += 1
        await asyncio.sleep(self.takes_s)
        if self.error is not None:
            raise self.error


async def test_parts_are_asked_seldom_and_once_for_everybody() -> None:
    now_s, part = 100.0, Part()
    readiness = Readiness({"database": part.check}, clock=lambda: now_s)
    await asyncio.gather(*(readiness.failing() for _ in range(20)))
    assert part.asked == 1
    part.error = NotReady("gone")
    now_s += KEPT_S - 0.1
    assert await readiness.failing() == ()
    now_s += 0.2
    assert await readiness.failing() == ("database",)
    part.error = None
    assert await readiness.failing() == ("database",)
    now_s += KEPT_S
    assert await readiness.failing() == ()


@pytest.mark.parametrize("error", [NotReady("gone"), OSError("gone"), TimeoutError()])
async def test_every_way_of_failing_counts(error: Exception) -> None:
    part, other = Part(), Part()
    part.error = error
    assert await Readiness({"database": part.check, "picture store": other.check}).failing() == ("database",)


async def test_a_part_that_hangs_fails(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("limner.api.health.DEADLINE_S", 0.05)
    part = Part()
    part.takes_s = 10 * DEADLINE_S
    assert await Readiness({"database": part.check}).failing() == ("database",)
    assert "no answer within 0.05 s" in caplog.text


async def test_metrics_tell_of_models_and_queue(client: httpx2.AsyncClient, app: FastAPI) -> None:
    service = gateway_of(app).service
    service.metrics.watch_queue(service.store.depth)
    service.metrics.watch_models(lambda: {model.spec.id: model.state == "ready" for model in service.roster})
    reply = await client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }
    assert samples["limner_model_ready", "sketch"] == 1
    assert samples["limner_queue_depth", "Qwen/Qwen-Image"] == 0
    assert samples["process_resident_memory_bytes",] > 0


async def test_metrics_can_be_switched_off(settings: Settings, backend: FakeBackend) -> None:
    app = create_app(settings.model_copy(update={"metrics": False}), opener(backend))
    async with app.router.lifespan_context(app), client_of(app) as client:
        reply = await client.get("/metrics")
    assert reply.status_code == 404
    assert "the setting metrics is false" in reply.json()["error"]["message"]


@pytest.mark.parametrize(("scopes", "status"), [({"read", "generate"}, 403), ({"admin"}, 200)])
async def test_with_keys_metrics_are_for_admins_and_health_for_all(
    backend: FakeBackend, settings: Settings, scopes: set[Scope], status: int
) -> None:
    strict = load_settings(None, {"data": settings.data, "open": "no"})
    app = create_app(strict, opener(backend))
    async with app.router.lifespan_context(app), client_of(app) as client:
        secret, _ = await gateway_of(app).keyring.create(NewKey("scraper", scopes=frozenset(scopes)))
        assert (await client.get("/metrics")).status_code == 401
        reply = await client.get("/metrics", headers={"Authorization": f"Bearer {secret}"})
        assert reply.status_code == status
        for path in ("/health", "/health/live", "/health/ready"):
            assert (await client.get(path)).status_code == 200
