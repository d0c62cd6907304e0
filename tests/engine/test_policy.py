"""The order of work, from tables: no torch, no threads."""

from collections.abc import Callable

import pytest

from limner.engine.policy import BatchCurve, Shares, Waiting, choose


def waiting(key: str, remaining: float = 1.0, owner: str = "", waited_s: float = 0.0) -> Waiting:
    return Waiting(key, owner, remaining, waited_s)


@pytest.mark.parametrize(
    ("name", "ready", "limit", "chosen"),
    [
        ("nothing is ready", [], 8, []),
        ("the shortest goes first", [waiting("a", 9), waiting("b", 1)], 8, [1]),
        ("what can merge with it comes along", [waiting("a", 9), waiting("b", 5), waiting("a", 1)], 8, [2, 0]),
        ("up to the limit, shortest first", [waiting("a", r) for r in (3, 1, 2)], 2, [1, 2]),
        ("a limit below one still runs one", [waiting("a")], 0, [0]),
        ("ties keep their order", [waiting("a"), waiting("b")], 8, [0]),
        ("whatever waited too long goes first", [waiting("a", 1), waiting("b", 99, waited_s=11)], 8, [1]),
        ("the longest of those", [waiting("a", 1, waited_s=11), waiting("b", 99, waited_s=12)], 8, [1]),
    ],
)
def test_choose(name: str, ready: list[Waiting], limit: int, chosen: list[int]) -> None:
    assert choose(ready, Shares(), limit=limit, age_limit_s=10) == chosen, name


def test_the_least_served_owner_goes_first() -> None:
    shares = Shares(quantum_s=1)
    shares.present(["greedy", "modest"])
    shares.charge("greedy", 5)
    ready = [waiting("a", 1, "greedy"), waiting("b", 9, "modest")]
    assert choose(ready, shares, limit=8) == [1]


def test_less_than_a_quantum_of_difference_does_not_count() -> None:
    shares = Shares(quantum_s=1)
    shares.present(["greedy", "modest"])
    shares.charge("greedy", 0.9)
    ready = [waiting("a", 1, "greedy"), waiting("b", 9, "modest")]
    assert choose(ready, shares, limit=8) == [0]


def test_being_away_saves_nothing_up() -> None:
    shares = Shares(quantum_s=1)
    shares.present(["steady", "newcomer"])
    shares.charge("steady", 100)
    shares.charge("newcomer", 90)
    shares.present(["steady"])
    shares.present(["steady", "newcomer"])
    assert shares.debt("steady") == shares.debt("newcomer") == 0


def simulate(seconds: Callable[[int], float], *, load: int, rounds: int = 400) -> list[int]:
    """Batch sizes that a curve allows while ``load`` samples always wait."""
    curve, sizes = BatchCurve(), []
    for _ in range(rounds):
        size = min(load, curve.limit(8))
        curve.observe(size, seconds(size))
        sizes.append(size)
    return sizes


def usual(sizes: list[int]) -> int:
    late = sizes[len(sizes) // 2 :]
    return max(set(late), key=late.count)


@pytest.mark.parametrize(
    ("name", "seconds", "size"),
    [
        ("arithmetic-bound: batches only make everybody wait", lambda b: 1.0 * b, 1),
        ("overhead-bound: the larger the better", lambda b: 1.0 + 0.01 * b, 8),
        ("pays up to four", lambda b: 1.0 if b <= 4 else b / 4, 4),
    ],
)
def test_the_curve_finds_the_batch_that_pays(name: str, seconds: Callable[[int], float], size: int) -> None:
    assert usual(simulate(seconds, load=8)) == size, name


def test_an_unmeasured_curve_allows_everything() -> None:
    assert BatchCurve().limit(8) == 8
    assert BatchCurve().limit(1) == 1


def test_a_disturbance_does_not_stay() -> None:
    curve = BatchCurve()
    for size in (1, 2, 4, 8):
        for _ in range(5):
            curve.observe(size, 100.0 if size == 8 else 1.0)
    assert curve.limit(8) == 4
    sizes = []
    for _ in range(400):
        sizes.append(curve.limit(8))
        curve.observe(sizes[-1], 1.0)
    assert usual(sizes) == 8
