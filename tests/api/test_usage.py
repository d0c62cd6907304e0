"""GET /v1/usage, and keys' limits as clients meet them."""

import time
from dataclasses import replace

import httpx2
import pytest
from fastapi import FastAPI

from limner.accounts import Keyring, NewKey
from limner.api.gateway import Gateway
from limner.store import KeyRow
from tests.fakes import FakeBackend

URL = "/v1/images/generations"
FIELDS = {"prompt": "x", "model": "sketch", "num_inference_steps": 1}


@pytest.fixture
def keyring(app: FastAPI) -> Keyring:
    """The server's, with half a credit as the price of a picture."""
    gateway: Gateway = app.state.gateway
    model = gateway.service.roster.find("sketch")
    model.spec = replace(model.spec, price_per_image=0.5)
    return gateway.keyring


async def new(keyring: Keyring, name: str, *scopes: str, **limits: object) -> tuple[dict[str, str], KeyRow]:
    """Headers that bring a new key, and its row."""
    made = NewKey(name, frozenset(scopes or ("generate", "read")), **limits)  # type: ignore[arg-type]
    secret, row = await keyring.create(made)
    return {"Authorization": f"Bearer {secret}"}, row


async def test_an_open_server_tells_everybodys_usage(client: httpx2.AsyncClient) -> None:
    before_s = time.time()
    empty = (await client.get("/v1/usage")).json()
    assert empty == {
        "object": "list",
        "since": pytest.approx(before_s - 30 * 86_400, abs=10),
        "until": pytest.approx(before_s, abs=10),
        "data": [],
        "total": {"jobs": 0, "images": 0, "device_s": 0.0, "credits": 0.0},
        "balance": None,
    }
    assert (await client.post(URL, json={**FIELDS, "n": 2})).status_code == 200
    (entry,) = (await client.get("/v1/usage")).json()["data"]
    assert {"key_id": "", "key_name": None, "model": "sketch", "jobs": 1, "images": 2}.items() <= entry.items()


async def test_a_key_sees_its_own_usage_and_balance(client: httpx2.AsyncClient, keyring: Keyring) -> None:
    alice, row = await new(keyring, "alice", credits_micro=3_000_000)
    bob, other = await new(keyring, "bob")
    for headers in (alice, alice, bob):
        assert (await client.post(URL, json=FIELDS, headers=headers)).status_code == 200
    told = (await client.get("/v1/usage", headers=alice)).json()
    (entry,) = told["data"]
    assert (entry["key_id"], entry["key_name"], entry["jobs"], entry["images"]) == (row.id, "alice", 2, 2)
    assert told["total"] == {name: entry[name] for name in ("jobs", "images", "device_s", "credits")}
    assert entry["credits"] == 1.0
    assert told["balance"] == {"credits": 2.0, "reserved": 0.0}
    assert (await client.get(f"/v1/usage?key={row.id}", headers=alice)).json()["data"] == told["data"]
    assert (await client.get("/v1/usage", headers=bob)).json()["balance"] is None
    refused = await client.get(f"/v1/usage?key={other.id}", headers=alice)
    assert refused.status_code == 403
    assert "'admin'" in refused.json()["detail"]


async def test_an_admin_sees_all_or_one(client: httpx2.AsyncClient, keyring: Keyring) -> None:
    alice, row = await new(keyring, "alice", credits_micro=3_000_000)
    bob, _ = await new(keyring, "bob")
    root, _ = await new(keyring, "root", "read", "admin")
    for headers in (alice, bob):
        await client.post(URL, json=FIELDS, headers=headers)
    everybody = (await client.get("/v1/usage", headers=root)).json()
    assert [entry["key_name"] for entry in everybody["data"]] == ["alice", "bob"]
    assert everybody["balance"] is None
    for text in (row.id, f"lim_{row.prefix}", "alice"):
        one = (await client.get("/v1/usage", params={"key": text}, headers=root)).json()
        assert [entry["key_name"] for entry in one["data"]] == ["alice"]
        assert one["balance"] == {"credits": 2.5, "reserved": 0.0}
    await new(keyring, "alice")
    refused = await client.get("/v1/usage?key=alice", headers=root)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "key")
    assert row.id in refused.json()["detail"]


@pytest.mark.parametrize(
    ("query", "param", "said"),
    [
        ("since=yesterday", "since", "since 'yesterday' is no time"),
        ("until=nan", "until", "until 'nan' is no time"),
        ("since=2&until=1", "since", "since '2' is after until '1'"),
        ("key=carol", "key", "no such key: 'carol'"),
        ("months=1", "months", "unknown parameter 'months'; allowed: since, until, key"),
    ],
)
async def test_a_wrong_value_is_named(client: httpx2.AsyncClient, query: str, param: str, said: str) -> None:
    reply = await client.get(f"/v1/usage?{query}")
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param
    assert said in reply.json()["detail"]


async def test_a_period_is_from_up_to_but_without(client: httpx2.AsyncClient) -> None:
    await client.post(URL, json=FIELDS)
    now_s = time.time()
    assert (await client.get(f"/v1/usage?since={now_s - 100}&until={now_s + 1}")).json()["total"]["jobs"] == 1
    past = (await client.get("/v1/usage?since=2020-01-01&until=2020-02-01T00:00:00Z")).json()
    assert (past["since"], past["until"], past["total"]["jobs"]) == (1_577_836_800, 1_580_515_200, 0)


async def test_scopes_are_asked_for(client: httpx2.AsyncClient, keyring: Keyring) -> None:
    drawer, _ = await new(keyring, "drawer", "generate")
    reader, _ = await new(keyring, "reader", "read")
    assert (await client.get("/v1/usage")).status_code == 401
    assert (await client.get("/v1/usage", headers=drawer)).status_code == 403
    assert (await client.get("/v1/usage", headers=reader)).status_code == 200
    assert (await client.post(URL, json=FIELDS, headers=drawer)).status_code == 200
    assert (await client.post(URL, json=FIELDS, headers=reader)).status_code == 403


async def test_models_rate_and_credits_are_held_to(
    app: FastAPI, client: httpx2.AsyncClient, keyring: Keyring, backend: FakeBackend
) -> None:
    elsewhere, _ = await new(keyring, "elsewhere", models=("Qwen/*",))
    slow, _ = await new(keyring, "slow", jobs_per_minute=1)
    poor, _ = await new(keyring, "poor", credits_micro=900_000)
    reply = await client.post(URL, json=FIELDS, headers=elsewhere)
    assert (reply.status_code, reply.json()["error"]["param"]) == (403, "model")
    assert "Qwen/*" in reply.json()["detail"]
    assert (await client.post(URL, json=FIELDS, headers=slow)).status_code == 200
    reply = await client.post(URL, json=FIELDS, headers=slow)
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "rate_limited")
    assert 'limner_jobs_refused_total{reason="rate_limited"} 1.0' in app.state.gateway.service.metrics.render().decode()
    assert 0 < int(reply.headers["retry-after"]) <= 60
    assert (await client.post(URL, json=FIELDS, headers=poor)).status_code == 200
    reply = await client.post(URL, json=FIELDS, headers=poor)
    assert (reply.status_code, reply.json()["error"]["code"]) == (402, "insufficient_credits")
    assert "needs 0.5 credits, the API key has 0.4 free" in reply.json()["detail"]
    assert len(backend.requests) == 2
