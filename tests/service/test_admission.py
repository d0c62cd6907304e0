"""When a job that has just come begins at once, and when it waits behind others."""

import asyncio
from pathlib import Path

import pytest

from limner.config import Settings, load_settings
from limner.service import Service
from limner.store import JobRow
from tests.fakes import FakeBackend, opener
from tests.service.test_service import STEPS, ask


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
