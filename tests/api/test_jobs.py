"""Our own jobs API, and asking any image call for a job."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from limner.api.app import create_app
from limner.config import Settings
from tests.api.test_edits import data_url, png
from tests.fakes import FakeBackend, opener

JOBS = "/v1/jobs"
IMAGES = "/v1/images/generations"
ASK = {"operation": "generate", "prompt": "a red circle", "num_inference_steps": 2}


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend(delay_s=0.01)


@pytest.fixture
async def slow(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """A server that draws one job at a time, and slowly."""
    app = create_app(settings.model_copy(update={"jobs_at_once": 1}), opener(FakeBackend(delay_s=0.2)))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as client,
    ):
        yield client


async def submit(client: httpx2.AsyncClient, **changes: Any) -> dict[str, Any]:
    reply = await client.post(JOBS, json={**ASK, **changes})
    assert reply.status_code == 202, reply.text
    assert reply.headers["x-limner-job"] == reply.json()["id"]
    assert reply.headers["location"] == f"{JOBS}/{reply.json()['id']}"
    body: dict[str, Any] = reply.json()
    return body


async def finished(client: httpx2.AsyncClient, job_id: str) -> dict[str, Any]:
    body: dict[str, Any] = (await client.get(f"{JOBS}/{job_id}", params={"wait": 10})).json()
    assert body["status"] == "finished", body
    return body


def events(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """(id, event, data) of every server-sent event."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found


async def test_a_job_is_accepted_and_found_again(client: httpx2.AsyncClient) -> None:
    accepted = await submit(client, seed=5)
    assert accepted["object"] == "job"
    assert accepted["status"] in ("queued", "running")
    assert (accepted["result"], accepted["error"]) == (None, None)
    body = await finished(client, accepted["id"])
    assert body["progress"] == 1.0
    assert body["effective"]["seed"] == 5
    assert body["cost"]["credits"] == 0
    assert body["result"]["limner"]["job_id"] == accepted["id"]
    picture = await client.get(body["result"]["data"][0]["url"])
    assert picture.headers["content-type"] == "image/png"


async def test_a_job_may_bring_its_pictures_itself(client: httpx2.AsyncClient) -> None:
    body = await finished(client, (await submit(client, response_format="b64_json"))["id"])
    assert base64.b64decode(body["result"]["data"][0]["b64_json"]).startswith(b"\x89PNG")
    (listed,) = (await client.get("/v1/jobs")).json()["data"]
    assert list(listed["result"]["data"][0]) == ["url"], "a page of jobs would be a hundred times as large"


@pytest.mark.parametrize(("operation", "done"), [("edit", "edit"), ("inpaint", "inpaint")])
async def test_any_operation_is_a_job(
    client: httpx2.AsyncClient, backend: FakeBackend, operation: str, done: str
) -> None:
    mask = {"mask": data_url(png((255, 255, 255)))} if operation == "inpaint" else {}
    pictures = {"image": data_url(png()), **mask}
    await finished(client, (await submit(client, operation=operation, **pictures))["id"])
    assert backend.requests[-1].operation == done
    assert len(backend.requests[-1].inputs) == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"operation": None}, "operation"),
        ({"operation": "paint"}, "operation"),
        ({"operation": 3}, "operation"),
        ({"prompt": None}, "prompt"),
        ({"stream": True}, "stream"),
        ({"seed": -1}, "seed"),
        ({"no_such": 1}, "no_such"),
        ({"webhook": "ftp://example.org"}, "webhook.url"),
        ({"webhook": {"url": "https://example.org", "colour": "red"}}, "webhook"),
        ({"operation": "edit"}, "image"),
        ({"operation": "generate", "image": "x"}, "image"),
    ],
)
async def test_what_is_wrong_is_named(client: httpx2.AsyncClient, fields: dict[str, Any], param: str) -> None:
    reply = await client.post(JOBS, json={**ASK, **fields})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


