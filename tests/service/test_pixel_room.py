"""How many pixels jobs that are taken up again may hold."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from limner.config import load_settings
from limner.core import Event, Operation, Picture, Request, Size
from limner.service.pixel_room import PixelRoom
from tests.fakes import FakeBackend, opener
from tests.service.test_service import STEPS, ask

SQUARE = Picture("RGB", Size(64, 64), bytes(64 * 64 * 3))


@dataclass
class Crowded(FakeBackend):
    """Counts how many pictures it draws at once."""

    now: int = 0
    most: int = 0

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            async with aclosing(super().generate(request)) as events:
                async for event in events:
                    yield event
        finally:
            self.now -= 1


@pytest.mark.parametrize(("pixels", "most"), [(10 * 64 * 64, 3), (64 * 64, 1), (1, 1)])
async def test_inputs_that_do_not_fit_beside_others_wait(tmp_path: Path, pixels: int, most: int) -> None:
    settings = load_settings(None, {"data": tmp_path, "lease_s": 2, "max_held_pixels": pixels})
    async with opener(FakeBackend(delay_s=30))(settings) as service:
        jobs = [await service.submit(ask(operation=Operation.EDIT, inputs=(SQUARE,), params=STEPS)) for _ in range(3)]
    backend = Crowded(delay_s=0.1)
    async with opener(backend)(settings) as service:
        again = [await service.find(job.id) for job in jobs]
        await asyncio.wait_for(asyncio.gather(*(job.result() for job in again)), 20)
    assert backend.most == most


async def test_a_large_one_is_not_overtaken_for_ever() -> None:
    room, order = PixelRoom(10), []

    async def hold(name: str, pixels: int) -> None:
        async with room.hold(pixels):
            order.append(name)
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        for name, pixels in (("small", 4), ("large", 99), ("late", 4)):
            group.create_task(hold(name, pixels))
    assert order == ["small", "large", "late"]


async def test_who_gives_up_waiting_keeps_nobody_out() -> None:
    room = PixelRoom(10)
    async with room.hold(8):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), room.hold(8):
                pass
        async with asyncio.timeout(5), room.hold(2):
            pass
    async with asyncio.timeout(5), room.hold(10):
        pass
