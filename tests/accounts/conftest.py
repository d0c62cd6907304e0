"""A store in memory, a clock that stands still, and a keyring over both."""

from collections.abc import AsyncIterator

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
