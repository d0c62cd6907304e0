"""The canonical caption of a scene: one fixed phrase for everything, told from geometry alone, in reading order.

This is all that the reader ever says; `limner.engine.speaking.canonical` takes it apart. Owns the grammar's words.
"""

from training.captions import article, plural
from training.palette import BACKGROUNDS
from training.scenes import KINDS, Background, Scene, Thing

UNKNOWN = "unknown"
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
GROUNDS = {"grass": "on grass", "sea": "on the sea", "sand": "on sand", "snow": "in snow"}
SKIES = {"day": "by day", "sunset": "at sunset", "night": "at night"}
GLUE = (
    "a an two three four five small large on in at to the of and left right top bottom corner above inside background "
    "vertical horizontal gradient from checkerboard stripes grass sea sand snow by day sunset night sky with plain"
)
SMALL, LARGE, ASIDE = 0.152, 0.3, 0.115
"""Extents below and above which a size is named, and the distance from the middle from which a place is."""


def vocabulary() -> list[str]:
    """Return every word the grammar can use, in a fixed order."""
    colors = [word for color in BACKGROUNDS for word in color.split()]
    words = [UNKNOWN, *GLUE.split(), *colors, *KINDS, *(plural(kind) for kind in KINDS)]
    return list(dict.fromkeys(words))


def say(scene: Scene) -> str:
    """Return the canonical caption of `scene`."""
    landed = scene.background.pattern == "land"
    things = tuple(t for t in scene.things if t.color)
    behind = behind_words(scene.background)
    sky = " and ".join(article(t.kind) for t in sorted(scene.things, key=lambda t: t.x) if not t.color)
    what = things_words(things, landed) if things else ""
    if not what:
        return " ".join([empty_words(scene.background), *(["with", sky] if sky else [])])
    return " ".join([what, behind, *(["with", sky] if sky else [])])


def things_words(things: tuple[Thing, ...], landed: bool) -> str:
    """Return the phrase for one thing with its place, two in their relation, equal ones by number, or a list."""
    groups = grouped(things)
    if len(things) == 1:
        place = place_words(things[0], landed)
        return f"{noun(things[0], landed)} {place}".strip()
    if len(groups) == 2 == len(things):
        return pair_words(groups[0][0], groups[1][0], landed)
    return " and ".join(noun(group[0], True) if len(group) == 1 else counted(group) for group in groups)


def grouped(things: tuple[Thing, ...]) -> list[list[Thing]]:
    """Return the things in reading order, equal ones (kind and colour) together."""
    groups: dict[tuple[str, str], list[Thing]] = {}
    for thing in sorted(things, key=lambda t: (round(t.y * 2.5), t.x)):
        groups.setdefault((thing.kind, thing.color), []).append(thing)
    return list(groups.values())


def counted(group: list[Thing]) -> str:
    """Return number, colour and plural of equal things."""
    return f"{NUMBERS[len(group)]} {group[0].color} {plural(group[0].kind)}"


def noun(thing: Thing, sizeless: bool) -> str:
    """Return article, size, colour and kind."""
    size = "" if sizeless else "small " if thing.extent < SMALL else "large " if thing.extent > LARGE else ""
    return article(f"{size}{thing.color} {thing.kind}")


def pair_words(one: Thing, two: Thing, landed: bool) -> str:
    """Return two different things with what stands between them: inside, to the left of, above."""
    across, down = abs(one.x - two.x), abs(one.y - two.y)
    if not landed and max(across, down) < 0.12:
        inner, outer = sorted((one, two), key=lambda t: t.extent)
        return f"{noun(inner, True)} inside {noun(outer, True)}"
    if landed or across >= down:
        first, second = sorted((one, two), key=lambda t: t.x)
        return f"{noun(first, landed)} to the left of {noun(second, landed)}"
    first, second = sorted((one, two), key=lambda t: t.y)
    return f"{noun(first, landed)} above {noun(second, landed)}"


def place_words(thing: Thing, landed: bool) -> str:
    """Return where a single thing stands, "" for the middle; in a landscape only left and right count."""
    x = "left" if thing.x < 0.5 - ASIDE else "right" if thing.x > 0.5 + ASIDE else ""
    y = "" if landed else "top" if thing.y < 0.5 - ASIDE else "bottom" if thing.y > 0.5 + ASIDE else ""
    if x and y:
        return f"in the {y} {x} corner"
    return f"on the {x}" if x else f"at the {y}" if y else ""


def behind_words(background: Background) -> str:
    """Return the phrase for what lies behind things."""
    if background.pattern == "plain":
        return f"on {article(background.color)} background"
    if background.pattern == "land":
        return land_words(background) if background.ground else "in a night sky"
    return f"on {pattern_words(background)}"


def empty_words(background: Background) -> str:
    """Return the phrase for a background with nothing on it."""
    if background.pattern == "plain":
        return f"a plain {background.color} background"
    if background.pattern == "land":
        return land_words(background).split(" ", 1)[1] if background.ground else "a night sky"
    return pattern_words(background)


def land_words(background: Background) -> str:
    """Return ground and time of a landscape."""
    assert background.ground is not None
    return f"{GROUNDS[background.ground]} {SKIES[background.sky]}"


def pattern_words(background: Background) -> str:
    """Return the phrase for a gradient, checkerboard or stripes; the last two name their colours alphabetically."""
    way = "vertical" if background.upright else "horizontal"
    if background.pattern == "gradient":
        return f"a {way} gradient from {background.color} to {background.color2}"
    first, second = sorted((background.color, background.color2))
    return (
        f"{article(first)} and {second} checkerboard"
        if background.pattern == "checker"
        else (f"{way} {first} and {second} stripes")
    )
