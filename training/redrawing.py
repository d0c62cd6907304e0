"""Redraws every kind the model knows over a cut-out's background, to find the one that fits what is shown.

Owns the distance of two pictures. Knows nothing of scenes, prompts and what is wanted.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from training.palette import COLORS, Rgb
from training.render import SUPERSAMPLING, Pen, Picture, draw_thing
from training.scenes import KINDS, Thing

Field = NDArray[np.float32]

FAINT = 42.0
"""Distance from the background, in RGB, from which pale parts and soft edges count as part of a thing."""
NOISE = 24.0
"""Distance in RGB that a person does not see."""
CELL = 72
"""Side in pixels of the cut-outs that are compared."""
ACCENTS = ("red", "blue", "yellow", "orange", "white", "gray", "brown", "green", "purple")


def apart(a: Picture | Field, b: Picture | Field) -> Field:
    """Return the RGB distance of two pictures, pixel by pixel."""
    difference = a.astype(np.float32) - b.astype(np.float32)
    squares: Field = (difference**2).sum(-1)
    return np.sqrt(squares)


def cut(picture: Picture, crop: tuple[float, float, float, float]) -> Picture:
    """Return a square part of a picture scaled to `CELL`; beyond the border the nearest pixels are repeated."""
    pad = max(picture.shape)
    padded = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    left, top, right, bottom = (round(v + pad) for v in crop)
    part = Image.fromarray(padded[top:bottom, left:right])
    return np.asarray(part.resize((CELL, CELL), Image.Resampling.BOX))


@dataclass(frozen=True, slots=True)
class Cutout:
    """A square part of a picture and its background, `CELL` pixels a side, softened; `canvas` is to redraw on.

    Poses are found from what stands out by more than `threshold`, half of what is common in the cut-out.
    """

    shown: Field
    behind: Field
    canvas: Image.Image
    threshold: float


@dataclass(frozen=True, slots=True)
class Pose:
    """Where and how large a thing is drawn in a cut-out, in pixels."""

    x: float = CELL / 2
    y: float = CELL / 2
    extent: float = CELL * 0.36


def cutout(shown: Picture, behind: Picture) -> Cutout:
    """Prepare a cut-out for redrawing."""
    side = CELL * SUPERSAMPLING
    canvas = Image.fromarray(behind).resize((side, side), Image.Resampling.NEAREST)
    soft, soft_behind = soften(Image.fromarray(shown)), soften(Image.fromarray(behind))
    contrast = apart(soft, soft_behind)
    return Cutout(soft, soft_behind, canvas, float(np.median(contrast[contrast > FAINT / 2])) / 2)


def soften(image: Image.Image) -> Field:
    """Return a picture blurred by a pixel, as a drawn one is."""
    return np.asarray(image.filter(ImageFilter.GaussianBlur(1.2)), np.float32)


def redraw(part: Cutout, thing: Thing, pose: Pose) -> Field:
    """Return the background of a cut-out with a thing over it, softened."""
    large = part.canvas.copy()
    scale = SUPERSAMPLING
    draw_thing(Pen(ImageDraw.Draw(large), pose.x * scale, pose.y * scale, pose.extent * scale), thing)
    return soften(large.reduce(SUPERSAMPLING))


def kind_errors(part: Cutout, rgb: Rgb) -> dict[str, float]:
    """Return the misfit of every kind, each drawn as it fits best; only those that come near are fitted finely."""
    things = [dressed(part, thing) for kind in KINDS for thing in looks(kind, rgb)]
    fits = [(thing, *rough_fit(part, thing)) for thing in things]
    limit = min(error for _, error, _ in fits) + 0.15
    errors = dict.fromkeys(KINDS, 9.0)
    for thing, error, pose in fits:
        finest = fine_fit(part, thing, error, pose) if error < limit else error
        errors[thing.kind] = min(finest, errors[thing.kind])
    return errors


def looks(kind: str, rgb: Rgb) -> list[Thing]:
    """Return the variants in which `kind` is drawn, for now in one colour."""
    variants = (0, 1) if kind in ("tree", "fish") else (0,)
    return [Thing(kind, "", rgb, 0, 0, 1, "", variant, "", rgb) for variant in variants]


def dressed(part: Cutout, thing: Thing) -> Thing:
    """Return the thing with the second colour that fits best, if it has one."""
    if thing.kind not in ("house", "flower", "boat", "rocket"):
        return thing
    _, pose = rough_fit(part, thing)
    options = [replace(thing, accent_rgb=COLORS[name]) for name in ACCENTS]
    return min(options, key=lambda option: misfit(part, redraw(part, option, pose)))


def fine_fit(part: Cutout, thing: Thing, error: float, pose: Pose) -> float:
    """Return the least misfit found by small moves and changes of size."""
    for step in (1.5, 0.75):
        for change in ((step, 0, 0), (0, step, 0), (0, 0, step)):
            for sign in (1, -1):
                moved = Pose(*(v + sign * d for v, d in zip((pose.x, pose.y, pose.extent), change, strict=True)))
                other = misfit(part, redraw(part, thing, moved))
                if other < error:
                    error, pose = other, moved
                    break
    return error


def rough_fit(part: Cutout, thing: Thing) -> tuple[float, Pose]:
    """Redraw `thing` with the area and the centre of mass of what is shown; return misfit and pose."""
    target = mass(part.shown, part)
    pose = Pose()
    for _ in range(2):
        area, x, y = mass(redraw(part, thing, pose), part)
        if not area:
            return 1.0, pose
        scale = (target[0] / area) ** 0.5
        pose = Pose(target[1] - (x - pose.x) * scale, target[2] - (y - pose.y) * scale, pose.extent * scale)
    return misfit(part, redraw(part, thing, pose)), pose


def mass(picture: Field, part: Cutout) -> tuple[float, float, float]:
    """Return the area that stands out from the background, in pixels, and its centre."""
    ys, xs = np.nonzero(apart(picture, part.behind) > part.threshold)
    return (float(len(xs)), float(xs.mean()), float(ys.mean())) if len(xs) else (0.0, 0.0, 0.0)


def misfit(part: Cutout, drawn: Field) -> float:
    """Return how far a redrawing is from what is shown, as a share of how far both are from the background."""
    wrong = np.maximum(apart(drawn, part.shown) - NOISE, 0).sum()
    there = np.maximum(np.maximum(apart(part.shown, part.behind), apart(drawn, part.behind)) - NOISE, 0).sum()
    return float(wrong / max(there, 1.0))
