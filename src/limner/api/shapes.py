"""Sizes said as proportions and a tier ("16:9", "2K"), for models that take any size and have no words for them.

Owns that arithmetic. A model whose own table has such parameters is left to the catalogue, which judges them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limner.catalogue.aspect import infer
from limner.catalogue.sizing import fit, off_ratio
from limner.catalogue.spec import ModelSpec
from limner.catalogue.values import shown
from limner.core import Picture, Size
from limner.errors import InvalidRequest

TIER_WORDS = ("resolution", "image_size")
SHAPE_WORDS = ("aspect_ratio", *TIER_WORDS)
TIERS: Mapping[str, float] = {"512": 0.5, "0.5k": 0.5, "1k": 1.0, "2k": 2.0, "4k": 4.0}
"""Side lengths as multiples of those that the model draws by default."""

_BENT = 0.1  # log of the factor by which pixels may be off the proportions beside them, as near as multiples come
_RATIO = re.compile(r"([1-9]\d{0,2})\s*[:x]\s*([1-9]\d{0,2})")


@dataclass(frozen=True, slots=True)
class Worded:
    """What words say of a size: all of it, or with a tier alone its area, or nothing."""

    size: Size | None = None
    tier_pixels: int | None = None


def size_in_words(fields: Mapping[str, Any], spec: ModelSpec) -> Worded:
    """What the SHAPE_WORDS among ``fields`` amount to for ``spec``.

    Pixels say more than a tier beside them, as RouteLLM's clients send both. Raises InvalidRequest naming the word, its
    value and what is allowed.
    """
    words = {name: _word(name, value) for name, value in fields.items()}
    sides, ratio, factor = _sides(words), _ratio(words.get("aspect_ratio", "auto")), _factor(words, spec)
    if sides is not None:
        if ratio is not None and off_ratio(sides, ratio[0] / ratio[1]) > _BENT:
            raise _refused("aspect_ratio", words["aspect_ratio"], f"the proportions of {sides}, or 'auto'")
        return Worded(sides)
    pixels = round(spec.sizes.default.pixels * (1.0 if factor is None else factor) ** 2)
    if ratio is not None:
        return Worded(fit(spec.sizes, *ratio, pixels))
    return Worded(tier_pixels=None if factor is None else pixels)


def at_tier(tier_pixels: int, spec: ModelSpec, inputs: Sequence[Picture], prompt: str) -> Size:
    """The size of that area in the proportions of the first picture, or else those that the prompt names, or else the
    default's."""
    named, default = infer(prompt), spec.sizes.default
    if inputs:
        width, height = inputs[0].size.width_px, inputs[0].size.height_px
    elif named is not None:
        width, height = named.width, named.height
    elif tier_pixels == default.pixels:
        return default
    else:
        width, height = default.width_px, default.height_px
    return fit(spec.sizes, width, height, tier_pixels)


def tier_in_words_of(fields: Mapping[str, Any], spec: ModelSpec) -> tuple[dict[str, Any], dict[str, str]]:
    """``fields`` with a tier under the name, and in the spelling, of the model's own table; and what was called
    otherwise: ours -> theirs. APIs that have one word for all models say it where a model has the other one."""
    ours = next((name for name in TIER_WORDS if name in spec.params), None)
    theirs = next((name for name in TIER_WORDS if name in fields), None)
    if ours is None or theirs is None or (theirs != ours and theirs in spec.params):
        return dict(fields), {}
    rest = {name: value for name, value in fields.items() if name != theirs}
    half = fields[theirs] == "512" and "0.5K" in spec.params[ours].scales
    return {**rest, ours: "0.5K" if half else fields[theirs]}, {} if ours == theirs else {ours: theirs}


def tiers_of(spec: ModelSpec) -> tuple[str, ...]:
    """The tiers that a model without words for them can draw at."""
    return tuple(tier.upper() for tier in _able(spec))


def has_shape_words(spec: ModelSpec) -> bool:
    """Whether the model's own table says what proportions and tiers it takes."""
    return bool(spec.sizes.choices) or any(
        param.sizing or param.field in ("size", "width", "height") for param in spec.params.values()
    )


def _able(spec: ModelSpec) -> dict[str, float]:
    most = spec.sizes.max_pixels / spec.sizes.default.pixels
    return {name: factor for name, factor in TIERS.items() if factor**2 <= most}


def _word(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    raise _refused(
        name, value, "'16:9' and the like" if name == "aspect_ratio" else "'2K' and the like, or WIDTHxHEIGHT"
    )


def _is_size(text: str) -> bool:
    try:
        Size.parse(text)
    except ValueError:
        return False
    return True


def _ratio(text: str) -> tuple[int, int] | None:
    if text == "auto":
        return None
    match = _RATIO.fullmatch(text)
    if match is None:
        raise _refused("aspect_ratio", text, "'WIDTH:HEIGHT' such as '16:9', or 'auto'")
    return int(match[1]), int(match[2])


def _factor(words: Mapping[str, str], spec: ModelSpec) -> float | None:
    """How much longer the sides are than the default's: the tier that is given, None without one."""
    able = _able(spec)
    found: float | None = None
    for name in TIER_WORDS:
        text = words.get(name, "auto")
        if text == "auto" or _is_size(text):
            continue
        if text.lower() not in able:
            allowed = ", ".join(tiers_of(spec))
            raise _refused(name, text, f"{allowed} for {spec.id}, or WIDTHxHEIGHT")
        if found not in (None, able[text.lower()]):
            raise _contradicted(words)
        found = able[text.lower()]
    return found


def _sides(words: Mapping[str, str]) -> Size | None:
    sizes = {Size.parse(words[name]) for name in TIER_WORDS if _is_size(words.get(name, "auto"))}
    if len(sizes) > 1:
        raise _contradicted(words)
    return next(iter(sizes), None)


def _contradicted(words: Mapping[str, str]) -> InvalidRequest:
    ours, theirs = TIER_WORDS
    return _refused(theirs, words[theirs], f"what {ours!r} says, {shown(words[ours])}; give one of them")


def _refused(name: str, value: object, allowed: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid value for {name!r}: {shown(value)}. Allowed: {allowed}", param=name)