async def test_jobs_are_listed_newest_first_and_paged(client: httpx2.AsyncClient) -> None:
    ids = [(await submit(client))["id"] for _ in range(3)]
    for job_id in ids:
        await finished(client, job_id)
    first = (await client.get(JOBS, params={"limit": 2})).json()
    assert [job["id"] for job in first["data"]] == [ids[2], ids[1]]
    assert first["has_more"]
    second = (await client.get(JOBS, params={"limit": 2, "after": first["last_id"]})).json()
    assert [job["id"] for job in second["data"]] == [ids[0]]
    assert not second["has_more"]
    assert (await client.get(JOBS, params={"status": "queued,running"})).json()["data"] == []
    assert len((await client.get(JOBS, params={"model": "sketch", "operation": "generate"})).json()["data"]) == 3


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=x", "limit"), ("status=lost", "status"), ("colour=red", "colour"),
     ("operation=x", "operation"), ("created_after=soon", "created_after"), ("after=job_nobody", "after")],
)  # fmt: skip
async def test_a_wrong_filter_is_named(client: httpx2.AsyncClient, query: str, param: str) -> None:
    reply = await client.get(f"{JOBS}?{query}")
    assert reply.status_code in (400, 404)
    assert reply.json()["error"]["param"] == param


async def test_an_unknown_job_is_404(client: httpx2.AsyncClient) -> None:
    for reply in (await client.get(f"{JOBS}/job_none"), await client.delete(f"{JOBS}/job_none")):
        assert reply.status_code == 404
        assert "job_none" in reply.json()["error"]["message"]


@pytest.mark.parametrize("wait", ["0", "61", "-1", "soon"])
async def test_how_long_to_wait_is_bounded(client: httpx2.AsyncClient, wait: str) -> None:
    job = await submit(client)
    reply = await client.get(f"{JOBS}/{job['id']}", params={"wait": wait})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "wait")


async def test_events_tell_everything_and_go_on_where_they_broke_off(client: httpx2.AsyncClient) -> None:
    job = await submit(client, partial_images=1)
    told = events((await client.get(f"{JOBS}/{job['id']}/events")).text)
    names = [name for _, name, _ in told]
    assert names[0] == "queued"
    assert names[-1] == "finished"
    assert {"progress", "preview"} < set(names)
    assert told[0][2]["position"] == 0
    assert told[-1][2]["result"]["data"]
    later = await client.get(f"{JOBS}/{job['id']}/events", headers={"Last-Event-ID": told[1][0]})
    assert [name for _, name, _ in events(later.text)] == ["finished"]
    over = await client.get(f"{JOBS}/{job['id']}/events", headers={"Last-Event-ID": told[-1][0]})
    assert events(over.text) == []


async def test_the_events_of_a_failed_job_end_with_its_error(settings: Settings) -> None:
    app = create_app(settings, opener(FakeBackend(error=ValueError("private"))))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as client,
    ):
        job = await submit(client)
        told = events((await client.get(f"{JOBS}/{job['id']}/events")).text)
        assert told[-1][:2] == ("end", "failed")
        assert told[-1][2]["error"]["code"] == "internal_error"
        body = (await client.get(f"{JOBS}/{job['id']}")).json()
        assert (body["status"], body["error"]["code"], body["result"]) == ("failed", "internal_error", None)


async def test_waiting_jobs_say_their_place_and_can_be_cancelled(slow: httpx2.AsyncClient) -> None:
    running, waiting, last = [await submit(slow) for _ in range(3)]
    assert [job["position"] for job in (running, waiting, last)] == [None, 0, 1]
    assert waiting["eta_s"] < last["eta_s"]
    gone = (await slow.delete(f"{JOBS}/{waiting['id']}")).json()
    assert (gone["status"], gone["error"]["code"]) == ("cancelled", "cancelled")
    assert (await slow.get(f"{JOBS}/{last['id']}")).json()["position"] == 0
    stopped = (await slow.delete(f"{JOBS}/{running['id']}")).json()
    assert stopped["status"] == "cancelled"
    assert (await slow.delete(f"{JOBS}/{running['id']}")).json()["status"] == "cancelled"


