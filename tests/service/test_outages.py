"""A picture store or a database that is away for a while costs time, not jobs."""

import asyncio
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limner.blobs import Blobs
from limner.config import Settings, load_settings
from limner.core import Operation, Picture, Size
from limner.errors import Cancelled, DeadlineExceeded, NotReady
from limner.service.patience import patiently
from limner.store.rows import Expired
from tests.fakes import FakeBackend, opener
from tests.service.test_service import STEPS, ask

SQUARE = Picture("RGB", Size(64, 64), bytes(64 * 64 * 3))
EDIT: dict[str, Any] = {"operation": Operation.EDIT, "inputs": (SQUARE,), "params": STEPS}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(None, {"data": tmp_path, "lease_s": 2})


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.service.patience.RETRY_S", 0.01)


def _away(monkeypatch: pytest.MonkeyPatch, method: str, times: float) -> Callable[[], int]:
    """The picture store fails so many times; gives how often it was asked."""
    real, asked = getattr(Blobs, method), 0

    async def failing(self: Blobs, *of: object) -> object:
        nonlocal asked
        asked += 1
        if asked <= times:
            raise NotReady("the picture store is away")
        return await real(self, *of)

    monkeypatch.setattr(Blobs, method, failing)
    return lambda: asked


async def test_a_finished_drawing_waits_for_the_picture_store(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = FakeBackend()
    asked = _away(monkeypatch, "put", 3)
    async with opener(backend)(settings) as service:
        job = await service.submit(ask(params=STEPS))
        outcome = await asyncio.wait_for(job.result(), 10)
        assert await service.data_of(outcome.pictures[0])
    assert (len(backend.requests), asked()) == (1, 4)


async def test_a_job_that_is_taken_up_again_waits_for_its_inputs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opener(FakeBackend(delay_s=30))(settings) as service:
        left = await service.submit(ask(**EDIT))
    asked = _away(monkeypatch, "get_input", 3)
    async with opener(FakeBackend())(settings) as service:
        again = await service.find(left.id)
        await asyncio.wait_for(again.result(), 10)
    assert asked() == 4


async def test_whose_inputs_stay_away_runs_into_its_deadline(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opener(FakeBackend(delay_s=30))(settings) as service:
        left = await service.submit(ask(**EDIT, timeout_s=1.5))
    _away(monkeypatch, "get_input", math.inf)
    async with opener(FakeBackend())(settings) as service:
        again = await service.find(left.id)
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(again.result(), 10)


@pytest.mark.parametrize("method", ["put", "get_input"])
async def test_who_waits_for_the_picture_store_can_be_cancelled(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async with opener(FakeBackend(delay_s=0.1))(settings) as service:
        left = await service.submit(ask(**EDIT))
    asked = _away(monkeypatch, method, math.inf)
    async with opener(FakeBackend())(settings) as service:
        again = await service.find(left.id)
        async with asyncio.timeout(10):
            while not asked():  # noqa: ASYNC110 - nothing else tells it
                await asyncio.sleep(0.01)
            await service.cancel(again)
        with pytest.raises(Cancelled):
            await again.result()


async def test_what_a_backend_says_of_itself_ends_the_job(settings: Settings) -> None:
    backend = FakeBackend(error=NotReady("the engine is down"))
    async with opener(backend)(settings) as service:
        job = await service.submit(ask(params=STEPS))
        with pytest.raises(NotReady, match="the engine is down"):
            await asyncio.wait_for(job.result(), 10)
    assert len(backend.requests) == 1


async def test_a_drawing_is_recorded_however_long_the_database_was_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even as failed, should it be back by then."""
    backend, brief = FakeBackend(), settings.model_copy(update={"lease_s": 0.2})
    async with opener(backend)(brief) as service:
        finish, back_s = service.store.finish, time.monotonic() + 0.6

        async def away(*of: Any) -> bool:
            if time.monotonic() < back_s:
                raise NotReady("the database is away")
            return await finish(*of)

        monkeypatch.setattr(service.store, "finish", away)
        job = await service.submit(ask(params=STEPS))
        await asyncio.wait_for(job.result(), 10)
    assert len(backend.requests) == 1


async def test_who_waits_hears_that_the_server_leaves_though_the_database_is_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise NotReady("the database is away")

    backend = FakeBackend(delay_s=30)
    async with opener(backend)(settings) as service:
        monkeypatch.setattr(service.store, "hand_back", away)
        job = await service.submit(ask())
        await asyncio.sleep(0.05)
    assert backend.closed
    with pytest.raises(NotReady, match=job.id):
        await asyncio.wait_for(job.result(), 5)


async def test_inputs_that_are_slow_to_go_cost_no_lease(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The inputs of jobs that are given up, from a picture store that does not answer."""
    released = asyncio.Event()

    async def slow(*_: object, **__: object) -> None:
        await released.wait()

    brief = settings.model_copy(update={"lease_s": 0.6, "jobs_at_once": 1})
    async with opener(FakeBackend(delay_s=30))(brief) as service:
        monkeypatch.setattr(Blobs, "drop_inputs", slow)
        drawn = await service.submit(ask())
        late = await service.submit(ask(**EDIT, timeout_s=0.1))
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(late.result(), 10)
        await asyncio.sleep(1.0)
        assert await service.store.expire(now_s=time.time(), max_crashes=9) == Expired()
        assert (await service.store.get(drawn.id)).status == "running"
        released.set()


async def test_patience_ends() -> None:
    tries = 0

    async def away() -> None:
        nonlocal tries
        tries += 1
        raise NotReady("away")

    with pytest.raises(NotReady):
        await patiently(away, 0.1)
    assert tries > 1
