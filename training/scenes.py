"""Scene graphs: what is in a picture, independent of its size in pixels, and the sampler that draws them.

Positions are fractions of width and height, extents fractions of the shorter side. The sampler never returns a
combination that `heldout` keeps for the evaluation. Owns no pixels and no words.
"""

import random
from dataclasses import dataclass, replace
from typing import Literal

from training import heldout
from training.palette import BACKGROUNDS, COLORS, CONTRAST, Rgb, distance, jitter, pick_color

SHAPES = (
    "circle",
    "square",
    "rectangle",
    "oval",
    "triangle",
    "star",
    "heart",
    "ring",
    "diamond",
    "cross",
    "hexagon",
    "moon",
)
OBJECTS = (
    "house",
    "tree",
    "flower",
    "cat",
    "fish",
    "car",
    "boat",
    "smiley",
    "sun",
    "cloud",
    "mountain",
    "apple",
    "mushroom",
    "balloon",
    "rocket",
)
KINDS = SHAPES + OBJECTS

USUAL_COLORS: dict[str, tuple[str, ...]] = {
    "house": ("beige", "white", "yellow"),
    "tree": ("green",),
    "flower": ("pink", "red", "purple"),
    "cat": ("orange", "gray", "black"),
    "fish": ("orange", "blue"),
    "car": ("red", "blue"),
    "boat": ("red", "brown"),
    "smiley": ("yellow",),
    "sun": ("yellow",),
    "moon": ("yellow",),
    "cloud": ("white",),
    "mountain": ("gray",),
    "apple": ("red", "green"),
    "mushroom": ("red",),
    "balloon": ("red", "blue"),
    "rocket": ("white", "gray"),
    "heart": ("red",),
    "star": ("yellow",),
}
"""Colours a bare noun may stand for."""

Form = Literal["one", "two", "three", "many", "land", "empty"]
Relation = Literal["left", "right", "above", "below", "inside"]
Sky = Literal["day", "sunset", "night"]
Ground = Literal["grass", "sea", "sand", "snow"]

EXTENTS = {"small": 0.125, "": 0.23, "large": 0.37}
POSITIONS: dict[str, tuple[float, float]] = {
    "center": (0.5, 0.5),
    "left": (0.27, 0.5),
    "right": (0.73, 0.5),
    "top": (0.5, 0.27),
    "bottom": (0.5, 0.73),
    "top left corner": (0.26, 0.26),
    "top right corner": (0.74, 0.26),
    "bottom left corner": (0.26, 0.74),
    "bottom right corner": (0.74, 0.74),
}
COUNT_PLACES: dict[int, tuple[tuple[float, float], ...]] = {
    2: ((0.27, 0.5), (0.73, 0.5)),
    3: ((0.19, 0.5), (0.5, 0.5), (0.81, 0.5)),
    4: ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)),
}
COUNT_EXTENTS = {2: 0.17, 3: 0.125, 4: 0.16}
RELATION_PLACES: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "left": ((0.26, 0.5), (0.74, 0.5)),
    "right": ((0.74, 0.5), (0.26, 0.5)),
    "above": ((0.5, 0.26), (0.5, 0.74)),
    "below": ((0.5, 0.74), (0.5, 0.26)),
    "inside": ((0.5, 0.5), (0.5, 0.5)),
}
CONTAINERS = ("circle", "square", "hexagon", "heart", "diamond")
SKY_COLORS: dict[str, tuple[Rgb, Rgb]] = {
    "day": ((90, 165, 240), (205, 232, 250)),
    "sunset": ((236, 104, 62), (255, 214, 130)),
    "night": ((10, 14, 50), (36, 42, 98)),
}
GROUND_COLORS: dict[str, tuple[Rgb, Rgb]] = {
    "grass": ((98, 186, 78), (56, 138, 50)),
    "sea": ((42, 122, 202), (18, 66, 140)),
    "sand": ((240, 216, 152), (222, 188, 118)),
    "snow": ((250, 250, 253), (222, 232, 243)),
}


