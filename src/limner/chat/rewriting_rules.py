"""What a rewritten prompt must have kept of the original: quoted text, counts, negations, the language.

Owns the checks, which are made for English, German, Spanish, French and Chinese, and cautious elsewhere: a good
rewriting that fails one costs nothing but the rewriting.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

_QUOTED = re.compile(r'"([^"\n]+)"|“([^”\n]+)”|„([^“”\n]+)[“”]|«([^»\n]+)»|「([^」\n]+)」|『([^』\n]+)』|‘([^’\n]+)’')
_SINGLE_QUOTED = re.compile(r"(?<!\w)'([^'\n]+)'(?!\w)")
_DIGITS = re.compile(r"\d+(?:[.,:/]\d+)*")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")

SCRIPTS = (
    "LATIN", "CYRILLIC", "GREEK", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "ARABIC", "HEBREW", "DEVANAGARI", "THAI",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WordLists:
    """Words that give something away; `rewriting.toml` has them."""

    numbers: Mapping[str, str]  # word -> digits
    negations: frozenset[str]
    negating_characters: frozenset[str]
    languages: Mapping[str, frozenset[str]]


@cache
def word_lists() -> WordLists:
    """The lists, read once."""
    data = tomllib.loads(resources.files("limner.chat").joinpath("rewriting.toml").read_text(encoding="utf-8"))
    return WordLists(
        numbers={word: digits for digits, words in data["numbers"].items() for word in words},
        negations=frozenset(data["negations"]["words"]),
        negating_characters=frozenset(data["negations"]["characters"]),
        languages={name: frozenset(words) for name, words in data["languages"].items()},
    )


def broken_rule(original: str, written: str, most_characters: int) -> str | None:
    """What is wrong with ``written``, to follow "the rewritten prompt"; None if nothing is."""
    if not written.strip():
        return "is empty"
    if len(written) > most_characters:
        return f"is longer than {most_characters} characters"
    lost_quote = next((text for text in _quoted(original) if text not in written), None)
    if lost_quote is not None:
        return f"lost the quoted text {lost_quote!r}"
    lost_count = next((count for count in _counts(original) if count not in _counts(written)), None)
    if lost_count is not None:
        return f"lost the number {lost_count}"
    if _negates(original) and not _negates(written):
        return "lost what shall not be there"
    if _script(original) != _script(written) or _differ(_language(original), _language(written)):
        return "is in another language"
    return None


def _quoted(text: str) -> Iterator[str]:
    for pattern in (_QUOTED, _SINGLE_QUOTED):
        for match in pattern.finditer(text):
            yield next(group for group in match.groups() if group is not None)


def _counts(text: str) -> dict[str, None]:
    """Every number in the text, as digits; each once."""
    words = (word_lists().numbers.get(word) for word in (*_words(text), *_characters(text)))
    return dict.fromkeys([*_DIGITS.findall(text), *(number for number in words if number is not None)])


def _negates(text: str) -> bool:
    lists = word_lists()
    return not lists.negations.isdisjoint(_words(text)) or not lists.negating_characters.isdisjoint(text)


def _words(text: str) -> list[str]:
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def _characters(text: str) -> list[str]:
    """Those that are words of their own in Chinese."""
    return [character for character in text if character > "\u2e7f"]


def _script(text: str) -> str | None:
    """The script that most letters outside quotes are of; kana and Chinese characters are told apart by whether there
    are any kana. None without letters."""
    names = [unicodedata.name(character, "").split(" ")[0] for character in _unquoted(text) if character.isalpha()]
    if "HIRAGANA" in names or "KATAKANA" in names:
        return "HIRAGANA"
    counted = {script: names.count(script) for script in SCRIPTS if script in names}
    return max(counted, key=lambda script: counted[script], default=None)


def _language(text: str) -> str | None:
    """The language with the most common words in the text, if one stands out."""
    words = _words(_unquoted(text))
    ranked = sorted(((sum(word in common for word in words), name) for name, common in word_lists().languages.items()))
    (second, _), (first, name) = ranked[-2:]
    return name if first > second else None


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def _unquoted(text: str) -> str:
    return _SINGLE_QUOTED.sub(" ", _QUOTED.sub(" ", text))
