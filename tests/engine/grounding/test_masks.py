import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from limner.core import Size
from limner.engine.grounding.masks import mask_of, share


def scores(*boxes: tuple[int, int, int, int], side: int = 64, sure: int = 255) -> Image.Image:
    image = Image.new("L", (side, side))
    for box in boxes:
        ImageDraw.Draw(image).rectangle(box, fill=sure)
    return image


def test_a_mask_has_the_pictures_size_and_lies_where_the_scores_do() -> None:
    mask = mask_of(scores((16, 0, 31, 63)), Size(256, 128))
    assert (mask.size, mask.mode) == ((256, 128), "L")
    inside, outside = mask.crop((72, 8, 120, 120)), mask.crop((140, 8, 250, 120))
    assert inside.getextrema() == (255, 255)
    assert outside.getextrema() == (0, 0)
    assert share(mask) == pytest.approx(0.25, abs=0.01)


def test_the_edge_is_soft_and_narrow_even_where_the_scores_are_blurred() -> None:
    blurred = scores((16, 16, 47, 47)).filter(ImageFilter.GaussianBlur(4))
    line = np.asarray(mask_of(blurred, Size(256, 256)))[128]
    between = (line > 0) & (line < 255)
    assert 2 <= between.sum() <= 40  # both edges, of 256 pixels
    assert share(mask_of(blurred, Size(256, 256))) == pytest.approx(0.25, abs=0.02)


def test_speckles_are_left_out_and_everything_else_stays() -> None:
    mask = mask_of(scores((10, 10, 40, 40), (60, 60, 61, 61)), Size(64, 64))
    assert mask.getpixel((60, 60)) == 0
    assert mask.getpixel((25, 25)) == 255


@pytest.mark.parametrize(("sure", "covered"), [(255, 1.0), (140, 1.0), (120, 0.0), (0, 0.0)])
def test_what_is_more_likely_than_not_is_counted_in(sure: int, covered: float) -> None:
    assert share(mask_of(scores((0, 0, 63, 63), sure=sure), Size(100, 50))) == covered