@dataclass(frozen=True, slots=True)
class Thing:
    """One drawn thing. `color` is "" where nobody would name it (the sun in a sky)."""

    kind: str
    color: str
    rgb: Rgb
    x: float
    y: float
    extent: float
    size: str = ""
    variant: int = 0
    accent: str = ""
    accent_rgb: Rgb = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Background:
    """What lies behind: one colour, two colours in a pattern, or a landscape."""

    pattern: Literal["plain", "gradient", "checker", "stripes", "land"]
    color: str = ""
    rgb: Rgb = (0, 0, 0)
    color2: str = ""
    rgb2: Rgb = (0, 0, 0)
    upright: bool = True
    cells: int = 0
    sky: Sky = "day"
    ground: Ground | None = "grass"
    horizon: float = 0.6
    variant: int = 0

    @property
    def behind(self) -> tuple[Rgb, ...]:
        """Colours a thing must stand out against."""
        match self.pattern:
            case "plain":
                return (self.rgb,)
            case "land":
                ground = GROUND_COLORS[self.ground] if self.ground else ()
                return (*SKY_COLORS[self.sky], *ground)
            case _:
                return (self.rgb, self.rgb2)


@dataclass(frozen=True, slots=True)
class Scene:
    """A whole picture. `things` are in drawing order; for relations `things[subject]` is the caption's subject."""

    form: Form
    background: Background
    things: tuple[Thing, ...] = ()
    position: str = "center"
    relation: Relation | None = None

    @property
    def subject(self) -> Thing:
        """The thing a relation speaks of: the inner one of a nested pair, else the first."""
        return self.things[-1] if self.relation == "inside" else self.things[0]

    @property
    def other(self) -> Thing:
        """The second member of a relation."""
        return self.things[0] if self.relation == "inside" else self.things[1]


def make_thing(
    rng: random.Random,
    kind: str,
    color: str,
    place: tuple[float, float],
    *,
    size: str = "",
    extent: float | None = None,
    behind: tuple[Rgb, ...] = (),
) -> Thing:
    """Return a thing at `place`, moved, scaled and tinted a little."""
    extent = EXTENTS[size] if extent is None else extent
    accent = choose_accent(rng, kind, color, behind)
    return Thing(
        kind=kind,
        color=color,
        rgb=jitter(BACKGROUNDS[color], rng),
        x=place[0] + rng.uniform(-0.012, 0.012),
        y=place[1] + rng.uniform(-0.012, 0.012),
        extent=extent * rng.uniform(0.96, 1.04),
        size=size,
        variant=rng.randint(0, 1),
        accent=accent,
        accent_rgb=jitter(COLORS[accent], rng) if accent else (0, 0, 0),
    )


def choose_accent(rng: random.Random, kind: str, color: str, behind: tuple[Rgb, ...]) -> str:
    """Return the second colour of kinds that have one (roof, petal centre, sail, fins), else ""."""
    against = (BACKGROUNDS[color], *behind)
    match kind:
        case "house":
            return pick_color(rng, against, ("red", "brown", "blue", "green", "orange", "purple", "gray"))
        case "flower":
            return "orange" if color == "yellow" else "yellow"
        case "boat":
            return pick_color(rng, behind, ("white",)) if _clear("white", behind) else "gray"
        case "rocket":
            return "blue" if color in ("red", "orange", "pink") else "red"
        case _:
            return ""


def _clear(color: str, behind: tuple[Rgb, ...]) -> bool:
    return all(distance(COLORS[color], other) > CONTRAST for other in behind)


def usual_color(rng: random.Random, kind: str, behind: tuple[Rgb, ...]) -> str:
    """Return a colour a bare noun may stand for when one is visible against `behind`, else any visible colour."""
    usual = [c for c in USUAL_COLORS.get(kind, ()) if all(distance(BACKGROUNDS[c], b) > CONTRAST for b in behind)]
    return rng.choice(usual) if usual else pick_color(rng, behind)


def sample_scene(rng: random.Random) -> Scene:
    """Draw a training scene; combinations held out for the evaluation are drawn again."""
    while True:
        scene = propose_scene(rng)
        if not heldout.is_held_out(scene):
            return scene


def propose_scene(rng: random.Random) -> Scene:
    """Draw any scene of the model's world, held out or not."""
    forms: tuple[Form, ...] = ("one", "two", "three", "many", "land", "empty")
    match rng.choices(forms, (0.44, 0.18, 0.03, 0.09, 0.22, 0.04))[0]:
        case "one":
            return propose_one(rng)
        case "two":
            return propose_two(rng)
        case "three":
            return propose_three(rng)
        case "many":
            return propose_many(rng)
        case "land":
            return propose_land(rng)
        case "empty":
            return Scene("empty", propose_land_background(rng) if rng.random() < 0.3 else propose_background(rng))


