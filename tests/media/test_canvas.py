"""Bringing pictures to other sizes, and taking parts out and putting them back."""

import numpy as np
import pytest
from numpy.typing import NDArray

from limner.core import Picture, Size
from limner.media.canvas import Box, around, cut, fitted, put_back


def striped(width: int, height: int) -> Picture:
    """Left half red, right half blue."""
    rows = np.zeros((height, width, 3), np.uint8)
    rows[:, : width // 2, 0] = 255
    rows[:, width // 2 :, 2] = 255
    return Picture("RGB", Size(width, height), rows.tobytes())


def pixels(picture: Picture) -> NDArray[np.uint8]:
    return np.frombuffer(picture.pixels, np.uint8).reshape(picture.size.height_px, picture.size.width_px, -1)


def test_stretching_keeps_all_of_the_picture() -> None:
    tall = pixels(fitted(striped(64, 64), Size(32, 96), "stretch"))
    assert tall.shape == (96, 32, 3)
    assert tall[48, 2].tolist() == [255, 0, 0]
    assert tall[48, 29].tolist() == [0, 0, 255]


def test_cropping_keeps_the_middle_and_its_proportions() -> None:
    wide = striped(128, 32)
    middle = pixels(fitted(wide, Size(32, 32), "crop"))
    assert middle[16, 8].tolist() == [255, 0, 0]
    assert middle[16, 24].tolist() == [0, 0, 255]
    assert fitted(wide, Size(256, 64), "crop").size == Size(256, 64)


@pytest.mark.parametrize(("size", "outside"), [(Size(64, 32), (16, 2)), (Size(32, 64), (2, 8))])
def test_filling_up_continues_the_edge(size: Size, outside: tuple[int, int]) -> None:
    filled = pixels(fitted(striped(32, 32), size, "fill"))
    assert filled[outside].tolist() == [255, 0, 0]
    assert (filled.reshape(-1, 3).max(axis=1) == 255).all()


@pytest.mark.parametrize("how", ["stretch", "crop", "fill"])
@pytest.mark.parametrize("size", [Size(1, 1), Size(1, 200), Size(200, 1), Size(64, 64)])
def test_any_size_comes_out_exactly(how: str, size: Size) -> None:
    for source in (striped(64, 64), striped(200, 2), striped(2, 200)):
        assert fitted(source, size, how).size == size  # type: ignore[arg-type]


def test_the_part_around_a_box_has_the_asked_proportions() -> None:
    bounds = Size(200, 100)
    assert around(Box(90, 40, 110, 60), 10, Size(64, 64), bounds) == Box(80, 30, 120, 70)
    wide = around(Box(90, 40, 110, 60), 0, Size(128, 64), bounds)
    assert wide.size == Size(40, 20)
    corner = around(Box(0, 0, 10, 10), 5, Size(128, 64), bounds)
    assert (corner.left, corner.top) == (0, 0)
    assert corner.size == Size(30, 15)
    whole = around(Box(0, 0, 200, 100), 50, Size(64, 64), bounds)
    assert whole == Box(0, 0, 200, 100)


def test_what_is_put_back_changes_only_what_the_mask_marks() -> None:
    original = striped(64, 64)
    box = Box(16, 16, 48, 48)
    marks = np.zeros((64, 64), np.uint8)
    marks[24:40, 24:40] = 255
    mask = Picture("L", Size(64, 64), marks.tobytes())
    assert cut(original, box).size == Size(32, 32)
    green = Picture("RGB", Size(8, 8), bytes((0, 255, 0)) * 64)
    whole = pixels(put_back(green, original, box, mask))
    assert (whole[24:40, 24:40] == (0, 255, 0)).all()
    untouched = marks == 0
    assert (whole[untouched] == pixels(original)[untouched]).all()
