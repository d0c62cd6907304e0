from itertools import pairwise

import numpy as np
import pytest

from limner.core import Size
from limner.engine.enlarging.tiles import feather, rows


@pytest.mark.parametrize("size", [Size(1, 1), Size(100, 64), Size(64, 300), Size(129, 65), Size(1000, 777)])
def test_tiles_cover_the_picture_are_equally_large_and_overlap(size: Size) -> None:
    made = [tile for row in rows(size, 64, 16) for tile in row]
    assert {(tile.right - tile.left, tile.bottom - tile.top) for tile in made} == {
        (min(64, size.width_px), min(64, size.height_px))
    }
    lefts, tops = sorted({tile.left for tile in made}), sorted({tile.top for tile in made})
    assert len(made) == len(lefts) * len(tops)
    for starts, extent in ((lefts, size.width_px), (tops, size.height_px)):
        assert starts[0] == 0
        assert starts[-1] + min(64, extent) == extent
        assert all(after <= before + 64 - 16 for before, after in pairwise(starts))


def test_a_picture_of_a_tiles_size_is_one_tile() -> None:
    assert [len(row) for row in rows(Size(64, 64), 64, 16)] == [1]
    assert [len(row) for row in rows(Size(65, 130), 64, 16)] == [2, 2, 2]


def test_a_tile_fades_in_over_the_middle_of_what_it_shares() -> None:
    mask = np.asarray(feather((20, 10), 8, 0))
    assert mask[0].tolist()[:8] == [0, 0, 32, 96, 159, 223, 255, 255]
    assert (mask[:, 8:] == 255).all()
    both = np.asarray(feather((20, 20), 8, 8))
    assert both[0, 0] == 0
    assert both[19, 19] == 255
    assert (both == both.T).all()


def test_a_first_tile_does_not_fade() -> None:
    assert feather((6, 4), 0, 0).getextrema() == (255, 255)
