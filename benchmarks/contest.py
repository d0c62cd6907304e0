"""Measuring several contestants fairly: in turns, in rotating order, so that a disturbance meets all of them alike."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")
PAUSE_S = 0.1  # lets the threads of the one before go to sleep


async def in_turns(
    contestants: Mapping[str, Callable[[int], Awaitable[T]]], rounds: int, *, pause_s: float = PAUSE_S
) -> dict[str, list[T]]:
    """Call every contestant once a round with the round's number; results by name, the i-th of each round i."""
    results: dict[str, list[T]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        for name in _rotated(names, number):
            results[name].append(await contestants[name](number))
            await asyncio.sleep(pause_s)
    return results


def _rotated(names: Sequence[str], by: int) -> list[str]:
    start = by % len(names)
    return [*names[start:], *names[:start]]
