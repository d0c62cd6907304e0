"""A store in memory, a clock that stands still, and a keyring over both."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from limner.accounts import Keyring
from limner.store import Store, open_store

PEPPER = bytes(range(32))


class Clock:
    """Tells unix seconds; moves only when told to."""

    def __init__(self) -> None:
        self.now_s = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s


async def until(happened: Callable[[], object]) -> None:
    """Wait, 5 s at most, for something that happens by itself."""
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110 - of what is waited for nothing is told
            await asyncio.sleep(0.005)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with open_store("sqlite://") as opened:
        yield opened


@pytest.fixture
def keyring(store: Store, clock: Clock) -> Keyring:
    return Keyring(store, PEPPER, clock)