def propose_background(rng: random.Random) -> Background:
    """Draw a plain or patterned background; white is the commonest."""
    pattern: Literal["plain", "gradient", "checker", "stripes"]
    pattern = rng.choices(("plain", "gradient", "checker", "stripes"), (0.8, 0.08, 0.07, 0.05))[0]
    if pattern == "plain":
        return plain(rng, rng.choice(["white"] * 7 + list(BACKGROUNDS)))
    first = rng.choice(list(BACKGROUNDS))
    second = rng.choice([c for c in BACKGROUNDS if distance(BACKGROUNDS[c], BACKGROUNDS[first]) > CONTRAST])
    return Background(
        pattern,
        color=first,
        rgb=jitter(BACKGROUNDS[first], rng),
        color2=second,
        rgb2=jitter(BACKGROUNDS[second], rng),
        upright=rng.random() < 0.5,
        cells=rng.choice((4, 8)),
    )


def plain(rng: random.Random, color: str) -> Background:
    """Return a background of one colour."""
    return Background("plain", color=color, rgb=jitter(BACKGROUNDS[color], rng))


def pick_kind(rng: random.Random, objects: float) -> str:
    """Draw a kind; `objects` is the share of objects against plain shapes."""
    return rng.choice(OBJECTS if rng.random() < objects else SHAPES)


def pick_kind_color(rng: random.Random, kind: str, behind: tuple[Rgb, ...]) -> str:
    """Draw a colour: objects often have a usual one."""
    usual = kind in OBJECTS and rng.random() < 0.3
    return usual_color(rng, kind, behind) if usual else pick_color(rng, behind)


def propose_one(rng: random.Random) -> Scene:
    """Draw a single thing of some size at some place."""
    background = propose_background(rng)
    kind = pick_kind(rng, 0.55)
    size = rng.choices(("small", "", "large"), (0.18, 0.6, 0.22))[0]
    position = "center" if size == "large" or rng.random() < 0.6 else rng.choice(list(POSITIONS))
    color = pick_kind_color(rng, kind, background.behind)
    thing = make_thing(rng, kind, color, POSITIONS[position], size=size, behind=background.behind)
    return Scene("one", background, (thing,), position=position)


def propose_two(rng: random.Random) -> Scene:
    """Draw two different things in a relation."""
    background = propose_background(rng)
    relation: Relation = rng.choice(("left", "right", "above", "below", "inside"))
    objects = 0.0 if relation == "inside" else 0.4
    first, second = pick_kind(rng, objects), pick_kind(rng, objects)
    if relation == "inside":
        second = rng.choice(CONTAINERS)
    color2 = pick_kind_color(rng, second, background.behind)
    behind = (BACKGROUNDS[color2],) if relation == "inside" else (*background.behind, BACKGROUNDS[color2])
    color1 = pick_kind_color(rng, first, behind)
    if distance(BACKGROUNDS[color1], BACKGROUNDS[color2]) < CONTRAST:
        color1 = pick_color(rng, behind)
    return relate(rng, relation, background, (first, color1), (second, color2))


def relate(
    rng: random.Random,
    relation: Relation,
    background: Background,
    subject: tuple[str, str],
    other: tuple[str, str],
) -> Scene:
    """Return the scene in which `subject` (kind, colour) stands in `relation` to `other`."""
    places = RELATION_PLACES[relation]
    extents = (0.14, 0.36) if relation == "inside" else (0.19, 0.19)
    first = make_thing(rng, *subject, places[0], extent=extents[0], behind=background.behind)
    second = make_thing(rng, *other, places[1], extent=extents[1], behind=background.behind)
    things = (second, first) if relation == "inside" else (first, second)
    return Scene("two", background, things, relation=relation)


def propose_three(rng: random.Random) -> Scene:
    """Draw three different things side by side."""
    background = propose_background(rng)
    things: list[Thing] = []
    for place in COUNT_PLACES[3]:
        taken = {thing.kind for thing in things}
        kind = rng.choice([k for k in SHAPES if k not in taken])
        color = pick_color(rng, (*background.behind, *(BACKGROUNDS[t.color] for t in things)))
        things.append(make_thing(rng, kind, color, place, extent=COUNT_EXTENTS[3]))
    return Scene("three", background, tuple(things))


def propose_many(rng: random.Random) -> Scene:
    """Draw two to four equal things."""
    background = propose_background(rng)
    count = rng.choice((2, 3, 4))
    kind = pick_kind(rng, 0.4)
    color = pick_kind_color(rng, kind, background.behind)
    return repeat(rng, count, background, kind, color)


