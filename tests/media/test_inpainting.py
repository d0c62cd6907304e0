"""Masks as A1111's clients mean them, and what is put under them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from limner.core import Picture, Size
from limner.errors import InvalidRequest
from limner.media.canvas import Box
from limner.media.inpainting import filled, hardened, marked, painted_mask

SIZE = Size(64, 64)
LEFT = np.s_[:, :32]


def grey(values: NDArray[np.uint8]) -> Picture:
    return Picture("L", SIZE, values.tobytes())


def half(low: int = 0, high: int = 255) -> NDArray[np.uint8]:
    """``high`` in the left half."""
    values = np.full((64, 64), low, np.uint8)
    values[LEFT] = high
    return values


def read(mask: Picture) -> NDArray[np.uint8]:
    return np.frombuffer(mask.pixels, np.uint8).reshape(64, 64)


def painted(picture: Picture, *, invert: bool = False, blur_px: float = 0) -> NDArray[np.uint8]:
    return read(painted_mask(picture, invert=invert, blur_px=(blur_px, blur_px), param="mask"))


def test_white_is_repainted() -> None:
    assert (painted(grey(half())) == half()).all()
    colours = np.stack([half()] * 3, axis=-1)
    assert (painted(Picture("RGB", SIZE, colours.tobytes())) == half()).all()


def test_what_is_painted_on_transparent_ground_is_repainted() -> None:
    strokes = np.zeros((64, 64, 4), np.uint8)
    strokes[LEFT] = (0, 0, 0, 255)
    assert (painted(Picture("RGBA", SIZE, strokes.tobytes())) == half()).all()


def test_inverting_repaints_the_rest() -> None:
    assert (painted(grey(half()), invert=True) == 255 - half()).all()


def test_blur_softens_the_edge_and_nothing_else() -> None:
    soft = painted(grey(half()), blur_px=4)
    assert (soft[:, :8] == 255).all()
    assert (soft[:, 56:] == 0).all()
    assert 60 < int(soft[32, 32]) < 200
    assert len(np.unique(soft[32])) > 8


@pytest.mark.parametrize("invert", [False, True])
def test_a_mask_that_marks_nothing_is_refused(invert: bool) -> None:
    nothing = grey(np.full((64, 64), 255 if invert else 100, np.uint8))
    with pytest.raises(InvalidRequest, match="mask marks nothing") as refused:
        painted(nothing, invert=invert)
    assert refused.value.param == "mask"


def test_the_marked_part_is_found() -> None:
    values = np.zeros((64, 64), np.uint8)
    values[10:20, 30:45] = 255
    assert marked(grey(values)) == Box(30, 10, 45, 20)


def test_a_soft_edge_is_hardened_on_either_side() -> None:
    values = np.tile(np.array([0, 1, 127, 128, 254, 255] + [0] * 58, np.uint8), (64, 1))
    for least, count in ((1, 5), (128, 3), (255, 1)):
        hard = read(hardened(grey(values), least))
        assert hard[0].tolist() == [255 if value >= least else 0 for value in values[0]]
        assert np.count_nonzero(hard[0]) == count


def test_what_lies_under_the_mask_gets_the_colours_around_it() -> None:
    picture = np.full((64, 64, 3), (200, 40, 40), np.uint8)
    picture[24:40, 24:40] = (0, 255, 0)
    mask = np.zeros((64, 64), np.uint8)
    mask[22:42, 22:42] = 255
    drawn = np.frombuffer(filled(Picture("RGB", SIZE, picture.tobytes()), grey(mask)).pixels, np.uint8)
    drawn = drawn.reshape(64, 64, 3)
    assert (drawn[mask == 0] == picture[mask == 0]).all()
    assert np.abs(drawn[32, 32].astype(int) - (200, 40, 40)).max() < 30
