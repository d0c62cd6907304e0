"""What words may name in a scene, and the mask of it: the grounder's examples, also ones with nothing to find.

Owns the phrases. Masks are (H, W) floats in 0..1; a thing's mask is what is visible of it.
"""

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.captions import color_word, kind_word, plural
from training.palette import COLORS
from training.render import SUPERSAMPLING, Pen, draw_thing
from training.scenes import KINDS, Background, Scene, Thing
from training.words import STRANGE_WORDS

Mask = NDArray[np.float32]

SUBJECT = (
    "the subject",
    "the main subject",
    "subject",
    "the foreground",
    "foreground",
    "the main object",
    "the object",
    "everything but the background",
    "everything except the background",
    "the thing in the picture",
    "main subject",
    "the drawing",
    "the main thing",
)
BACKGROUND = (
    "the background",
    "background",
    "the backdrop",
    "everything behind",
    "everything behind it",
    "the whole background",
    "everything but the subject",
    "everything except the subject",
    "everything around it",
    "the surroundings",
)
SKY = ("the sky", "sky", "the heavens", "the air", "the whole sky")
GROUND = {
    "grass": ("the grass", "grass", "the meadow", "the ground", "the field", "the lawn", "the green field"),
    "sea": ("the sea", "the water", "water", "the ocean", "the waves", "sea", "the lake"),
    "sand": ("the sand", "sand", "the beach", "the desert", "the ground", "the sandy ground"),
    "snow": ("the snow", "snow", "the ground", "the snowy field", "the snowy ground"),
}
PATTERNS = {
    "gradient": ("the gradient", "the gradient background"),
    "checker": ("the checkerboard", "the checkered background", "the pattern"),
    "stripes": ("the stripes", "the striped background", "the pattern"),
}
ALL_BUT = ("everything but the {}", "everything except the {}", "all but the {}", "everything around the {}")
PREFIXES = ("the ", "the ", "the ", "the ", "", "", "a ", "that ", "this ", "my ", "the whole ", "the drawn ")
MIDDLE = 0.06
"""Distance in widths or heights by which one of two equal things must lie further out to be called by its side."""


@dataclass(frozen=True, slots=True)
class Example:
    """Words and what they name."""

    words: str
    mask: Mask


def covers(scene: Scene, width: int, height: int) -> list[Mask]:
    """Return the visible mask of every thing: what later things leave of it."""
    found: list[Mask] = []
    free = np.ones((height, width), np.float32)
    for thing in reversed(scene.things):
        whole = cover(thing, width, height)
        found.append(whole * free)
        free = free * (1 - whole)
    return found[::-1]


def cover(thing: Thing, width: int, height: int) -> Mask:
    """Return the whole mask of a thing: the pixels that look the same drawn on black and on white."""
    w, h = width * SUPERSAMPLING, height * SUPERSAMPLING
    shown = []
    for empty in ("black", "white"):
        image = Image.new("RGB", (w, h), empty)
        draw_thing(Pen(ImageDraw.Draw(image), thing.x * w, thing.y * h, thing.extent * min(w, h)), thing)
        shown.append(np.asarray(image))
    same = (shown[0] == shown[1]).all(-1)
    return np.asarray(Image.fromarray(same.astype(np.uint8) * 255).reduce(SUPERSAMPLING), np.float32) / np.float32(255)


def union(masks: list[Mask]) -> Mask:
    """Return the sum of masks that do not overlap."""
    return np.sum(masks, 0, dtype=np.float32).clip(0, 1)


def main_things(scene: Scene) -> list[int]:
    """Return the indices of the things somebody would call the subject: in a landscape not the sun, unless alone."""
    named = [i for i, thing in enumerate(scene.things) if thing.color]
    return named or list(range(len(scene.things)))


def thing_words(rng: random.Random, scene: Scene) -> tuple[str, list[int]]:
    """Name one thing or all things like it, by kind, colour, both, or also place; return words and indices."""
    index = rng.randrange(len(scene.things))
    thing = scene.things[index]
    colored = bool(thing.color) and rng.random() < 0.55
    like = [i for i, t in enumerate(scene.things) if t.kind == thing.kind and (not colored or t.color == thing.color)]
    noun = kind_word(rng, thing.kind, thing.variant)
    color = f"{color_word(rng, thing.color)} " if colored else ""
    side = side_of(scene, index, like)
    if side and rng.random() < 0.7:
        return placed(rng, f"{color}{noun}", side), [index]
    if len(like) > 1:
        count = rng.choice(("", "", "all ", "both " if len(like) == 2 else "all the "))
        return f"{count or rng.choice(('the ', ''))}{color}{plural(noun)}", like
    if side and rng.random() < 0.3:
        return placed(rng, f"{color}{noun}", side), like
    if thing.color and rng.random() < 0.08 and [t.color for t in scene.things].count(thing.color) == 1:
        return f"the {thing.color} {rng.choice(('one', 'thing', 'shape', 'object'))}", [index]
    return f"{rng.choice(PREFIXES)}{color}{noun}", like


