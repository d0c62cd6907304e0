"""Estimates of device time and of waiting."""

from dataclasses import replace

import pytest

from limner.core import Operation, Request, Size
from limner.service.pace import FIRST_GUESS_S, Pace, units

SMALL = Request(Operation.GENERATE, "m", "x", size=Size(128, 128), seed=1, params={"num_inference_steps": 4})
LARGE = replace(SMALL, size=Size(256, 256), n=4, params={"num_inference_steps": 40})


def cost(request: Request) -> float:
    """A model whose pictures take 0.2 s each and 0.01 s a unit."""
    return 0.2 * request.n + 0.01 * units(request)


def test_before_anything_is_known_a_guess_is_made() -> None:
    pace = Pace()
    assert not pace.knows("m")
    assert pace.device_s(LARGE) == pytest.approx(units(LARGE) * FIRST_GUESS_S)


def test_small_jobs_do_not_spoil_the_estimate_of_large_ones() -> None:
    pace = Pace()
    pace.learn([(LARGE, cost(LARGE)), *[(SMALL, cost(SMALL))] * 20])
    assert pace.device_s(LARGE) == pytest.approx(cost(LARGE))
    assert pace.device_s(SMALL) == pytest.approx(cost(SMALL))


def test_one_kind_of_job_tells_of_its_own_kind() -> None:
    pace = Pace()
    pace.used(SMALL, 0.3)
    pace.used(SMALL, 0.5)
    assert pace.device_s(SMALL) == pytest.approx(0.4)
    assert pace.knows("m")


def test_no_part_of_an_estimate_is_negative() -> None:
    pace = Pace()
    pace.learn([(SMALL, 0.001), (LARGE, 10.0)])
    assert 0 < pace.device_s(SMALL) < pace.device_s(LARGE)


def test_a_long_job_takes_longer_than_the_usual_one() -> None:
    pace = Pace(seconds_per_job=0.5)
    pace.learn([(LARGE, cost(LARGE)), (SMALL, cost(SMALL))])
    assert pace.eta_s(SMALL, 0) == pytest.approx(0.5)
    assert pace.eta_s(LARGE, 2) == pytest.approx(1.0 + cost(LARGE) / 4)
