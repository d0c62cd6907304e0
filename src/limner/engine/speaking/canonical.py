"""Takes canonical captions apart: the fixed phrases in which the embedded reader says what it sees.

Pure text. Owns the reader's grammar and its closed set of kinds and colours; `training/reader_words.py` writes them.
"""

import re
from dataclasses import dataclass
from typing import Literal

UNKNOWN = "unknown"
COLORS = (
    "red", "green", "blue", "yellow", "orange", "purple", "pink", "brown", "black", "white", "gray", "cyan",
    "light blue", "light green", "light pink", "beige", "dark blue", "dark green",
)  # fmt: skip
KINDS = (
    "circle", "square", "rectangle", "oval", "triangle", "star", "heart", "ring", "diamond", "cross", "hexagon", "moon",
    "house", "tree", "flower", "cat", "fish", "car", "boat", "smiley", "sun", "cloud", "mountain", "apple", "mushroom",
    "balloon", "rocket",
)  # fmt: skip
NUMBERS = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4, "five": 5}
IRREGULAR = {"fish": "fish", "cross": "crosses"}

Relation = Literal["", "left", "above", "inside"]
Pattern = Literal["plain", "gradient", "checkerboard", "stripes", "land", "night sky"]


def plural(kind: str) -> str:
    """Return the plural of a kind."""
    return IRREGULAR.get(kind, f"{kind}s")


@dataclass(frozen=True, slots=True)
class Group:
    """One thing or `number` equal things; `place` is the caption's phrase, "" in the middle or where several are."""

    kind: str
    color: str
    size: str = ""
    number: int = 1
    place: str = ""


@dataclass(frozen=True, slots=True)
class Behind:
    """What lies behind: a plain colour, a pattern of two, or the ground and time of a landscape."""

    pattern: Pattern
    colors: tuple[str, ...] = ()
    direction: str = ""
    ground: str = ""
    time: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """A caption taken apart. `relation` holds between the first group and the second; `aloft` hangs in the sky."""

    groups: tuple[Group, ...]
    relation: Relation
    behind: Behind
    aloft: tuple[str, ...] = ()


_C = f"(?:{'|'.join(sorted(COLORS, key=len, reverse=True))})"
_K = f"(?:{'|'.join(sorted({*KINDS, *map(plural, KINDS)}, key=len, reverse=True))})"
_WITH = re.compile(r"^(.*?) with (an? (?:sun|cloud|moon)(?: and an? (?:sun|cloud|moon))*)$")
_NOUN = re.compile(rf"^({'|'.join(NUMBERS)}) (?:(small|large) )?({_C}) ({_K})$")
_PLACE = re.compile(r"^(.*) (on the (?:left|right)|at the (?:top|bottom)|in the (?:top|bottom) (?:left|right) corner)$")
_BEHIND = (
    re.compile(rf"^(?P<what>.*?) ?\bon an? (?P<one>{_C}) background$"),
    re.compile(
        rf"^(?P<what>.*?) ?\bon a (?P<way>vertical|horizontal) (?P<gradient>gradient) "
        rf"from (?P<one>{_C}) to (?P<two>{_C})$"
    ),
    re.compile(rf"^(?P<what>.*?) ?\bon an? (?P<one>{_C}) and (?P<two>{_C}) (?P<checkerboard>checkerboard)$"),
    re.compile(
        rf"^(?P<what>.*?) ?\bon (?P<way>vertical|horizontal) (?P<one>{_C}) and (?P<two>{_C}) (?P<stripes>stripes)$"
    ),
    re.compile(
        r"^(?P<what>.*?) ?\b(?:on|in) (?:the )?(?P<ground>grass|sea|sand|snow) (?:by |at )(?P<time>day|sunset|night)$"
    ),
    re.compile(r"^(?P<what>.*?) ?\bin a (?P<sky>night sky)$"),
)
_RELATIONS: dict[str, Relation] = {" to the left of ": "left", " above ": "above", " inside ": "inside"}


def parse(caption: str) -> Seen | None:
    """Take a caption apart; None for "unknown" and for any text outside the grammar."""
    text, aloft = caption.strip(), ()
    if found := _WITH.match(text):
        text, aloft = found[1], tuple(re.findall("sun|cloud|moon", found[2]))
    for pattern in _BEHIND:
        if found := pattern.match(_on(text)):
            things = parse_things(found["what"])
            return None if things is None else Seen(*things, behind_of(found.groupdict()), aloft)
    return None


def _on(text: str) -> str:
    """Return a caption of an empty picture in the words of one with something on it."""
    if text.startswith("a plain "):
        return "on a " + text.removeprefix("a plain ")
    if text == "a night sky":
        return "in a night sky"
    first, _, rest = text.partition(" ")
    bare = (
        first in ("grass", "sand", "snow", "the")
        or (first in ("vertical", "horizontal"))
        or (first in NUMBERS and " on " not in text and (" gradient " in f" {rest} " or text.endswith("checkerboard")))
    )
    return f"on {text}" if bare else text


def behind_of(parts: dict[str, str | None]) -> Behind:
    """Build the background from the groups of a match."""
    if parts.get("ground"):
        return Behind("land", ground=parts["ground"] or "", time=parts["time"] or "")
    if parts.get("sky"):
        return Behind("night sky", time="night")
    colors = tuple(color for key in ("one", "two") if (color := parts.get(key)))
    names: tuple[Pattern, ...] = ("gradient", "checkerboard", "stripes")
    pattern: Pattern = next((name for name in names if parts.get(name)), "plain")
    return Behind(pattern, colors, parts.get("way") or "")


def parse_things(text: str) -> tuple[tuple[Group, ...], Relation] | None:
    """Take the things of a caption apart, with the relation of the first two; None when they are not of the grammar."""
    if not text:
        return (), ""
    words = next((words for words in _RELATIONS if words in text), " and ")
    relation = _RELATIONS.get(words, "")
    parts = text.split(words)
    groups = [parse_group(part) for part in parts]
    found = tuple(group for group in groups if group is not None)
    return (found, relation) if len(found) == len(groups) else None


def parse_group(text: str) -> Group | None:
    """Take one noun phrase with its place apart; None when it is none."""
    place = ""
    if found := _PLACE.match(text):
        text, place = found[1], found[2]
    if (found := _NOUN.match(text)) is None:
        return None
    number, size, color, noun = found.groups()
    kind = next(kind for kind in KINDS if noun in (kind, plural(kind)))
    return Group(kind, color, size or "", NUMBERS[number], place)
