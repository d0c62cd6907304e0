"""What is to be drawn, as flat fields say it, for the dialects that wrap OpenAI's image fields into something else.

Owns the fields that every model shares and their other names; everything else is the model's own parameter and the
catalogue's to judge. The pictures and the words come from elsewhere.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from limner.api.asking import output_of
from limner.api.openai.fields import TAKEN_WITHOUT_EFFECT, read_loras
from limner.api.shapes import SHAPE_WORDS, Worded, has_shape_words, size_in_words
from limner.api.validation import checked_fields
from limner.catalogue.sizing import fit, is_of_tier
from limner.catalogue.spec import ModelSpec
from limner.catalogue.values import SHOWN_CHARS, shown
from limner.core import Output, ParamValue, Size, Warning
from limner.errors import InvalidRequest, LimnerError

OTHER_NAMES: Mapping[str, str] = {"num_images": "n", "num_outputs_per_prompt": "n"}


class DrawFields(BaseModel):
    """What every model has, under our names; the rest are parameters. None and absent mean the same.

    Where a model's own table has one of these, that judges it.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    n: int | None = Field(None, ge=1, le=10)
    size: str | None = None
    width: int | None = Field(None, ge=1)
    height: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: int | None = Field(None, ge=0, le=100)
    background: Literal["auto", "opaque", "transparent"] | None = None
    timeout: float | None = Field(None, gt=0, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Drawing:
    """The fields of one request, settled as far as that goes without its pictures. ``names`` has what the client
    called otherwise than we do: ours -> theirs. ``tier_pixels`` is the area where there is no ``size`` and a tier says
    that much of it."""

    n: int
    size: Size | None
    seed: int | None
    output: Output
    params: Mapping[str, ParamValue]
    timeout_s: float | None
    names: Mapping[str, str]
    warnings: tuple[Warning, ...] = ()
    tier_pixels: int | None = None


def merged(*places: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Fields from several (name, object) places as one; nulls count as absent.

    Raises InvalidRequest for a field that stands in two places with different values.
    """
    flat: dict[str, Any] = {}
    found_in: dict[str, str] = {}
    for place, fields in places:
        for name, value in fields.items():
            if value is None:
                continue
            if name in flat and flat[name] != value:
                raise InvalidRequest(
                    f"{shown(name)} is given twice with different values: {shown(flat[name])} in {found_in[name]} and "
                    f"{shown(value)} in {place}",
                    param=name[:SHOWN_CHARS],
                )
            flat[name] = value
            found_in[name] = place
    return flat


def settle(given: Mapping[str, Any], spec: ModelSpec, *, tolerated: bool, by_table: Collection[str] = ()) -> Drawing:
    """``given``, flat, for the model of ``spec``. ``tolerated``: OpenAI's fields that the model lacks (``quality``,
    ``style``, ...) are taken with a warning, as its clients always send them. ``by_table`` are those that a model's own
    table must have, if that is complete.

    Raises InvalidRequest naming the field as the client called it.
    """
    judged = {*spec.params, *(by_table if spec.is_complete else ())}
    own = {name: value for name, value in given.items() if name in judged}
    fields, names = _under_our_names({name: value for name, value in given.items() if name not in own})
    words = {} if has_shape_words(spec) else _taken(fields, SHAPE_WORDS)
    worded = size_in_words(words, spec)
    ignored = _without_effect(fields, spec) if tolerated else ()
    checked = _checked(fields, names)
    size = _size(checked)
    if size is None or not _has_proportions(size, words, worded, spec):
        size = _agreed(size, worded)
    return Drawing(
        n=1 if checked.n is None else checked.n,
        size=size,
        seed=checked.seed,
        output=output_of(checked),
        params=_params({**own, **(checked.model_extra or {})}),
        timeout_s=checked.timeout,
        names=names,
        warnings=(*ignored, *_lossless(checked)),
        tier_pixels=worded.tier_pixels if size is None else None,
    )


def settle_spoken(
    given: Mapping[str, Any], own: Mapping[str, Any], spec: ModelSpec
) -> tuple[Drawing, tuple[Warning, ...]]:
    """How an answer in words is made: by ``own``, the model's parameters. What is ``given`` of pictures has no effect
    on it, and is told. Raises InvalidRequest."""
    shared = {name: given[name] for name in ("seed", "timeout") if given.get(name) is not None}
    told = tuple(
        Warning(name, "ignored", f"{name!r} has no effect: the answer is in words")
        for name, value in given.items()
        if name not in shared and value is not None and (name, value) != ("n", 1)
    )
    return settle({**shared, **own}, spec, tolerated=False), told


def in_their_words(error: LimnerError, names: Mapping[str, str]) -> None:
    """Have ``error`` call its parameter as the client called it."""
    ours = error.param
    if ours is not None and ours in names:
        error.message = error.message.replace(repr(ours), repr(names[ours]))
        error.args = (error.message,)
        error.param = names[ours]


def told_in_their_words(warning: Warning, names: Mapping[str, str]) -> Warning:
    """As `in_their_words`, of a warning."""
    if warning.param not in names:
        return warning
    theirs = names[warning.param]
    return replace(warning, param=theirs, message=warning.message.replace(repr(warning.param), repr(theirs)))


def _under_our_names(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    fields = {name: value for name, value in given.items() if name not in OTHER_NAMES}
    names: dict[str, str] = {}
    for theirs, ours in OTHER_NAMES.items():
        if given.get(theirs) is None:
            continue
        if ours in fields and fields[ours] != given[theirs]:
            other = names.get(ours, ours)
            raise InvalidRequest(
                f"{theirs!r} is {shown(given[theirs])} and {other!r} is {shown(fields[ours])}: they mean the same",
                param=theirs,
            )
        fields[ours], names[ours] = given[theirs], theirs
    return fields, names


def _taken(fields: dict[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
    """Take the ``wanted`` ones out of ``fields``."""
    return {name: fields.pop(name) for name in wanted if name in fields}


def _without_effect(fields: dict[str, Any], spec: ModelSpec) -> tuple[Warning, ...]:
    """Take out OpenAI's fields that the model lacks, and say so where they asked for anything."""
    taken = _taken(fields, tuple(name for name in TAKEN_WITHOUT_EFFECT if name not in spec.params))
    return tuple(
        Warning(name, "ignored", f"{name!r} has no effect: {spec.id} does not have it")
        for name, value in taken.items()
        if value not in TAKEN_WITHOUT_EFFECT[name]
    )


def _checked(fields: Mapping[str, Any], names: Mapping[str, str]) -> DrawFields:
    cleaned = dict(fields)
    if isinstance(cleaned.get("output_format"), str):
        cleaned["output_format"] = cleaned["output_format"].strip().lower().replace("jpg", "jpeg")
    try:
        return checked_fields(DrawFields, cleaned)
    except InvalidRequest as error:
        in_their_words(error, names)
        raise


def _size(fields: DrawFields) -> Size | None:
    sides = None if fields.width is None or fields.height is None else Size(fields.width, fields.height)
    if sides is None and (fields.width is not None or fields.height is not None):
        missing = "height" if fields.height is None else "width"
        raise InvalidRequest(f"'width' and 'height' go together; {missing!r} is missing", param=missing)
    size = _parsed(fields.size)
    if size is not None and sides is not None and size != sides:
        raise InvalidRequest(f"'size' is '{size}' and 'width' and 'height' are {sides}", param="size")
    return sides if size is None else size


def _has_proportions(size: Size, words: Collection[str], worded: Worded, spec: ModelSpec) -> bool:
    """Whether proportions are all that the ``words`` say, and ``size`` has them: both become the same at the default's
    area."""
    same = fit(spec.sizes, size.width_px, size.height_px, spec.sizes.default.pixels)
    return set(words) == {"aspect_ratio"} and worded.size == same


def _agreed(size: Size | None, worded: Worded) -> Size | None:
    if size is None:
        return worded.size
    words = " and ".join(SHAPE_WORDS)
    if worded.size is not None and size != worded.size:
        raise InvalidRequest(
            f"'size' is '{size}' and {words} make it '{worded.size}': give one or the other", param="size"
        )
    if worded.tier_pixels is not None and not is_of_tier(size, worded.tier_pixels):
        raise InvalidRequest(
            f"'size' is '{size}' and {words} make it about {worded.tier_pixels:,} pixels: give one or the other",
            param="size",
        )
    return size


def _parsed(size: str | None) -> Size | None:
    if size is None or size.strip().lower() == "auto":
        return None
    try:
        return Size.parse(size)
    except ValueError as error:
        raise InvalidRequest(
            f"Invalid value for 'size': {shown(size)}. Allowed: 'WIDTHxHEIGHT' like '1024x1024', or 'auto'",
            param="size",
        ) from error


def _params(params: dict[str, Any]) -> dict[str, ParamValue]:
    return {name: read_loras(value) if name == "lora" else value for name, value in params.items()}


def _lossless(fields: DrawFields) -> tuple[Warning, ...]:
    if fields.output_compression is None or fields.output_format not in (None, "png"):
        return ()
    message = "'output_compression' has no effect: png is lossless; ask for jpeg or webp"
    return (Warning("output_compression", "ignored", message),)
