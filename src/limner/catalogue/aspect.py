"""The picture's shape that a prompt asks for in words or numbers.

Owns reading a prompt only; what a model can draw is `sizing`. A word counts when it speaks of the format ("in
portrait", "landscape orientation", ", square") and not when it is the subject ("a portrait of a man", "a landscape
painting"); numbers do not count where they measure or count a thing ("a 200 x 300 cm rug", "a 100x100 grid").
"""

import re
from dataclasses import dataclass

from limner.core import Size


@dataclass(frozen=True, slots=True)
class Shape:
    """Width to height as whole numbers; ``size`` when the prompt names pixels."""

    width: int
    height: int
    size: Size | None = None


SQUARE, PORTRAIT, LANDSCAPE = Shape(1, 1), Shape(2, 3), Shape(3, 2)
WIDE, TALL, PANORAMA, POST = Shape(16, 9), Shape(9, 16), Shape(21, 9), Shape(4, 5)

# Ratios that are hardly ever a time of day or a score, and ones that need the word "ratio" or a place of their own.
CLEAR_RATIOS = frozenset({(16, 9), (9, 16), (21, 9), (9, 21), (16, 10), (10, 16)})
OTHER_RATIOS = frozenset({(1, 1), (4, 3), (3, 4), (3, 2), (2, 3), (5, 4), (4, 5), (2, 1), (1, 2), (3, 1), (1, 3)})

_PICTURE = r"(?:image|picture|photo(?:graph)?|illustration|drawing|canvas|frame|poster|wallpaper|composition|banner)"
_FORMAT = r"(?:format|orientation|orientated|oriented|mode|aspect(?: ratio)?|ratio|layout|crop|size|dimensions)"
_START, _END = r"(?:^|[,;.(\[\n]\s*)", r"(?=\s*(?:$|[,;.)\]\n]))"

_QUOTED = re.compile(r"\"[^\"]{0,500}\"|“[^”]{0,500}”|«[^»]{0,500}»")
_PIXELS = re.compile(r"(?<![\w.])(\d{3,5}) ?[x×] ?(\d{3,5})(?: ?px| pixels)?(?![\w.]*\w)", re.IGNORECASE)
_RATIO = re.compile(r"(?<![\w:.])([1-9]\d?) ?(:|x|×| by ) ?([1-9]\d?)(?![\w:])", re.IGNORECASE)
_OF_A_THING = re.compile(
    r" ?(?:[mck]?m|(?:centi|milli)?met(?:er|re)s?|ft|foot|feet|inch(?:es)?|yards?)\b"
    r"| (?:grid|checkerboard|chess ?board)s?\b",
    re.IGNORECASE,
)
_RATIO_BEFORE = re.compile(r"(?:^|[,;.(\[\n]|\bratio(?: of)?:?|\baspect:?|--ar|\bin)\s*$", re.IGNORECASE)
_RATIO_AFTER = re.compile(rf"\s*(?:$|[,;.)\]\n]|{_FORMAT}\b|{_PICTURE}\b)", re.IGNORECASE)


def _oriented(word: str, extra: str = "") -> str:
    """Patterns in which ``word`` speaks of the format: with a format noun, after "in", or alone between commas."""
    alone = rf"{_START}{word}{_END}"
    noun = rf"\b{word}[ -]{_FORMAT}\b"
    after_in = rf"\bin {word}{_END}"
    return "|".join([alone, noun, after_in, *([extra] if extra else [])])


_WORDS: tuple[tuple[re.Pattern[str], Shape], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), shape)
    for pattern, shape in (
        (r"\bultra-? ?wide(?:screen)?\b(?![ -](?:angle|lens))|\bpanoram(?:a|ic)\b(?! (?:roof|sunroof))", PANORAMA),
        (r"\b(?:hero|web|website|header|page|blog|twitter|facebook|linkedin|youtube|email) banner\b", PANORAMA),
        (rf"{_START}(?:wide )?banner{_END}|\bbanner[ -](?:ad|{_FORMAT}|image)\b", PANORAMA),
        (r"\b(?<!ultra-)(?<!ultra )wide-?screen\b", WIDE),
        (r"\b(?:desktop|computer|laptop|pc) (?:wallpaper|background)\b|\b(?:youtube|video) thumbnail\b", WIDE),
        (_oriented("wide", rf"\bwide {_PICTURE}\b"), WIDE),
        (r"\b(?:smart)?phone (?:wallpaper|background)\b|\bmobile (?:wallpaper|background)\b", TALL),
        (r"\block ?screen (?:wallpaper|background)\b|\b(?:instagram|facebook|snapchat) story\b|\btiktok video\b", TALL),
        (_oriented("tall", rf"\btall {_PICTURE}\b"), TALL),
        (r"\binstagram post\b", POST),
        (_oriented("portrait"), PORTRAIT),
        (_oriented("vertical", rf"\bvertical {_PICTURE}\b"), PORTRAIT),
        (_oriented("landscape"), LANDSCAPE),
        (_oriented("horizontal", rf"\bhorizontal {_PICTURE}\b"), LANDSCAPE),
        (_oriented("square", rf"\bsquare {_PICTURE}\b|\balbum cover\b|\bprofile picture\b|\bapp icon\b"), SQUARE),
    )
)


def infer(prompt: str) -> Shape | None:
    """The shape that ``prompt`` asks for, or None. Pixels win over ratios, ratios over words; then the first one wins.

    What stands in double quotes is text to draw and does not count.
    """
    text = _QUOTED.sub(" quoted ", prompt)
    return _pixels(text) or _ratio(text) or _word(text)


def _pixels(text: str) -> Shape | None:
    for match in _PIXELS.finditer(text):
        size = Size(int(match[1]), int(match[2]))
        if size.pixels and not _OF_A_THING.match(text, match.end()):
            return Shape(size.width_px, size.height_px, size)
    return None


def _ratio(text: str) -> Shape | None:
    for match in _RATIO.finditer(text):
        ratio = (int(match[1]), int(match[3]))
        if match[2] != ":" and _OF_A_THING.match(text, match.end()):
            continue
        placed = _RATIO_BEFORE.search(text[: match.start()][-40:]) and _RATIO_AFTER.match(text[match.end() :][:40])
        labelled = re.match(rf"\s*{_FORMAT}\b", text[match.end() :][:40], re.IGNORECASE)
        if ratio in CLEAR_RATIOS or (ratio in OTHER_RATIOS and (placed or labelled)):
            return Shape(*ratio)
    return None


def _word(text: str) -> Shape | None:
    hits = ((match.start(), shape) for pattern, shape in _WORDS if (match := pattern.search(text)))
    return min(hits, key=lambda hit: hit[0], default=(0, None))[1]
