"""Measuring several contestants fairly: in turns, in rotating order, so that a disturbance meets all of them alike."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from benchmarks import noise

T = TypeVar("T")
PAUSE_S = 0.1  # lets the threads of the one before go to sleep
NOISY_CORES = 0.2
ATTEMPTS = 3  # rounds tried for one that counts, at most


class Contest(Generic[T]):
    """``results`` by contestant, the i-th of each from the same round; how many cores others used in each round."""

    def __init__(self, names: Sequence[str]) -> None:
        self.results: dict[str, list[T]] = {name: [] for name in names}
        self.others_cores: list[float] = []
        self.repeated = 0

    def __getitem__(self, name: str) -> list[T]:
        return self.results[name]


async def in_turns(
    contestants: Mapping[str, Callable[[int], Awaitable[T]]],
    rounds: int,
    *,
    pause_s: float = PAUSE_S,
    attempts: int = ATTEMPTS,
    first: int = 0,
) -> Contest[T]:
    """Call every contestant once a round with the round's number, counted from ``first``: less than ``attempts`` x
    ``rounds`` are used. Contests on one server that must not draw the same again begin apart.

    A round during which other processes kept more than NOISY_CORES busy is measured again; after ``attempts`` x
    ``rounds`` rounds the noisy ones count too.
    """
    contest: Contest[T] = Contest(list(contestants))
    spare = (attempts - 1) * rounds
    number = first
    while len(contest.others_cores) < rounds:
        before = noise.now()
        found: dict[str, T] = {}
        for name in _rotated(list(contestants), number):
            found[name] = await contestants[name](number)
            await asyncio.sleep(pause_s)
        others = noise.now().others_since(before)
        number += 1
        if others > NOISY_CORES and contest.repeated < spare:
            contest.repeated += 1
            continue
        contest.others_cores.append(others)
        for name, result in found.items():
            contest.results[name].append(result)
    return contest


def remark(*contests: Contest[T]) -> str:
    """How quiet the machine was."""
    others = [cores for contest in contests for cores in contest.others_cores]
    repeated = sum(contest.repeated for contest in contests)
    return (
        f"Meanwhile other processes used {sum(others) / len(others):.2f} cores (at most {max(others):.2f} in a round);"
        f" {repeated} noisy rounds were measured again."
    )


def _rotated(names: Sequence[str], by: int) -> list[str]:
    start = by % len(names)
    return [*names[start:], *names[:start]]
