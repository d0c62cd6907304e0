"""Masks whose edges move to the edges of flat colours."""

import numpy as np
import PIL.Image
from PIL import ImageChops, ImageDraw

from limner.engine.grounding.snapping import snapped


def drawing() -> tuple[PIL.Image.Image, PIL.Image.Image]:
    """A red disc on white, and where it is."""
    image, truth = PIL.Image.new("RGB", (160, 120), "white"), PIL.Image.new("L", (160, 120))
    ImageDraw.Draw(image).ellipse((40, 20, 110, 90), fill="red")
    ImageDraw.Draw(truth).ellipse((40, 20, 110, 90), fill=255)
    return image, truth


def overlap(one: PIL.Image.Image, two: PIL.Image.Image) -> float:
    a, b = np.asarray(one) > 127, np.asarray(two) > 127
    return float((a & b).sum() / (a | b).sum())


def test_rough_scores_take_the_outline_of_the_drawing() -> None:
    image, truth = drawing()
    rough = ImageChops.offset(truth, 6, -4).resize((20, 15))
    assert overlap(rough.resize(image.size), truth) < 0.8
    assert overlap(snapped(rough, image), truth) > 0.92


def test_the_same_colour_far_away_stays_out() -> None:
    image = PIL.Image.new("RGB", (200, 60), "white")
    for left in (5, 145):
        ImageDraw.Draw(image).rectangle((left, 10, left + 40, 50), fill="blue")
    scores = PIL.Image.new("L", (200, 60))
    ImageDraw.Draw(scores).rectangle((8, 12, 42, 48), fill=255)
    found = np.asarray(snapped(scores, image)) > 127
    assert found[12:48, 8:42].all()
    assert not found[:, 100:].any()


def test_a_picture_that_is_not_flat_keeps_its_scores() -> None:
    noise = PIL.Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 60, 3), dtype=np.uint8))
    scores = PIL.Image.new("L", (8, 8), 200)
    assert snapped(scores, noise) is scores
