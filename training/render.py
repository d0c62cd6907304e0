"""Draws scene graphs with Pillow, twice as large and then halved. Pictures are (H, W, 3) uint8 arrays."""

import math
import random
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.palette import Rgb, darker
from training.scenes import GROUND_COLORS, SKY_COLORS, Background, Scene, Thing

Picture = NDArray[np.uint8]
SUPERSAMPLING = 2
Point = tuple[float, float]

DARK: Rgb = (24, 24, 28)
WOOD: Rgb = (112, 68, 34)
LEAF: Rgb = (42, 140, 55)
GLASS: Rgb = (165, 212, 242)
SNOW: Rgb = (248, 249, 252)
FLAME: Rgb = (250, 165, 35)


class Pen:
    """Draws in the unit coordinates of one thing: x right, y down, the thing spans about -1..1."""

    def __init__(self, draw: ImageDraw.ImageDraw, x: float, y: float, extent: float) -> None:
        self._draw, self._x, self._y, self._extent = draw, x, y, extent

    def polygon(self, points: list[Point], fill: Rgb) -> None:
        """Fill the polygon through `points`."""
        self._draw.polygon([(self._x + a * self._extent, self._y + b * self._extent) for a, b in points], fill=fill)

    def disc(self, x: float, y: float, rx: float, ry: float, fill: Rgb) -> None:
        """Fill an ellipse around (x, y)."""
        self._draw.ellipse(self._box(x - rx, y - ry, x + rx, y + ry), fill=fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb, radius: float = 0.0) -> None:
        """Fill a rectangle with rounded corners."""
        self._draw.rounded_rectangle(self._box(x0, y0, x1, y1), radius=radius * self._extent, fill=fill)

    def line(self, points: list[Point], width: float, fill: Rgb) -> None:
        """Draw a polyline `width` units thick."""
        pixels = [(self._x + a * self._extent, self._y + b * self._extent) for a, b in points]
        self._draw.line(pixels, fill=fill, width=max(2, round(width * self._extent)), joint="curve")

    def arc(self, x: float, y: float, r: float, start: float, end: float, width: float, fill: Rgb) -> None:
        """Draw an arc between two angles in degrees, clockwise from the right."""
        thick = max(2, round(width * self._extent))
        self._draw.arc(self._box(x - r, y - r, x + r, y + r), start, end, fill=fill, width=thick)

    def _box(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        e = self._extent
        return self._x + x0 * e, self._y + y0 * e, self._x + x1 * e, self._y + y1 * e


@lru_cache
def outline(kind: str) -> tuple[Point, ...]:
    """Return the outline of a polygonal shape in unit coordinates; KeyError for other kinds."""
    match kind:
        case "square":
            return ((-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88))
        case "rectangle":
            return ((-1.1, -0.62), (1.1, -0.62), (1.1, 0.62), (-1.1, 0.62))
        case "triangle":
            return ((0, -1), (1.05, 0.85), (-1.05, 0.85))
        case "diamond":
            return ((0, -1.12), (0.82, 0), (0, 1.12), (-0.82, 0))
        case "hexagon":
            return tuple((math.cos(math.pi / 3 * i), math.sin(math.pi / 3 * i)) for i in range(6))
        case "star":
            radii = (1.15, 0.5)
            angles = [-math.pi / 2 + math.pi / 5 * i for i in range(10)]
            return tuple((radii[i % 2] * math.cos(a), radii[i % 2] * math.sin(a)) for i, a in enumerate(angles))
        case "cross":
            w = 0.36
            arm = [(-w, -1), (w, -1), (w, -w), (1, -w), (1, w), (w, w), (w, 1), (-w, 1), (-w, w), (-1, w), (-1, -w)]
            return (*arm, (-w, -w))
        case "heart":
            turns = [2 * math.pi * i / 48 for i in range(48)]
            return tuple(
                (
                    1.02 * math.sin(t) ** 3,
                    -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 15.5 - 0.1,
                )
                for t in turns
            )
        case "moon":
            outer = [(math.cos(a), math.sin(a)) for a in np.linspace(math.pi * 0.33, math.pi * 1.67, 32)]
            inner = [
                (0.42 + 0.8 * math.cos(a), 0.8 * math.sin(a)) for a in np.linspace(math.pi * 1.45, math.pi * 0.55, 28)
            ]
            return (*outer, *inner)
        case _:
            raise KeyError(kind)


def draw_thing(pen: Pen, thing: Thing) -> None:
    """Draw one thing with `pen`, which stands at its centre."""
    c = thing.rgb
    match thing.kind:
        case "circle":
            pen.disc(0, 0, 1, 1, c)
        case "oval":
            pen.disc(0, 0, 1.15, 0.7, c)
        case "ring":
            pen.arc(0, 0, 1, 0, 360, 0.36, c)
        case "house":
            draw_house(pen, c, thing.accent_rgb)
        case "tree":
            draw_tree(pen, c, thing.variant)
        case "flower":
            draw_flower(pen, c, thing.accent_rgb)
        case "cat":
            draw_cat(pen, c)
        case "fish":
            draw_fish(pen, c, 1 if thing.variant else -1)
        case "car":
            draw_car(pen, c)
        case "boat":
            draw_boat(pen, c, thing.accent_rgb)
        case "smiley":
            draw_smiley(pen, c)
        case "sun":
            draw_sun(pen, c)
        case "cloud":
            draw_cloud(pen, c)
        case "mountain":
            pen.polygon([(-1.35, 1), (0, -1), (1.35, 1)], c)
            pen.polygon([(-0.5, -0.26), (0, -1), (0.5, -0.26), (0.2, -0.42), (0, -0.2), (-0.2, -0.42)], SNOW)
        case "apple":
            draw_apple(pen, c)
        case "mushroom":
            draw_mushroom(pen, c)
        case "balloon":
            pen.line([(0, 0.6), (0, 1.2)], 0.09, DARK if sum(c) > 150 else (150, 150, 150))
            pen.polygon([(-0.2, 0.82), (0, 0.5), (0.2, 0.82)], c)
            pen.disc(0, -0.25, 0.78, 0.92, c)
        case "rocket":
            draw_rocket(pen, c, thing.accent_rgb)
        case kind:
            pen.polygon(list(outline(kind)), c)


def draw_house(pen: Pen, walls: Rgb, roof: Rgb) -> None:
    """Walls, roof, door and two big windows."""
    pen.box(-0.82, -0.2, 0.82, 1, walls)
    pen.polygon([(-1.12, -0.15), (0, -1.1), (1.12, -0.15)], roof)
    pen.box(-0.2, 0.35, 0.2, 1, WOOD)
    for side in (-0.52, 0.52):
        pen.box(side - 0.19, 0.1, side + 0.19, 0.5, GLASS)


def draw_tree(pen: Pen, crown: Rgb, variant: int) -> None:
    """A round tree or a fir."""
    pen.box(-0.17, 0.1, 0.17, 1, WOOD)
    if variant == 0:
        pen.disc(0, -0.35, 0.75, 0.75, crown)
    else:
        pen.polygon([(-0.8, 0.5), (0, -0.45), (0.8, 0.5)], crown)
        pen.polygon([(-0.62, -0.1), (0, -1.15), (0.62, -0.1)], crown)


def draw_flower(pen: Pen, petals: Rgb, heart: Rgb) -> None:
    """Six petals around a heart, a stem and two leaves."""
    pen.line([(0, 0), (0, 1.15)], 0.16, LEAF)
    for side in (-1, 1):
        pen.polygon([(0, 0.95), (side * 0.3, 0.55), (side * 0.62, 0.6), (side * 0.4, 0.9)], LEAF)
    for i in range(6):
        angle = math.pi / 3 * i + math.pi / 6
        pen.disc(0.46 * math.cos(angle), -0.4 + 0.46 * math.sin(angle), 0.32, 0.32, petals)
    pen.disc(0, -0.4, 0.3, 0.3, heart)


def draw_cat(pen: Pen, fur: Rgb) -> None:
    """A cat's face with big ears and eyes."""
    for side in (-1.0, 1.0):
        pen.polygon([(side * 0.95, -1.15), (side * 0.15, -0.7), (side * 0.92, 0)], fur)
        pen.polygon([(side * 0.82, -0.88), (side * 0.42, -0.62), (side * 0.8, -0.35)], (245, 160, 180))
    pen.disc(0, 0.08, 1, 0.86, fur)
    for side in (-0.42, 0.42):
        pen.disc(side, -0.08, 0.24, 0.28, (252, 252, 252))
        pen.disc(side, -0.06, 0.12, 0.2, DARK)
    pen.polygon([(-0.16, 0.3), (0.16, 0.3), (0, 0.5)], (240, 120, 150))
    mouth = DARK if sum(fur) > 200 else (225, 225, 225)
    for side in (-0.16, 0.16):
        pen.arc(side, 0.5, 0.17, 0, 180, 0.07, mouth)


def draw_fish(pen: Pen, body: Rgb, side: int) -> None:
    """A fish looking right (side 1) or left (-1)."""
    fin = darker(body, 0.72) if sum(body) > 120 else (75, 75, 80)
    pen.polygon([(-side * 0.5, 0), (-side * 1.2, -0.55), (-side * 1.2, 0.55)], fin)
    pen.polygon([(-side * 0.35, -0.4), (side * 0.05, -0.85), (side * 0.35, -0.4)], fin)
    pen.disc(side * 0.1, 0, 0.92, 0.58, body)
    pen.disc(side * 0.58, -0.12, 0.19, 0.19, (252, 252, 252))
    pen.disc(side * 0.62, -0.12, 0.1, 0.1, DARK)


def draw_car(pen: Pen, body: Rgb) -> None:
    """A car from the side."""
    pen.polygon([(-0.78, 0), (-0.48, -0.62), (0.4, -0.62), (0.78, 0)], body)
    pen.polygon([(-0.55, -0.04), (-0.36, -0.46), (-0.06, -0.46), (-0.06, -0.04)], GLASS)
    pen.polygon([(0.08, -0.04), (0.08, -0.46), (0.3, -0.46), (0.54, -0.04)], GLASS)
    pen.box(-1.18, -0.06, 1.18, 0.44, body, 0.16)
    for side in (-0.62, 0.62):
        pen.disc(side, 0.44, 0.33, 0.33, DARK)
        pen.disc(side, 0.44, 0.15, 0.15, (195, 195, 198))


def draw_boat(pen: Pen, hull: Rgb, sail: Rgb) -> None:
    """A sailing boat."""
    pen.box(-0.08, -1.1, 0.08, 0.4, WOOD)
    pen.polygon([(0.16, -1.0), (0.16, 0.2), (0.95, 0.2)], sail)
    pen.polygon([(-0.16, -0.7), (-0.16, 0.2), (-0.75, 0.2)], sail)
    pen.polygon([(-1.1, 0.32), (1.1, 0.32), (0.7, 0.85), (-0.7, 0.85)], hull)


def draw_smiley(pen: Pen, face: Rgb) -> None:
    """A smiling face."""
    ink = DARK if sum(face) > 200 else (245, 245, 245)
    pen.disc(0, 0, 1, 1, face)
    for side in (-0.36, 0.36):
        pen.disc(side, -0.25, 0.15, 0.2, ink)
    pen.arc(0, 0.02, 0.58, 20, 160, 0.16, ink)


def draw_sun(pen: Pen, color: Rgb) -> None:
    """A disc with eight pointed rays."""
    for i in range(8):
        a = math.pi / 4 * i
        ray = [(a - 0.3, 0.7), (a, 1.28), (a + 0.3, 0.7)]
        pen.polygon([(r * math.cos(t), r * math.sin(t)) for t, r in ray], color)
    pen.disc(0, 0, 0.76, 0.76, color)


def draw_cloud(pen: Pen, color: Rgb) -> None:
    """Three puffs on a flat base."""
    pen.disc(-0.68, 0.12, 0.46, 0.46, color)
    pen.disc(0.0, -0.18, 0.62, 0.62, color)
    pen.disc(0.7, 0.12, 0.46, 0.46, color)
    pen.box(-0.7, 0.1, 0.7, 0.58, color)


def draw_apple(pen: Pen, skin: Rgb) -> None:
    """Two lobes, a stem and a leaf."""
    pen.line([(0, -0.5), (0.1, -1.05)], 0.15, WOOD)
    pen.polygon([(0.12, -0.72), (0.35, -1.1), (0.8, -1.1), (0.55, -0.75)], LEAF)
    for side in (-0.32, 0.32):
        pen.disc(side, 0.15, 0.66, 0.8, skin)


def draw_mushroom(pen: Pen, cap: Rgb) -> None:
    """A dotted cap on a pale stem."""
    pen.box(-0.34, 0, 0.34, 1, (240, 226, 196), 0.15)
    outer = [(math.cos(a), 0.15 + 1.1 * math.sin(a)) for a in np.linspace(math.pi, 2 * math.pi, 28)]
    pen.polygon(outer, cap)
    dots = (252, 252, 252) if sum(cap) < 690 else (225, 90, 90)
    for x, y, r in ((-0.5, -0.25, 0.18), (0.1, -0.55, 0.2), (0.5, -0.14, 0.17)):
        pen.disc(x, y, r, r, dots)


def draw_rocket(pen: Pen, body: Rgb, fins: Rgb) -> None:
    """A rocket pointing up, with fins, a porthole and a flame."""
    pen.polygon([(-0.3, 0.7), (0, 1.2), (0.3, 0.7)], FLAME)
    for side in (-1, 1):
        pen.polygon([(side * 0.3, 0.1), (side * 0.85, 0.85), (side * 0.3, 0.75)], fins)
    hull = [(0.45 * math.cos(a), -0.1 + 1.1 * math.sin(a)) for a in np.linspace(math.pi, 2 * math.pi, 24)]
    pen.polygon([*hull, (0.38, 0.78), (-0.38, 0.78)], body)
    pen.disc(0, -0.3, 0.22, 0.22, (60, 130, 210) if fins[2] < 150 else (245, 220, 90))


@lru_cache(maxsize=64)
def ramp(start: Rgb, end: Rgb, length: int) -> Picture:
    """Return (length, 3) colours from `start` to `end`."""
    t = np.linspace(0, 1, length, dtype=np.float32)[:, None]
    mixed = np.asarray(start, np.float32) * (1 - t) + np.asarray(end, np.float32) * t
    return mixed.round().astype(np.uint8)


def draw_background(background: Background, width: int, height: int) -> Image.Image:
    """Return the background alone."""
    match background.pattern:
        case "plain":
            return Image.new("RGB", (width, height), background.rgb)
        case "land":
            return draw_land(background, width, height)
        case "gradient":
            along = ramp(background.rgb, background.rgb2, height if background.upright else width)
            field = along[:, None] if background.upright else along[None]
            return Image.fromarray(np.ascontiguousarray(np.broadcast_to(field, (height, width, 3))))
        case _:
            ys = np.arange(height)[:, None] * background.cells // height
            xs = np.arange(width)[None] * background.cells // width
            if background.pattern == "checker":
                odd = (ys + xs) % 2
            else:
                odd = np.broadcast_to(xs if background.upright else ys, (height, width)) % 2
            return Image.fromarray(np.array([background.rgb, background.rgb2], np.uint8)[odd])


def draw_land(background: Background, width: int, height: int) -> Image.Image:
    """Return sky and ground; a night sky has stars at one of three fixed layouts."""
    sky = ramp(*SKY_COLORS[background.sky], height)
    field = np.ascontiguousarray(np.broadcast_to(sky[:, None], (height, width, 3)))
    line = round(height * background.horizon)
    if background.ground is not None:
        field[line:] = ramp(*GROUND_COLORS[background.ground], height - line)[:, None]
    image = Image.fromarray(field)
    if background.sky == "night":
        rng = random.Random(background.variant)
        draw = ImageDraw.Draw(image)
        reach = 0.95 if background.ground is None else background.horizon - 0.06
        radius = 0.011 * min(width, height)
        for i in range(11):
            x, y = (i + rng.random()) / 11 * width, (0.04 + rng.random() * (reach - 0.04)) * height
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(250, 245, 210))
    return image


def render(scene: Scene, width: int = 256, height: int | None = None) -> Picture:
    """Draw `scene` at `width` x `height` pixels (square by default)."""
    height = width if height is None else height
    w, h = width * SUPERSAMPLING, height * SUPERSAMPLING
    image = draw_background(scene.background, w, h)
    draw = ImageDraw.Draw(image)
    for thing in scene.things:
        draw_thing(Pen(draw, thing.x * w, thing.y * h, thing.extent * min(w, h)), thing)
    return np.asarray(image.reduce(SUPERSAMPLING))
