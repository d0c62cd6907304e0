"""The words that routing goes by, read once from `words.toml` beside this file.

Owns turning that data into patterns; what follows from a match is for those who ask.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

_PART = re.compile(r"<(\w+)>")
_OPEN_ENDS = (" ", " )", "d')", r"\w*", r"\w", ":")  # what such a pattern ends with may go on


@dataclass(frozen=True, slots=True)
class Patterns:
    """Several regular expressions, tried in their order."""

    compiled: tuple[re.Pattern[str], ...]

    def search(self, text: str) -> re.Match[str] | None:
        """The first pattern's match in ``text``, or None."""
        return next((match for pattern in self.compiled if (match := pattern.search(text))), None)

    def begins(self, text: str) -> bool:
        """Whether ``text`` begins with a pattern."""
        return any(pattern.match(text) for pattern in self.compiled)

    def whole(self, text: str) -> bool:
        """Whether a pattern is all of ``text``."""
        return any(pattern.fullmatch(text) for pattern in self.compiled)


@cache
def data() -> Mapping[str, Any]:
    """The file's tables."""
    return tomllib.loads(resources.files("limner.chat").joinpath("words.toml").read_text(encoding="utf-8"))


@cache
def patterns(table: str, key: str = "any") -> Patterns:
    """Those that ``table`` lists under ``key``, and under the same key for Chinese, which has no spaces.

    ``table`` may name a table within another, as ``asides.task`` does.
    """
    chosen: Any = data()
    for name in table.split("."):
        chosen = chosen[name]
    chinese = chosen.get("zh" if key in ("any", "whole") else f"zh_{key}", ())
    spaced = (re.compile(_bounded(expand(one))) for one in chosen.get(key, ()))
    return Patterns((*spaced, *_compiled(map(expand, chinese))))


@cache
def region_patterns(language: str, key: str) -> Patterns:
    """The patterns of one language that find a part of a picture and what becomes of it."""
    table = data()["region"][language]
    return Patterns(tuple(_compiled(expand(one).replace("<np>", table["part"]) for one in table[key])))


@cache
def pattern(text: str) -> re.Pattern[str]:
    """One pattern of the file, with its parts put in."""
    return re.compile(expand(text))


def number(word: str) -> int | None:
    """What a numeral in digits or words says, or None."""
    if word.isascii() and word.isdigit():
        return int(word)
    known = data()["numbers"]
    if word.startswith("十") and len(word) == 2:
        return 10 + int(known.get(word[1], 0))
    value = known.get(word)
    return value if isinstance(value, int) else None


def expand(text: str) -> str:
    """``text`` with every ``<part>`` put in, and the parts' own parts."""
    parts = data()["parts"]
    while True:
        put_in = _PART.sub(lambda match: parts.get(match[1], match[0]) if match[1] != "np" else match[0], text)
        if put_in == text:
            return text
        text = put_in


def _compiled(texts: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(text) for text in texts)


def _bounded(text: str) -> str:
    """Not within a word, neither at the beginning nor, unless it is left open, at the end."""
    end = "" if text.endswith(_OPEN_ENDS) else r"(?!\w)"
    return rf"(?<!\w)(?:{text}){end}"
