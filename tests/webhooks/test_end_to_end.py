"""A job with a webhook, from the request to the receiver, with the real store and the real app."""

import asyncio
import contextlib
import time
from pathlib import Path

import httpx2
import orjson
import pytest

from limner.api.app import create_app
from limner.config import load_settings
from limner.secrets_file import load_secret
from limner.store import open_store
from limner.store.rows import Hook
from limner.webhooks import Postman, secret_text
from tests.fakes import FakeBackend, opener, until
from tests.store.samples import new_job
from tests.webhooks.receiver import receiving, sender_to
from tests.webhooks.test_postman import job_as_shown, verified

JOB = {"operation": "generate", "prompt": "a red circle"}


@pytest.mark.parametrize(
    ("error", "event"), [(None, "job.finished"), (RuntimeError("the backend broke"), "job.failed")], ids=["good", "bad"]
)
async def test_a_job_tells_of_its_end_as_it_is_shown(tmp_path: Path, error: Exception | None, event: str) -> None:
    settings = load_settings(None, {"data": tmp_path, "webhook_allow": ("127.0.0.0/8",)})
    app = create_app(settings, opener(FakeBackend(error=error), "sketch"))
    async with (
        receiving() as receiver,
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as client,
    ):
        job_id = (await client.post("/v1/jobs", json={**JOB, "webhook": receiver.url})).json()["id"]
        await until(lambda: bool(receiver.seen))
        shown = (await client.get(f"/v1/jobs/{job_id}")).json()
    (seen,) = receiver.seen
    told = orjson.loads(seen.body)
    assert told["type"] == event
    assert {**told["data"], "result": None} == {**shown, "result": None}  # links differ in the address asked
    assert bool(told["data"]["result"]) == (error is None)
    assert verified(seen, load_secret(tmp_path / "webhook-secret"))


async def test_a_cancelled_job_tells_that_it_was_cancelled(tmp_path: Path) -> None:
    settings = load_settings(None, {"data": tmp_path, "webhook_allow": ("127.0.0.0/8",)})
    app = create_app(settings, opener(FakeBackend(delay_s=30), "sketch"))
    async with (
        receiving() as receiver,
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as client,
    ):
        job_id = (await client.post("/v1/jobs", json={**JOB, "webhook": receiver.url})).json()["id"]
        await client.delete(f"/v1/jobs/{job_id}")
        await until(lambda: bool(receiver.seen))
    told = orjson.loads(receiver.seen[0].body)
    assert (told["type"], told["data"]["status"]) == ("job.cancelled", "cancelled")
    assert told["data"]["error"]["code"] == "cancelled"


async def test_a_jobs_own_secret_signs(tmp_path: Path) -> None:
    settings = load_settings(None, {"data": tmp_path, "webhook_allow": ("127.0.0.0/8",)})
    app = create_app(settings, opener(FakeBackend(), "sketch"))
    async with (
        receiving() as receiver,
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as client,
    ):
        hook = {"url": receiver.url, "secret": secret_text(b"k" * 32)}
        reply = await client.post("/v1/jobs", json={**JOB, "webhook": hook})
        await until(lambda: bool(receiver.seen))
    assert verified(receiver.seen[0], b"k" * 32)
    assert hook["secret"] not in reply.text + receiver.seen[0].body.decode()


async def test_two_processes_on_one_database_deliver_each_once() -> None:
    async with open_store("sqlite://") as store, receiving() as receiver:
        now_s = time.time()
        jobs = [f"job_{number}" for number in range(40)]
        for job_id in jobs:
            hook = Hook(receiver.url)
            await store.enqueue(new_job(job_id, hook=hook, created_at_s=now_s), queue_limit=100)
            await store.cancel(job_id, error={"code": "client_left"}, now_s=now_s)
        postmen = [
            Postman(store, sender_to("127.0.0.0/8"), job_as_shown, secret=bytes(32), chance=lambda: 0.0)
            for _ in range(2)
        ]
        running = [asyncio.create_task(postman.run()) for postman in postmen]
        await until(lambda: len(receiver.seen) >= len(jobs))
        await asyncio.sleep(0.2)
        for task in running:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert await store.due_deliveries(now_s + 10**6, lease_until_s=now_s, limit=10) == ()
    told = [orjson.loads(seen.body)["data"]["id"] for seen in receiver.seen]
    assert sorted(told) == sorted(jobs)
