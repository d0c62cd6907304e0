import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from limner.engine.cutting import guided
from limner.engine.cutting.guided import along_contours


def scene(width: int, height: int, *, flat: bool = True) -> tuple[Image.Image, Image.Image]:
    """A picture of a disc on one colour or on a gradient, and the disc's true mask."""
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).ellipse((width // 4, height // 4, width * 3 // 4, height * 3 // 4), fill=255)
    ground = Image.new("RGB", mask.size, "ivory") if flat else Image.linear_gradient("L").resize(mask.size)
    return Image.composite(Image.new("RGB", mask.size, "crimson"), ground.convert("RGB"), mask), mask


def off(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one).astype(int) - np.asarray(other)).mean())


@pytest.mark.parametrize("reach", [4, -4])
@pytest.mark.parametrize(("flat", "left"), [(True, 0.05), (False, 0.7)])
def test_a_mask_that_is_too_large_or_too_small_comes_to_the_contour(reach: int, flat: bool, left: float) -> None:
    image, true = scene(192, 160, flat=flat)
    coarse = true.filter(ImageFilter.MaxFilter(2 * reach + 1) if reach > 0 else ImageFilter.MinFilter(1 - 2 * reach))
    found = along_contours(image, coarse)
    assert (found.mode, found.size) == ("L", true.size)
    assert off(found, true) < off(coarse, true) * left


def test_a_mask_that_is_right_stays_as_it_is() -> None:
    image, true = scene(128, 128)
    assert off(along_contours(image, true), true) < 1


def test_what_is_far_from_any_edge_is_left_alone() -> None:
    image, true = scene(256, 256)
    changed = ImageChops.difference(along_contours(image, true.filter(ImageFilter.MaxFilter(9))), true)
    assert changed.crop((110, 110, 146, 146)).getextrema() == (0, 0)
    assert changed.crop((0, 0, 256, 30)).getextrema() == (0, 0)


def test_large_pictures_are_solved_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guided, "_SOLVED_PX", 96)
    image, true = scene(192, 160)
    coarse = true.filter(ImageFilter.MaxFilter(9))
    assert off(along_contours(image, coarse), true) < off(coarse, true) / 2


@pytest.mark.parametrize("size", [(1, 1), (3, 200)])
def test_even_slivers_have_a_mask(size: tuple[int, int]) -> None:
    assert along_contours(Image.new("RGB", size), Image.new("L", size, 255)).getextrema() == (255, 255)
