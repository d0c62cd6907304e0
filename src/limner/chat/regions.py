"""One part of a picture that shall become something else: "make the hat blue", "replace the hat with a crown".

Owns reading the part and what becomes of it, language by language. Words about the whole picture, about several
changes at once, or about a part's pose or size are no such thing: a mask could not hold what they ask for.
"""

import re
from dataclasses import dataclass

from limner.chat.heard import Heard
from limner.chat.words import data, pattern, patterns, region_patterns

LANGUAGES = ("en", "de", "es", "fr", "zh")
_OF_TWO = {"en": "{y} {x}", "de": "{x} in {y}", "es": "{x} {y}", "fr": "{x} {y}", "zh": "{y}的{x}"}


@dataclass(frozen=True, slots=True)
class Region:
    """What is changed, in words that a grounder can look for, and what it shall become."""

    region: str
    becomes: str


def region_of(heard: Heard) -> Region | None:
    """The part and what it becomes, or None when the words ask for something else."""
    if patterns("region", "more").search(heard.core):
        return None
    return next((found for language in LANGUAGES if (found := _in(language, heard))), None)


def _in(language: str, heard: Heard) -> Region | None:
    match = region_patterns(language, "looks").search(heard.core)
    looks = match is not None
    if match is None:
        match = region_patterns(language, "becomes").search(heard.core)
    if match is None:
        return None
    part, becomes = (heard.shown[match.start(name) : match.end(name)].strip() for name in ("x", "y"))
    read = _noun(language, match["x"].strip())
    if patterns("region", "not").search(match["x"]):
        return None
    if patterns("region", "whole_picture").whole(read) or _is_pronoun(match["y"]):
        return None
    return _composed(language, part, becomes, looks or _is_look(language, match["y"]))


def _composed(language: str, part: str, becomes: str, looks: bool) -> Region:
    if language == "en":
        part, becomes = part.lower(), becomes if not looks else _english(becomes.lower())
    noun = part[len(part) - len(_noun(language, part.lower())) :]
    if looks:
        becomes = _OF_TWO[language].format(x=noun.rsplit("'s ")[-1], y=_adjective(language, becomes))
        becomes = _with_article(becomes, noun) if language == "en" else becomes
    region = {"en": f"the {noun}", "de": noun, "zh": noun}.get(language, part)
    return Region(region, becomes)


def _noun(language: str, part: str) -> str:
    return pattern(data()["region"][language]["article"]).sub("", part)


def _adjective(language: str, becomes: str) -> str:
    if language != "zh":
        return becomes
    return becomes.removesuffix("的") if becomes.rstrip("的").endswith("色") else becomes.rstrip("的") + "色"


def _with_article(phrase: str, noun: str) -> str:
    """``a blue hat``, but ``green eyes``."""
    if patterns("region", "plural").whole(noun.split()[-1]):
        return phrase
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _is_look(language: str, becomes: str) -> bool:
    part = {"en": "look", "de": "dehue", "es": "eshue", "fr": "frhue", "zh": "zhhue"}[language]
    return pattern(f"<{part}>的?").fullmatch(becomes) is not None


def _english(colour: str) -> str:
    return re.sub(r"\bbleu\b", "blue", colour)


def _is_pronoun(becomes: str) -> bool:
    return re.fullmatch(r"(?:be )?(?:it|this|that|them|him|her)", becomes) is not None
