"""/health, /v1/models and refusals under load."""

import asyncio
import re

import httpx2
from fastapi import FastAPI

from limner.api.app import create_app
from limner.config import Settings
from tests.fakes import FakeBackend, opener

URL = "/v1/images/generations"


def client_of(app: FastAPI) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test")


async def test_health_is_200_when_ready(client: httpx2.AsyncClient) -> None:
    reply = await client.get("/health")
    assert reply.status_code == 200
    assert {"status": "ok", "model": "sketch", "ready": True}.items() <= reply.json().items()


async def test_health_and_work_are_503_while_loading(settings: Settings, backend: FakeBackend) -> None:
    app = create_app(settings, opener(backend, loading=True))
    async with client_of(app) as client:
        assert (await client.get("/health")).status_code == 503  # not even started
        async with app.router.lifespan_context(app):
            assert (await client.get("/health")).json()["status"] == "loading"
            reply = await client.post(URL, json={"prompt": "x"})
            assert reply.status_code == 503
            assert int(reply.headers["retry-after"]) >= 1


async def test_models_publish_their_parameters(client: httpx2.AsyncClient) -> None:
    listed = (await client.get("/v1/models")).json()
    assert listed["object"] == "list"
    ids = [entry["id"] for entry in listed["data"]]
    assert ids[:3] == ["sketch", "Tongyi-MAI/Z-Image-Turbo", "Qwen/Qwen-Image"]
    assert {"limner/auto", "route-llm"} <= set(ids[3:])
    for entry in listed["data"]:
        assert entry["object"] == "model"
        assert "num_inference_steps" in entry["parameters"]
        one = (await client.get(f"/v1/models/{entry['id']}")).json()
        assert list(one.pop("schema")["properties"]) == list(entry["parameters"])
        assert one == entry
    assert (await client.get("/v1/models/nothing")).status_code == 404


async def test_names_that_mean_whichever_fits_are_listed_as_what_they_mean(client: httpx2.AsyncClient) -> None:
    listed = {entry["id"]: entry for entry in (await client.get("/v1/models")).json()["data"]}
    auto, meant = listed["limner/auto"], listed["Qwen/Qwen-Image"]
    assert (auto["resolves_to"], auto["object"], auto["aliases"]) == ("Qwen/Qwen-Image", "model", [])
    assert auto["parameters"] == meant["parameters"]
    assert "resolves_to" not in meant
    one = (await client.get("/v1/models/LIMNER/auto")).json()
    assert one.pop("schema")["properties"]
    assert one == auto


async def test_stand_ins_are_marked_and_found_by_every_name(settings: Settings) -> None:
    app = create_app(settings, opener(FakeBackend(), "sketch", stand_in=True))
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        listed = {entry["id"]: entry["stand_in"] for entry in (await http.get("/v1/models")).json()["data"]}
        assert {listed.pop(name) for name in ("sketch", "limner/auto")} == {None}
        assert set(listed.values()) == {"sketch"}
        for name, known in (("dall-e-3", "dalle"), ("gpt-image-1", "gpt_image"), ("flux2_pro", "flux2_pro")):
            one = (await http.get(f"/v1/models/{name}")).json()
            assert (one["id"], one["state"], one["stand_in"]) == (known, "ready", "sketch")
        assert [model["id"] for model in (await http.get("/health")).json()["models"]] == ["sketch"]


async def test_a_model_that_is_only_known_is_a_404_saying_what_to_configure(client: httpx2.AsyncClient) -> None:
    reply = await client.post("/v1/images/generations", json={"model": "gpt_image", "prompt": "x"})
    assert reply.status_code == 404
    assert "--stand-in" in reply.json()["error"]["message"]


async def test_a_full_queue_is_a_429_with_retry_after(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.delay_s = 0.05
    replies = await asyncio.gather(*(client.post(URL, json={"prompt": "x"}) for _ in range(12)))
    statuses = sorted(reply.status_code for reply in replies)
    assert set(statuses) == {200, 429}
    assert statuses.count(200) == 4  # the settings' queue_limit
    for reply in replies:
        if reply.status_code == 429:
            assert int(reply.headers["retry-after"]) >= 1
            assert reply.json()["error"]["code"] == "queue_full"
    assert (await client.post(URL, json={"prompt": "x"})).status_code == 200


async def test_the_openapi_document_names_the_routes_and_fields(client: httpx2.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert {URL, "/v1/images/edits", "/v1/models", "/health"} <= set(document["paths"])
    body = document["paths"][URL]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"prompt", "n", "size", "seed", "timeout", "lora", "extra_body"} <= set(body["properties"])


async def test_the_front_door_leads_to_the_documentation(client: httpx2.AsyncClient) -> None:
    for method in ("GET", "HEAD"):
        reply = await client.request(method, "/")
        assert (reply.status_code, reply.headers["location"]) == (307, "docs")
    shown = await client.get("/", follow_redirects=True)
    assert (shown.url.path, shown.status_code) == ("/docs", 200)
    assert "swagger" in shown.text


async def test_the_documentation_needs_nothing_from_elsewhere(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    assert re.findall(r"https?://[^\s\"']*", page) == []
    named = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert len(named) == 3
    for name in (*named, "openapi.json"):
        assert (await client.get(f"/{name}")).status_code == 200, name
    assert (await client.get("/docs/static/../../secret")).status_code in (400, 404)
    assert (await client.get("/docs/static/nothing")).json()["error"]["code"] == "not_found"
