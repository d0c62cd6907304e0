"""What the embedded grounder does not know, it says so."""

import pytest
from PIL import Image

from limner.core import Picture, Size
from limner.engine.grounding import Grounding
from limner.engine.grounding.world import has_named_color, require_known
from limner.errors import InvalidRequest


@pytest.mark.parametrize(
    "words",
    [
        "the red circle",
        "Star",
        "the background",
        "der rote Kreis",
        "el fondo",
        "le ciel",
        "红色的圆",
        "the blue one",
        "it",
    ],
)
def test_words_of_its_world(words: str) -> None:
    require_known(words)


@pytest.mark.parametrize("words", ["the elephant", "😀", "\u200b", "her tie", "the license plate"])
def test_words_from_outside(words: str) -> None:
    with pytest.raises(InvalidRequest, match="nothing that the embedded grounder knows") as refused:
        require_known(words)
    assert refused.value.param == "region"


@pytest.mark.parametrize(
    ("words", "fits"),
    [("the red circle", True), ("the circle", True), ("the blue square", False), ("the orange ball", True)],
)
def test_a_region_of_another_colour_is_not_it(words: str, fits: bool) -> None:
    image, mask = Image.new("RGB", (8, 8), (220, 30, 35)), Image.new("L", (8, 8), 255)
    assert has_named_color(words, image, mask) is fits


def test_the_embedded_grounder_refuses_both() -> None:
    grounder = Grounding.load("embedded:grounder", "cpu")
    side = 128
    picture = Image.new("RGB", (side, side), "white")
    picture.paste((220, 30, 35), (40, 40, 88, 88))
    drawn = Picture("RGB", Size(side, side), picture.tobytes())
    assert grounder.mask(drawn, "the red square").pixels.count(255) > 1000
    for words in ("the elephant", "the blue star"):
        with pytest.raises(InvalidRequest) as refused:
            grounder.mask(drawn, words)
        assert refused.value.param == "region"
