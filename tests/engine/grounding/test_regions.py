import numpy as np
import pytest

from limner.engine.grounding.regions import without_speckles


def grid(*rows: str) -> np.ndarray:
    return np.array([[mark != "." for mark in row] for row in rows])


def drawn(found: np.ndarray) -> list[str]:
    return ["".join("#" if cell else "." for cell in row) for row in found]


def test_a_speckle_beside_something_large_is_left_out() -> None:
    found = np.zeros((40, 40), bool)
    found[5:25, 5:25] = True
    found[30, 30] = True
    kept = without_speckles(found)
    assert kept[5:25, 5:25].all()
    assert kept.sum() == 400


def test_things_of_like_size_all_stay() -> None:
    found = grid("##...", "##...", "....#", "...##")
    assert drawn(without_speckles(found)) == drawn(found)


@pytest.mark.parametrize(
    "rows",
    [
        ["#.#.#", "#.#.#", "#####"],  # arms that meet further down
        ["#####", "#...#", "#...."],  # an arm that ends
        ["#...#", ".#.#.", "..#.."],  # by corners alone
    ],
)
def test_thin_parts_of_something_vast_stay_however_they_wind(rows: list[str]) -> None:
    vast = np.zeros((300, 300), bool)
    vast[100:, :] = True
    vast[97:100, :5] = grid(*rows)
    assert without_speckles(vast).sum() == vast.sum()


def test_what_touches_nothing_large_goes_even_where_rows_are_empty_between() -> None:
    vast = np.zeros((300, 300), bool)
    vast[100:, :] = True
    vast[0, 10:14] = True
    vast[98, 0] = True
    assert without_speckles(vast).sum() == 200 * 300


def test_nothing_stays_nothing() -> None:
    assert not without_speckles(np.zeros((4, 4), bool)).any()
