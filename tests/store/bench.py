"""A store that a test without a loop of its own drives step by step."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from limner.store import Store, open_store
from tests.store.samples import wipe

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bench:
    """An open store and the loop it lives on."""

    store: Store
    runner: asyncio.Runner

    def do(self, step: Coroutine[Any, Any, T]) -> T:
        """Run one step to its end."""
        return self.runner.run(step)

    def wipe(self) -> None:
        """Begin anew."""
        self.do(wipe(self.store))


@contextmanager
def bench(url: str) -> Iterator[Bench]:
    """Open a store for many examples, one after another."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            yield Bench(runner.run(stack.enter_async_context(open_store(url))), runner)
        finally:
            runner.run(stack.aclose())
