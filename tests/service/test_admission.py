"""When a job that has just come begins at once, and when it waits behind others."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from limner.accounts import Caller
from limner.config import Settings, load_settings
from limner.core import Operation, Picture, Progress, Size
from limner.errors import NotReady, Overloaded
from limner.jobs import Outcome
from limner.records import StoredInput
from limner.service import Service
from limner.service.publishing import Publisher
from limner.store import Accepted, JobFilter, JobRow, NewJob
from limner.store.rows import Quota
from tests.fakes import FakeBackend, opener
from tests.service.test_service import STEPS, ask, caller


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(None, {"data": tmp_path, "lease_s": 2, "jobs_at_once": 1})


def _accepting(settings: Settings) -> Settings:
    return settings.model_copy(update={"draws": False})


def _slow_claims(service: Service, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Whoever claims jobs hears late which; the event says that they are claimed."""
    claim, claimed = service.store.claim, asyncio.Event()

    async def slow(worker: str, models: list[str], limit: int, **times: float) -> tuple[JobRow, ...]:
        rows = await claim(worker, models, limit, **times)
        if rows:
            claimed.set()
            await asyncio.sleep(0.3)
        return rows

    monkeypatch.setattr(service.store, "claim", slow)
    return claimed


async def test_no_more_jobs_run_than_may_while_others_are_claimed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = FakeBackend(delay_s=30)
    async with opener(FakeBackend())(_accepting(settings)) as front, opener(backend)(settings) as back:
        claimed = _slow_claims(back, monkeypatch)
        await front.submit(ask("first"))
        await asyncio.wait_for(claimed.wait(), 10)
        second = await back.submit(ask("second"))
        await asyncio.sleep(0.5)
        assert [request.prompt for request in backend.requests] == ["first"]
        assert second.status == "queued"


async def test_who_waits_already_is_drawn_before_who_comes(settings: Settings) -> None:
    backend = FakeBackend()
    async with opener(FakeBackend())(_accepting(settings)) as front, opener(backend)(settings) as back:
        jobs = [await front.submit(ask("first", params=STEPS)), await back.submit(ask("second", params=STEPS))]
        await asyncio.wait_for(asyncio.gather(*(job.result() for job in jobs)), 10)
    assert [request.prompt for request in backend.requests] == ["first", "second"]


async def test_a_job_that_comes_alone_is_accepted_running(settings: Settings) -> None:
    async with opener(FakeBackend(delay_s=30))(settings) as service:
        job = await service.submit(ask())
        row = await service.store.get(job.id)
        assert (row.status, row.attempt) == ("running", 1)


async def test_a_job_that_begins_while_its_place_is_asked_for_stays_begun(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opener(FakeBackend(delay_s=30))(settings) as service:
        first = await service.submit(ask())

        async def place(job_id: str) -> int | None:
            await service.cancel(first)
            while not service._worker.holds(job_id):  # noqa: ASYNC110 - nothing else tells it
                await asyncio.sleep(0.01)
            return None

        monkeypatch.setattr(service._admission, "_place", place)
        second = await asyncio.wait_for(service.submit(ask()), 10)
        assert second.status == "running"


async def test_an_accepted_job_is_not_refused_because_its_place_cannot_be_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opener(FakeBackend(delay_s=30))(settings) as service:
        await service.submit(ask())

        async def place(_: str) -> int | None:
            raise NotReady("the database is away")

        monkeypatch.setattr(service._admission, "_place", place)
        assert (await service.submit(ask())).status == "queued"


async def test_a_job_that_is_claimed_before_its_acceptance_is_heard_of_is_the_one_that_is_followed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opener(FakeBackend(delay_s=0.2))(settings.model_copy(update={"jobs_at_once": 2})) as service:
        enqueue = service.store.enqueue

        async def late(job: NewJob, **how: Any) -> Accepted:
            accepted = await enqueue(job, **how | {"worker": None})
            service._worker.wake()
            while not service._worker.holds(job.id):  # noqa: ASYNC110 - nothing else tells it
                await asyncio.sleep(0.01)
            return accepted

        monkeypatch.setattr(service.store, "enqueue", late)
        job = await asyncio.wait_for(service.submit(ask(params=STEPS)), 10)
        await asyncio.wait_for(job.result(), 10)
        assert [type(event) async for event in job.events()] == [Progress, Progress, Outcome]


async def test_a_job_whose_acceptance_was_not_heard_of_keeps_its_inputs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Picture("RGB", Size(64, 64), bytes(64 * 64 * 3))
    async with opener(FakeBackend())(settings) as service:
        enqueue = service.store.enqueue

        async def unheard(job: NewJob, **how: Any) -> Accepted:
            await enqueue(job, **how | {"worker": None})
            raise NotReady("the connection broke")

        monkeypatch.setattr(service.store, "enqueue", unheard)
        with pytest.raises(NotReady):
            await service.submit(ask(operation=Operation.EDIT, inputs=(picture,), params=STEPS))
        (row,) = await service.store.list(JobFilter())
        await asyncio.wait_for((await service.find(row.id)).result(), 10)


@pytest.mark.parametrize(("limit", "who"), [(1, caller("key_a")), (9, caller("key_a", quota=Quota(concurrency=1)))])
async def test_who_is_refused_hears_how_long_jobs_take_here(settings: Settings, limit: int, who: Caller) -> None:
    async with opener(FakeBackend(delay_s=30))(settings.model_copy(update={"jobs_limit": limit})) as service:
        service._pace.seconds_per_job = 20.0
        with service.seat(who) as seat:
            await seat.submit(ask())
            with pytest.raises(Overloaded) as refused:
                await seat.submit(ask())
        assert refused.value.retry_after_s == 20


async def test_who_is_accepted_while_the_server_leaves_hears_of_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opener(FakeBackend())(_accepting(settings)) as service:

        async def slow(*_: object) -> tuple[list[StoredInput], None]:
            await service.drain(0)
            return [], None

        monkeypatch.setattr(Publisher, "put_inputs", slow)
        job = await service.submit(ask())
        with pytest.raises(NotReady, match=job.id):
            await asyncio.wait_for(job.result(), 5)