async def test_whoever_waits_for_a_job_hears_that_it_was_cancelled(slow: httpx2.AsyncClient) -> None:
    waiting = asyncio.create_task(slow.post(IMAGES, json={"prompt": "a red circle"}))
    (job,) = await listed(slow)
    following = asyncio.create_task(slow.get(f"{JOBS}/{job['id']}/events"))
    await slow.delete(f"{JOBS}/{job['id']}")
    reply = await waiting
    assert (reply.status_code, reply.json()["error"]["code"]) == (499, "cancelled")
    assert reply.headers["x-limner-job"] == job["id"]
    last = events((await following).text)[-1]
    assert (last[:2], last[2]["error"]["code"]) == (("end", "cancelled"), "cancelled")


async def listed(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    """The jobs, once there is one."""
    while True:
        jobs: list[dict[str, Any]] = (await client.get(JOBS)).json()["data"]
        if jobs:
            return jobs
        await asyncio.sleep(0.01)


async def test_an_image_call_may_be_answered_with_a_job(client: httpx2.AsyncClient) -> None:
    fields = {"prompt": "a red circle", "num_inference_steps": 4}
    reply = await client.post(IMAGES, json=fields, headers={"Prefer": "respond-async"})
    assert reply.status_code == 202
    assert reply.headers["preference-applied"] == "respond-async"
    body = await finished(client, reply.json()["id"])
    assert body["result"]["data"][0]["b64_json"]
    waited = await client.post(IMAGES, json=fields, headers={"Prefer": "respond-async, wait=10"})
    assert waited.status_code == 200
    assert waited.json()["data"][0]["b64_json"]
    streamed = await client.post(IMAGES, json={**fields, "stream": True}, headers={"Prefer": "respond-async"})
    assert (streamed.status_code, streamed.json()["error"]["param"]) == (400, "stream")


async def test_a_repeated_key_is_answered_by_the_same_job(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    fields = {"prompt": "a red circle", "num_inference_steps": 2}
    keyed = {"Idempotency-Key": "abc"}
    first = await client.post(IMAGES, json=fields, headers=keyed)
    second = await client.post(IMAGES, json=fields, headers=keyed)
    assert first.json() == second.json()
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert len(backend.requests) == 1
    other = await client.post(IMAGES, json={**fields, "prompt": "a dog"}, headers=keyed)
    assert (other.status_code, other.json()["error"]["param"]) == (409, "Idempotency-Key")
    for wrong in ("", "x" * 256, "a b"):
        reply = await client.post(IMAGES, json=fields, headers={"Idempotency-Key": wrong})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "Idempotency-Key")


async def test_one_key_at_once_makes_one_job(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    replies = await asyncio.gather(
        *(client.post(JOBS, json=ASK, headers={"Idempotency-Key": "same"}) for _ in range(4))
    )
    assert {reply.status_code for reply in replies} == {202}
    assert len({reply.json()["id"] for reply in replies}) == 1
    await finished(client, replies[0].json()["id"])
    assert len(backend.requests) == 1


@pytest.mark.parametrize("path", [IMAGES, JOBS])
async def test_an_estimate_costs_nothing(client: httpx2.AsyncClient, backend: FakeBackend, path: str) -> None:
    fields = {**ASK} if path == JOBS else {"prompt": "a red circle"}
    reply = await client.post(f"{path}?estimate=true", json=fields)
    body = reply.json()
    assert (reply.status_code, body["object"], body["model"]) == (200, "estimate", "sketch")
    assert body["cost"]["credits"] > 0
    assert body["eta_s"] > 0
    assert (await client.get(JOBS)).json()["data"] == []
    assert backend.requests == []
    assert (await client.post(f"{path}?estimate=perhaps", json=fields)).json()["error"]["param"] == "estimate"


async def test_jobs_survive_the_server(settings: Settings, app: FastAPI) -> None:
    """What one process has accepted, the next one on the same data has drawn."""
    fast = {"jobs_at_once": 1}
    first = create_app(settings.model_copy(update=fast), opener(FakeBackend(delay_s=30)))
    async with first.router.lifespan_context(first):
        transport = httpx2.ASGITransport(app=first)
        async with httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as client:
            ids = [(await submit(client, seed=seed))["id"] for seed in (1, 2)]
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as client:
        for seed, job_id in zip((1, 2), ids, strict=True):
            assert (await finished(client, job_id))["effective"]["seed"] == seed
