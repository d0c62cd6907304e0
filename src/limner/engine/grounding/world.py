"""What the embedded grounder has learnt: a small world of shapes and objects, by the words of the embedded reader.

Owns refusing words from outside of it, and a found region that has not the colour that was named: the network alone
takes the nearest thing.
"""

import re

import numpy as np
import PIL.Image

from limner.engine.speaking.canonical import COLORS, KINDS
from limner.engine.speaking.lexicon import colors_in, fold, kinds_in, scenery_in
from limner.errors import RegionNotFound

# Words for what every picture has, or for a thing of whatever kind.
ANYTHING = re.compile(
    r"\b(?:subject|foreground|background|backdrop|surroundings|sky|air|heavens|ground|thing|object|shape|figure|drawing|"
    r"everything|all|it|checker\w*|stripes?|striped|gradient|pattern|motiv|vordergrund|hintergrund|himmel|fondo|cielo|"
    r"fond|ciel|sujet|objet|objeto)\b|背景|主体|天空"
)
PAINT: dict[str, tuple[int, int, int]] = {  # as the pictures it has learnt from are painted
    "red": (220, 30, 35), "green": (40, 165, 60), "blue": (35, 85, 220), "yellow": (250, 215, 30),
    "orange": (245, 140, 25), "purple": (130, 50, 175), "pink": (250, 130, 180), "brown": (125, 75, 35),
    "black": (20, 20, 22), "white": (250, 250, 250), "gray": (135, 135, 140), "cyan": (40, 200, 215),
    "light blue": (170, 210, 245), "light green": (185, 230, 175), "light pink": (252, 208, 226),
    "beige": (238, 224, 190), "dark blue": (18, 28, 84), "dark green": (15, 76, 40),
}  # fmt: skip
NEAR = 4  # of the colours nearest to what was found, the named one has to be one


def require_known(words: str) -> None:
    """Return when the words name something of its world. Raises RegionNotFound."""
    folded = fold(words)
    if kinds_in(folded) or scenery_in(folded) or colors_in(folded) or ANYTHING.search(folded):
        return
    raise RegionNotFound(
        f"Invalid value for 'region': {words[:100]!r} is nothing that the embedded grounder knows. It knows the "
        f"subject, the background, colours, and: {', '.join(KINDS)}; set 'grounder' to a model that knows more",
        param="region",
    )


def has_named_color(words: str, image: PIL.Image.Image, mask: PIL.Image.Image) -> bool:
    """Whether what ``mask`` (mode L, as large as the RGB ``image``) covers may be of a colour that ``words`` name; also
    where they name none."""
    wanted = [color for color in colors_in(fold(words)) if color in PAINT]
    covered = np.asarray(image)[np.asarray(mask) >= 128]
    if not wanted or not len(covered) or ANYTHING.search(fold(words)):
        return True
    median = np.median(covered, axis=0)
    by_distance = sorted(COLORS, key=lambda color: float(np.abs(median - np.asarray(PAINT[color])).sum()))
    return any(color in by_distance[:NEAR] for color in wanted)
