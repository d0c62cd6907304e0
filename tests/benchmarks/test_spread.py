"""Medians, quartiles and pairs."""

import pytest

from benchmarks.spread import percentile, ratios, spread


def test_a_spread_has_the_median_and_the_quartiles() -> None:
    found = spread([5.0, 1.0, 3.0, 2.0, 4.0])
    assert (found.low, found.median, found.high, found.count) == (2.0, 3.0, 4.0, 5)
    assert found.format(1, " s") == "3.0 s (2.0–4.0)"


def test_nothing_is_timed_once() -> None:
    with pytest.raises(AssertionError, match="once"):
        spread([1.0])


def test_ratios_are_of_pairs_so_a_disturbance_of_both_cancels() -> None:
    assert ratios([2.0, 20.0, 2.0], [1.0, 10.0, 1.0]).high == 2.0


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.9, 4.0), (1.0, 4.0)])
def test_percentiles_are_values_that_occurred(share: float, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == value
