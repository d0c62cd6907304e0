import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from limner.engine.cutting import matting

pytest.importorskip("pymatting")


def scene(side: int) -> tuple[Image.Image, Image.Image, Image.Image]:
    """A picture with a soft edge, its true alpha, and a hard one that a coarse model might give."""
    hard = Image.new("L", (side, side))
    ImageDraw.Draw(hard).ellipse((side // 4, side // 4, side * 3 // 4, side * 3 // 4), fill=255)
    true = hard.filter(ImageFilter.GaussianBlur(2))
    image = Image.composite(Image.new("RGB", true.size, "red"), Image.new("RGB", true.size, "blue"), true)
    return image, true, hard


def off(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one).astype(int) - np.asarray(other)).mean())


def test_a_hard_edge_becomes_as_soft_as_the_picture_shows_it() -> None:
    image, true, hard = scene(64)
    solved = matting.refined(image, hard)
    assert solved is not None
    assert off(solved, true) < off(hard, true) / 3


def test_large_pictures_are_solved_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matting, "SOLVED_PX", 64)
    image, true, hard = scene(128)
    solved = matting.refined(image, hard)
    assert solved is not None
    assert solved.size == (128, 128)
    assert off(solved, true) < off(hard, true)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_without_a_sure_inside_and_outside_there_is_nothing_to_solve(level: int) -> None:
    image, _, _ = scene(64)
    assert matting.refined(image, Image.new("L", (64, 64), level)) is None
