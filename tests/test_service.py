"""A job's life through the service, on a fake backend."""

import asyncio
from pathlib import Path

import pytest

from limner.config import Settings, load_settings
from limner.core import Finished, Operation, Progress, Queued, Request
from limner.errors import ClientLeft, DeadlineExceeded, InternalError, InvalidRequest, ModelNotFound, Overloaded
from tests.fakes import FakeBackend, opener


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(None, {"data": tmp_path, "queue_limit": 2})


def ask(prompt: str = "a cat", **changes: object) -> Request:
    fields: dict[str, object] = {"operation": Operation.GENERATE, "model": "", "prompt": prompt, **changes}
    return Request(**fields)  # type: ignore[arg-type]


async def test_followers_see_every_event_however_late_they_come(settings: Settings) -> None:
    async with opener(FakeBackend())(settings) as service:
        job = await service.submit(ask())
        await job.result()
        early = [type(event) async for event in job.events()]
        assert early[0] is Queued
        assert early[-1] is Finished
        assert early.count(Progress) == job.request.params["num_inference_steps"]
        assert job.status == "finished"
        assert job.progress == 1.0


async def test_a_cancelled_job_stops_its_backend(settings: Settings) -> None:
    backend = FakeBackend(delay_s=5)
    async with opener(backend)(settings) as service:
        job = await service.submit(ask())
        await asyncio.sleep(0.01)
        job.cancel()
        with pytest.raises(ClientLeft):
            await job.result()
        assert backend.cancelled == 1
        assert job.status == "cancelled"


async def test_the_deadline_stops_the_backend(settings: Settings) -> None:
    backend = FakeBackend(delay_s=5)
    async with opener(backend)(settings) as service:
        job = await service.submit(ask(timeout_s=0.02))
        with pytest.raises(DeadlineExceeded, match=r"0\.02 s"):
            await job.result()
        assert backend.cancelled == 1


async def test_what_a_backend_raises_is_hidden_but_named(settings: Settings) -> None:
    async with opener(FakeBackend(error=ValueError("private")))(settings) as service:
        job = await service.submit(ask())
        with pytest.raises(InternalError, match=job.id) as raised:
            await job.result()
        assert "private" not in str(raised.value)


async def test_admission(settings: Settings) -> None:
    async with opener(FakeBackend(delay_s=5))(settings) as service:
        with pytest.raises(ModelNotFound, match="sketch"):
            await service.submit(ask(model="other"))
        with pytest.raises(InvalidRequest):
            await service.submit(ask(n=0))
        first, second = await service.submit(ask()), await service.submit(ask())
        with pytest.raises(Overloaded) as refused:
            await service.submit(ask())
        assert refused.value.retry_after_s is not None
        assert refused.value.retry_after_s >= 1
        first.cancel()
        second.cancel()


async def test_closing_cancels_what_runs_and_closes_the_backend(settings: Settings) -> None:
    backend = FakeBackend(delay_s=5)
    async with opener(backend)(settings) as service:
        job = await service.submit(ask())
    assert backend.closed
    assert job.status == "cancelled"
