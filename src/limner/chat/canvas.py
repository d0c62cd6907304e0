"""Numbers in what was said: the size, how many, how far a picture is extended and to which sides, how much it grows.

Pure readers of text. What is not said is None or missing, so that the model's own defaults stand.
"""

import re
from collections.abc import Mapping

from limner.chat.heard import Heard
from limner.chat.words import data, number, pattern, patterns
from limner.core import ParamValue, Size

SIDES = ("left", "right", "top", "bottom")
USUAL_PX, LEAST_PX, MOST_PX = 256, 64, 1024
SCALES = (2, 4, 8)
MOST_AT_ONCE = 10  # pictures of one request, as in every dialect
_PIXELS = re.compile(
    r"(?<![\w.])(\d{3,5}) ?[x×*] ?(\d{3,5})(?!\d)"
    r"(?! ?(?:(?:[mck]?m|(?:[zc]enti|mill?i)?met(?:er|re|ro)s?|ft|foot|feet|inch(?:es)?|yards?|zoll)\b|厘米|毫米|米))",
    re.IGNORECASE,
)
_RATIO = re.compile(r"(?<![\w:.])(\d{1,2}) ?[:/] ?(\d{1,2})(?![\w:])|(?<![\w:.])(16|9|21) ?x ?(9|16)(?![\w:])")
_DISTANCE = re.compile(r"(?<![A-Za-z0-9_:.])(\d{2,5})(?! ?(?:%|percent|prozent|:|\d))")
_TIMES = re.compile(
    r"(?<![\w.])(\d{1,2})(?:\.0)?[ -]?(?:x|×|times|fold|fois|veces|mal|fach|倍)"
    r"|([一二两三四五六七八九十])倍"
    r"|(?:x|by|factor of|par|por|um|放大) ?(\d{1,2})(?![\dx%])"
)
_FILL = re.compile(r"\b(?:with|showing|to show|revealing|so (?:that )?we (?:can )?see|mit|con|avec) (.{2,300})$")
_MORE_OF = re.compile(r"\bmore (?:of )?(.{2,80})$")


def named_size(heard: Heard) -> Size | None:
    """The size in pixels that the words name, such as 1024x768."""
    match = _PIXELS.search(heard.text)
    return Size(int(match[1]), int(match[2])) if match and int(match[1]) and int(match[2]) else None


def named_ratio(heard: Heard) -> Size | None:
    """The usual size of the proportions that the words name in numbers, such as 16:9."""
    ratios = {entry["ratio"]: Size.parse(entry["size"]) for entry in data()["sizes"]}
    found = (f"{match[1] or match[3]}:{match[2] or match[4]}" for match in _RATIO.finditer(heard.text))
    return next((ratios[ratio] for ratio in found if ratio in ratios), None)


def worded_size(heard: Heard) -> Size | None:
    """The usual size of the format that a new drawing's words name, first of the table first."""
    for index, entry in enumerate(data()["sizes"]):
        words, ratio = entry["words"], named_ratio(heard)
        if ratio == Size.parse(entry["size"]) or _names(index, words, entry.get("zh", ()), heard.text):
            return Size.parse(entry["size"])
    return None


def _names(index: int, words: list[str], chinese: list[str], text: str) -> bool:
    return any(pattern(rf"(?<!\w)(?:{word})(?!\w)").search(text) for word in words) or any(
        pattern(word).search(text) for word in chinese
    )


def how_many(heard: Heard) -> int | None:
    """How many pictures are asked for, however many; None when nothing is said of it, and for one."""
    match = patterns("many").search(heard.core)
    if match is None:
        return None
    table = data()["many"]
    found = [*pattern(table["number"]).findall(match[0]), *pattern(table["zh_number"]).findall(match[0])]
    value = number(found[-1]) if found else None
    return value if value is not None and value > 1 else None


def without_count(prompt: str) -> str:
    """An English prompt without the number of pictures, which would otherwise be drawn into each of them."""
    table = data()["many"]
    once = re.sub(rf"(?i)\b{pattern(table['strip']).pattern}", "", prompt, count=1)
    return re.sub(rf"(?i)\b{pattern(table['halve']).pattern}", "a picture ", once, count=1)


def sides(heard: Heard) -> Mapping[str, ParamValue]:
    """Pixels to add by side; all sides where none is named. "by 512" goes for every side named before it."""
    fill = _FILL.search(heard.core)
    text = heard.core if fill is None else heard.core[: fill.start()]
    named = sorted((match.start(), side) for side in SIDES for match in _places(side, text))
    if not named:
        return dict.fromkeys(_spread(text), _distance(text))
    amounts = [(match.start(), _clamped(int(match[1]))) for match in _DISTANCE.finditer(text)]
    is_before = bool(amounts) and amounts[0][0] < named[0][0]
    return {side: _amount(place, amounts[::-1] if is_before else amounts, is_before) for place, side in named}


def fill_words(heard: Heard) -> str:
    """What the new part of an extended picture shall show, when the words say so."""
    match = _FILL.search(heard.core) or _MORE_OF.search(heard.core)
    if match is None:
        return ""
    what = heard.shown[match.start(1) : match.end(1)].strip()
    return re.sub(r"(?i) (?:on|to|at|towards) (?:the )?(?:left|right|top|bottom|both sides|sides).*$", "", what)


def scale(heard: Heard) -> Mapping[str, ParamValue]:
    """By how much to enlarge, as one of the scales there are, the next one above what is said."""
    match = _TIMES.search(heard.core)
    wanted = number(match[1] or match[2] or match[3]) if match else _worded_scale(heard.core)
    if not wanted or wanted < 2:
        return {}
    return {"scale": str(next((one for one in SCALES if one >= wanted), SCALES[-1]))}


def _worded_scale(text: str) -> int:
    worded = {"eight": 8, "four": 4, "three": 4, "double": 2}
    return next((value for key, value in worded.items() if patterns("upscale", key).search(text)), 0)


def _places(side: str, text: str) -> list[re.Match[str]]:
    found = (one.search(text) for one in patterns("outpaint", side).compiled)
    return [match for match in found if match]


def _spread(text: str) -> tuple[str, ...]:
    """The sides that words without a side mean: both flanks, top and bottom, or all."""
    for key, meant in (("around", SIDES), ("across", SIDES[:2]), ("along", SIDES[2:])):
        if patterns("outpaint", key).search(text):
            return meant
    return SIDES


def _amount(place: int, amounts: list[tuple[int, int]], is_before: bool) -> int:
    """The amount next to this side: after it ("left by 100"), or before it ("100 px left")."""
    near = (value for at, value in amounts if (at < place) == is_before)
    return next(near, amounts[0][1] if amounts else USUAL_PX)


def _distance(text: str) -> int:
    match = _DISTANCE.search(text)
    return _clamped(int(match[1])) if match else USUAL_PX


def _clamped(pixels: int) -> int:
    return min(max(pixels, LEAST_PX), MOST_PX)