def repeat(rng: random.Random, count: int, background: Background, kind: str, color: str) -> Scene:
    """Return the scene of `count` equal things."""
    one = make_thing(rng, kind, color, (0, 0), extent=COUNT_EXTENTS[count], behind=background.behind)
    things = tuple(
        replace(one, x=x + rng.uniform(-0.012, 0.012), y=y + rng.uniform(-0.012, 0.012)) for x, y in COUNT_PLACES[count]
    )
    return Scene("many", background, things)


def propose_land_background(rng: random.Random, ground: Ground | None = None) -> Background:
    """Draw a landscape; a night without ground is a sky full of stars."""
    sky: Sky = rng.choices(("day", "sunset", "night"), (0.5, 0.22, 0.28))[0]
    grounds: tuple[Ground, ...] = ("grass", "sea", "sand", "snow")
    chosen: Ground | None = ground or rng.choices(grounds, (0.4, 0.3, 0.15, 0.15))[0]
    if ground is None and sky == "night" and rng.random() < 0.25:
        chosen = None
    return Background("land", sky=sky, ground=chosen, horizon=rng.uniform(0.6, 0.64), variant=rng.randint(0, 2))


LAND_MAIN = {
    "house": 0.22,
    "tree": 0.18,
    "boat": 0.17,
    "car": 0.12,
    "flower": 0.08,
    "mountain": 0.08,
    "cat": 0.04,
    "mushroom": 0.03,
    "balloon": 0.04,
    "none": 0.04,
}


def propose_land(rng: random.Random) -> Scene:
    """Draw a landscape with a main thing on the ground and mostly something in the sky."""
    main = rng.choices(list(LAND_MAIN), list(LAND_MAIN.values()))[0]
    grounds: tuple[Ground, ...] = ("grass", "sand", "snow")
    ground: Ground | None = None if main in ("none", "balloon") else rng.choices(grounds, (0.68, 0.16, 0.16))[0]
    background = propose_land_background(rng, "sea" if main == "boat" else ground)
    if background.ground is None:
        main = "none"
    things: list[Thing] = []
    if rng.random() < 0.7:
        things.append(sky_thing(rng, background.sky))
    if main != "none":
        things.append(land_thing(rng, main, background))
    if main == "house" and rng.random() < 0.35:
        things = house_and_tree(rng, things, background)
    return Scene("land", background, tuple(things))


def house_and_tree(rng: random.Random, things: list[Thing], background: Background) -> list[Thing]:
    """Move the house aside and set a tree next to it."""
    left = rng.random() < 0.5
    tree = make_thing(rng, "tree", "green", (0.8 if left else 0.2, 0.0), extent=0.19)
    tree = replace(tree, y=background.horizon + 0.1 - 0.55 * tree.extent)
    return [*things[:-1], replace(things[-1], x=0.36 if left else 0.64), tree]


def sky_thing(rng: random.Random, sky: Sky, kind: str | None = None) -> Thing:
    """Return a sun, cloud or moon in a corner of the sky."""
    if kind is None:
        kind = "moon" if sky == "night" else rng.choice(("sun", "cloud")) if sky == "day" else "sun"
    color = "white" if kind == "cloud" else "yellow"
    thing = make_thing(rng, kind, color, (rng.choice((0.2, 0.8)), 0.2), extent=0.115)
    rgb: Rgb = (250, 240, 190) if kind == "moon" else thing.rgb
    return replace(thing, color="", rgb=rgb)


def land_thing(rng: random.Random, kind: str, background: Background) -> Thing:
    """Return a thing standing on (or flying over) the ground of a landscape."""
    ground = GROUND_COLORS[background.ground][0] if background.ground else (0, 0, 0)
    sky = SKY_COLORS[background.sky]
    behind = (sky[1],) if kind == "mountain" else (ground, *(sky if kind == "balloon" else ()))
    color = usual_color(rng, kind, behind) if rng.random() < 0.4 else pick_color(rng, behind)
    if kind == "tree" and rng.random() < 0.7:
        color = "green"
    if kind == "mountain":
        color = "gray"
    thing = make_thing(rng, kind, color, (rng.choice((0.5, 0.5, 0.32, 0.68)), 0.3), extent=0.22, behind=behind)
    match kind:
        case "mountain":
            return replace(thing, x=0.5 + rng.uniform(-0.05, 0.05), y=background.horizon - 0.3 + 0.01, extent=0.3)
        case "balloon":
            return replace(thing, extent=0.18)
        case "boat":
            return replace(thing, y=background.horizon + 0.09 - 0.6 * thing.extent)
        case _:
            return replace(thing, y=background.horizon + 0.1 - 0.55 * thing.extent)
