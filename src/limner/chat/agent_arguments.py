"""One argument of a tool: how a language model is told of it, and its value as a part of a Decision.

Owns kinds of arguments and what is taken for each. Writing is forgiven where it is plain what is meant: "2", 2.0 and
"[image 2]" are all image 2.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from limner.chat.agent_album import Album
from limner.chat.conversation import Shown
from limner.chat.decision import Decision
from limner.core import Size
from limner.errors import InvalidRequest

# What an argument becomes: prompt, pictures, mask, size (exact, or of that shape), number of pictures, or a parameter
# of its own name.
Kind: TypeAlias = Literal["prompt", "image", "images", "mask", "size", "ratio", "count", "words", "pixels", "choice"]

MAX_COUNT, MAX_PIXELS, MAX_WORDS = 4, 1024, 8000
SHAPE_PIXELS, SHAPE_MULTIPLE = 1024 * 1024, 32
_SHOWN_CHARACTERS = 80
_NUMBER = re.compile(r"\[?\s*(?:image\s*)?#?\s*(\d{1,4})\s*\]?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a tool. ``at_least`` counts a list's items."""

    name: str
    kind: Kind
    description: str
    required: bool = True
    at_least: int = 1
    choices: tuple[str, ...] = ()


def property_schema(argument: Argument) -> dict[str, Any]:
    """The argument as JSON Schema."""
    types: Mapping[Kind, dict[str, Any]] = {
        "image": {"type": "integer", "minimum": 1},
        "mask": {"type": "integer", "minimum": 1},
        "images": {"type": "array", "items": {"type": "integer"}, "minItems": argument.at_least},
        "count": {"type": "integer", "minimum": 1, "maximum": MAX_COUNT},
        "pixels": {"type": "integer", "minimum": 0, "maximum": MAX_PIXELS},
        "choice": {"type": "string", "enum": list(argument.choices)},
        "ratio": {"type": "string", "enum": list(argument.choices)},
    }
    return {**types.get(argument.kind, {"type": "string"}), "description": argument.description}


def with_argument(decision: Decision, argument: Argument, value: object, album: Album) -> Decision:
    """``decision`` with ``value`` put where it belongs. Raises InvalidRequest saying what is allowed."""
    match argument.kind:
        case "prompt":
            return replace(decision, prompt=_words(argument, value))
        case "image":
            return replace(decision, pictures=(album.picture(_whole(argument, value, None), argument.name),))
        case "images":
            return replace(decision, pictures=_pictures(argument, value, album))
        case "mask":
            return replace(decision, mask=album.picture(_whole(argument, value, None), argument.name))
        case "size":
            return replace(decision, size=_size(argument, value), size_is_exact=True)
        case "ratio":
            return replace(decision, size=_of_shape(_choice(argument, value)), size_is_exact=False)
        case "count":
            return replace(decision, n=_whole(argument, value, (1, MAX_COUNT)))
        case "pixels":
            return _with_param(decision, argument, _whole(argument, value, (0, MAX_PIXELS)))
        case "choice":
            return _with_param(decision, argument, _choice(argument, value))
        case "words":
            return _with_param(decision, argument, _words(argument, value))


def _with_param(decision: Decision, argument: Argument, value: int | str) -> Decision:
    return replace(decision, params={**decision.params, argument.name: value})


def _words(argument: Argument, value: object) -> str:
    if isinstance(value, str) and value.strip() and len(value) <= MAX_WORDS:
        return value.strip()
    raise _invalid(argument, value, f"words, at most {MAX_WORDS} characters")


def _whole(argument: Argument, value: object, bounds: tuple[int, int] | None) -> int:
    allowed = "a whole number" if bounds is None else f"a whole number from {bounds[0]} to {bounds[1]}"
    number: object = value
    if isinstance(value, str) and (match := _NUMBER.fullmatch(value.strip())):
        number = int(match[1])
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise _invalid(argument, value, allowed)
    if bounds is not None and not bounds[0] <= number <= bounds[1]:
        raise _invalid(argument, value, allowed)
    return number


def _pictures(argument: Argument, value: object, album: Album) -> tuple[Shown, ...]:
    numbers = [_whole(argument, one, None) for one in _items(value)]
    pictures = tuple(album.picture(number, argument.name) for number in dict.fromkeys(numbers))
    if len(pictures) < argument.at_least:
        raise _invalid(argument, value, f"at least {argument.at_least} different images")
    return pictures


def _items(value: object) -> Iterable[object]:
    if isinstance(value, str):
        return [part for part in value.strip("[] ").split(",") if part.strip()]
    return value if isinstance(value, Sequence) else [value]


def _size(argument: Argument, value: object) -> Size:
    try:
        return Size.parse(value if isinstance(value, str) else "")
    except ValueError:
        raise _invalid(argument, value, "WIDTHxHEIGHT in pixels, such as 1024x1024") from None


def _of_shape(ratio: str) -> Size:
    """A size of that shape and of about `SHAPE_PIXELS`."""
    width, height = map(int, ratio.split(":"))
    unit = math.sqrt(SHAPE_PIXELS / (width * height))
    return Size(*(round(side * unit / SHAPE_MULTIPLE) * SHAPE_MULTIPLE for side in (width, height)))


def _choice(argument: Argument, value: object) -> str:
    text = str(value).strip().lower().removesuffix("x")
    if text in argument.choices:
        return text
    raise _invalid(argument, value, ", ".join(argument.choices))


def _invalid(argument: Argument, value: object, allowed: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid value for {argument.name!r}: {shown(value)}. Allowed: {allowed}", param=argument.name
    )


def shown(value: object) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
