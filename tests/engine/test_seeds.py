"""Seeds: small ones are torch's own, and every bit of a large one counts."""

import numpy as np
import pytest

from limner.engine import Engine
from limner.engine.seeds import generator_seed
from tests.engine.conftest import adopt, draw, sample


@pytest.mark.parametrize("seed", [0, 1, 42, 2**31, 2**32 - 1])
def test_small_seeds_are_used_as_they_are(seed: int) -> None:
    assert generator_seed(seed) == seed


def test_large_seeds_are_spread_and_stay_what_they_are() -> None:
    large = [2**32, 2**32 + 1, 2**33, 2**33 + 1, 2**40, 2**62, 2**63 - 2, 2**63 - 1]
    used = [generator_seed(seed) for seed in large]
    assert len({*used, *(seed % 2**32 for seed in large)}) == len(large) + len({s % 2**32 for s in large})
    assert all(0 <= one < 2**32 for one in used)
    assert generator_seed(2**32) == 1438993947  # pictures must not change from one release to the next


def test_seeds_that_share_their_low_bits_draw_different_pictures(engine: Engine) -> None:
    adopt(engine, "flux2_klein")
    low, high = (draw(engine, sample("flux2_klein", seed, prompt="a cat")) for seed in (1, 2**32 + 1))
    assert np.abs(low - high).max() > 2
