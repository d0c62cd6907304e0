"""Colours the model knows, by name, and when two of them are told apart. RGB triples are 0..255."""

import random

Rgb = tuple[int, int, int]

COLORS: dict[str, Rgb] = {
    "red": (220, 30, 35),
    "green": (40, 165, 60),
    "blue": (35, 85, 220),
    "yellow": (250, 215, 30),
    "orange": (245, 140, 25),
    "purple": (130, 50, 175),
    "pink": (250, 130, 180),
    "brown": (125, 75, 35),
    "black": (20, 20, 22),
    "white": (250, 250, 250),
    "gray": (135, 135, 140),
    "cyan": (40, 200, 215),
}
PALE: dict[str, Rgb] = {
    "light blue": (170, 210, 245),
    "light green": (185, 230, 175),
    "light pink": (252, 208, 226),
    "beige": (238, 224, 190),
    "dark blue": (18, 28, 84),
    "dark green": (15, 76, 40),
}
BACKGROUNDS: dict[str, Rgb] = {**COLORS, **PALE}

COLOR_SYNONYMS: dict[str, tuple[str, ...]] = {
    "red": ("crimson", "scarlet"),
    "gray": ("grey",),
    "purple": ("violet",),
    "cyan": ("turquoise", "teal"),
    "yellow": ("golden", "gold"),
    "dark blue": ("navy", "navy blue"),
    "light blue": ("sky blue", "pale blue"),
    "light green": ("pale green", "mint"),
    "light pink": ("pale pink",),
    "beige": ("cream",),
    "pink": ("magenta",),
}

CONTRAST = 95.0
"""Least distance in RGB between a thing and what lies behind it."""


def distance(a: Rgb, b: Rgb) -> float:
    """Return the Euclidean distance of two colours."""
    return float(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5)


def stands_out(color: Rgb, behind: tuple[Rgb, ...]) -> bool:
    """Tell whether `color` can be seen against every colour in `behind`."""
    return all(distance(color, other) > CONTRAST for other in behind)


def jitter(color: Rgb, rng: random.Random, amount: int = 3) -> Rgb:
    """Return `color` moved by at most `amount` in each channel."""
    red, green, blue = (min(255, max(0, value + rng.randint(-amount, amount))) for value in color)
    return red, green, blue


def darker(color: Rgb, factor: float = 0.7) -> Rgb:
    """Return a darker shade of `color`."""
    red, green, blue = (int(value * factor) for value in color)
    return red, green, blue


def pick_color(rng: random.Random, behind: tuple[Rgb, ...], names: tuple[str, ...] = tuple(COLORS)) -> str:
    """Return a colour name from `names` that stands out against `behind`; any name when none does."""
    fitting = [name for name in names if stands_out(COLORS[name], behind)]
    return rng.choice(fitting or list(names))
