"""What jobs cost."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.accounts import charge_micro, estimate_micro
from limner.catalogue import Catalogue, ModelSpec
from limner.core import Operation, Request
from limner.store import MICRO

TIMED = Catalogue.builtin().get("sketch")


def priced(price: float) -> ModelSpec:
    return replace(TIMED, price_per_image=price)


def request(n: int = 1) -> Request:
    return Request(Operation.GENERATE, "sketch", "x", n=n)


@pytest.mark.parametrize(
    ("device_s", "rate", "micro"),
    [
        (2.0, 1.0, 2_000_000),
        (0.07, 1.0, 70_000),  # 0.07 * 1e6 is a little more than 70,000 in binary
        (1.1, 1.1, 1_210_000),
        (1e-9, 1.0, 1),
        (0.0000015, 1.0, 2),
        (0.0, 1.0, 0),
        (5.0, 0.0, 0),
        (3, 2, 6_000_000),
    ],
)
def test_without_a_price_device_time_is_charged_rounded_up(device_s: float, rate: float, micro: int) -> None:
    assert charge_micro(TIMED, request(), 1, device_s, rate) == micro
    assert estimate_micro(TIMED, request(), device_s, rate) == micro


@pytest.mark.parametrize(
    ("price", "n", "micro"), [(0.04, 3, 120_000), (0.07, 1, 70_000), (0.0, 5, 0), (1, 2, 2_000_000)]
)
def test_a_price_per_picture_counts_pictures_whatever_the_time(price: float, n: int, micro: int) -> None:
    assert charge_micro(priced(price), request(n), n, 99.0, 7.0) == micro
    assert estimate_micro(priced(price), request(n), 99.0, 7.0) == micro


def test_pictures_that_were_not_made_or_not_asked_for_are_free() -> None:
    assert charge_micro(priced(0.5), request(4), 3, 1.0, 1.0) == 1_500_000
    assert charge_micro(priced(0.5), request(1), 3, 1.0, 1.0) == 500_000
    assert charge_micro(priced(0.5), request(1), 0, 1.0, 1.0) == 0


@given(st.floats(0, 1e6), st.floats(0, 1e4), st.integers(1, 10))
def test_amounts_are_whole_never_negative_and_never_too_small(value: float, rate: float, n: int) -> None:
    timed = charge_micro(TIMED, request(n), n, value, rate)
    assert 0 <= value * rate * MICRO * (1 - 1e-12) <= timed <= value * rate * MICRO * (1 + 1e-12) + 1
    assert charge_micro(priced(rate), request(n), n, 0.0, 0.0) == estimate_micro(priced(rate), request(n), value, 0.0)


@pytest.mark.parametrize(("resolution", "micro"), [("1K", 40_000), ("2K", 40_000), ("4K", 80_000)])
def test_some_values_of_a_parameter_make_a_picture_dearer(resolution: str, micro: int) -> None:
    spec = replace(Catalogue.builtin().get("nano_banana_pro"), price_per_image=0.02)
    asked = replace(request(n=2), params={"resolution": resolution})
    assert charge_micro(spec, asked, 2, 1.0, 1.0) == micro