def side_of(scene: Scene, index: int, like: list[int]) -> str:
    """Return the side on which the thing lies: of its likes, or of the picture when it is the only one; "" for none."""
    thing = scene.things[index]
    others = [scene.things[i] for i in like if i != index]
    if not others:
        x, y = thing.x - 0.5, thing.y - 0.5
        if max(abs(x), abs(y)) < 0.1:
            return ""
        return ("left" if x < 0 else "right") if abs(x) >= abs(y) else ("top" if y < 0 else "bottom")
    if all(thing.x < o.x - MIDDLE for o in others):
        return "left"
    if all(thing.x > o.x + MIDDLE for o in others):
        return "right"
    if all(thing.y < o.y - MIDDLE for o in others):
        return "top"
    return "bottom" if all(thing.y > o.y + MIDDLE for o in others) else ""


def placed(rng: random.Random, noun: str, side: str) -> str:
    """Return words for a noun on a side."""
    if side in ("left", "right"):
        forms = ("the {n} on the {s}", "the {n} on the {s} side", "the {s} {n}", "the {s}most {n}", "{n} on the {s}")
    else:
        other = "upper" if side == "top" else "lower"
        forms = ("the {n} at the {s}", f"the {other} {{n}}", "the {s} {n}", "the {n} on the {s}", "{n} at the {s}")
    return rng.choice(forms).format(n=noun, s=side)


def absent_words(rng: random.Random, scene: Scene) -> str:
    """Return words for something that is not there."""
    kinds = {thing.kind for thing in scene.things}
    draw = rng.random()
    named = [t for t in scene.things if t.color]
    if draw < 0.3 and named:
        thing = rng.choice(named)
        taken = {t.color for t in scene.things if t.kind == thing.kind}
        color = rng.choice([c for c in COLORS if c not in taken])
        return f"{rng.choice(PREFIXES)}{color} {thing.kind}"
    if draw < 0.4 and scene.background.pattern != "land":
        return rng.choice((*SKY, *rng.choice(list(GROUND.values()))[:3]))
    if draw < 0.5:
        return f"the {rng.choice(STRANGE_WORDS)}"
    kind = rng.choice([k for k in KINDS if k not in kinds and not (k == "circle" and "smiley" in kinds)])
    color = f"{rng.choice(list(COLORS))} " if rng.random() < 0.3 else ""
    return f"{rng.choice(PREFIXES)}{color}{kind_word(rng, kind, rng.randint(0, 1))}"


def region_words(rng: random.Random, background: Background) -> tuple[str, str] | None:
    """Return words for a part of a landscape and "sky" or "ground"; None where there is no landscape."""
    if background.pattern != "land":
        return None
    if background.ground is None or rng.random() < 0.5:
        return rng.choice(SKY), "sky"
    return rng.choice(GROUND[background.ground]), "ground"


def background_words(rng: random.Random, scene: Scene) -> str:
    """Return words for all that is not the subject."""
    background, named = scene.background, [t for t in scene.things if t.color]
    if background.pattern == "plain" and rng.random() < 0.2:
        return f"the {background.color} background"
    if background.pattern in PATTERNS and rng.random() < 0.2:
        return rng.choice(PATTERNS[background.pattern])
    if len(named) == 1 and rng.random() < 0.2:
        return rng.choice(ALL_BUT).format(kind_word(rng, named[0].kind, named[0].variant))
    return rng.choice(BACKGROUND)


def example(rng: random.Random, scene: Scene, masks: list[Mask], shape: tuple[int, int]) -> Example:
    """Draw words and their mask for a scene whose things have `masks`; `shape` is height and width."""
    nothing = np.zeros(shape, np.float32)
    things = union(masks) if masks else nothing
    subject = union([masks[i] for i in main_things(scene)]) if masks else nothing
    draw = rng.random()
    if draw < 0.1:
        return Example(rng.choice(SUBJECT), subject)
    if draw < 0.2:
        return Example(background_words(rng, scene), 1 - subject)
    if draw < 0.36 and (region := region_words(rng, scene.background)) is not None:
        line = round(shape[0] * scene.background.horizon) if scene.background.ground else shape[0]
        part = nothing.copy()
        part[slice(0, line) if region[1] == "sky" else slice(line, None)] = 1
        return Example(region[0], part * (1 - things))
    if draw < 0.77 and masks:
        words, indices = thing_words(rng, scene)
        return Example(words, union([masks[i] for i in indices]))
    return Example(absent_words(rng, scene), nothing)
