"""Google's JSON: every key in snake or camel case, proto's freedom with numbers, and errors that name the place.

Owns reading objects of that kind; which keys there are is for those who read them to say.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from limner.catalogue.values import SHOWN_CHARS, shown
from limner.core import Warning
from limner.errors import InvalidRequest, UnknownParameter

_HUMP = re.compile(r"(?<=[a-z0-9])[A-Z]")


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("true and false are no numbers")
    return value


Whole = Annotated[int, BeforeValidator(_no_boolean)]  # 42, 42.0 and "42", as proto's JSON has it


class Fields(BaseModel):
    """An object of the wire. What it does not declare is kept in ``model_extra``, under its name in snake case."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _snaked(cls, value: object) -> object:
        return snaked(value) if isinstance(value, dict) else value


F = TypeVar("F", bound=Fields)


def snake(key: str) -> str:
    """``aspectRatio`` as ``aspect_ratio``."""
    return _HUMP.sub(lambda hump: f"_{hump[0].lower()}", key)


def snaked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same with every key in snake case, less the nulls. Raises ValueError for a key that is there in both cases
    with different values."""
    found: dict[str, Any] = {}
    for key, value in fields.items():
        name = snake(key)
        if value is None:
            continue
        if name in found and found[name] != value:
            raise ValueError(f"{shown(to_camel(name))} is given twice, in both cases, with different values")
        found[name] = value
    return found


def read_fields(kind: type[F], value: object, where: str = "") -> F:
    """``value``, which stands at ``where`` in the body, as ``kind``. Raises InvalidRequest naming the place."""
    try:
        return kind.model_validate({} if value is None else value)
    except ValidationError as error:
        raise _explained(error, where) from error


def read_object(value: object, where: str, known: Iterable[str] | None) -> dict[str, Any]:
    """An object that has only ``known`` keys (None: any), which come in snake case.

    Raises InvalidRequest, UnknownParameter.
    """
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where!r} must be an object, not {shown(value)}", param=where)
    try:
        fields = snaked(value)
    except ValueError as error:
        raise InvalidRequest(f"Invalid value for {where!r}: {error}", param=where) from error
    allowed = None if known is None else tuple(known)
    for name in map(snake, value):
        if allowed is not None and name not in allowed:
            raise unknown(name, where, allowed)
    return fields


def unknown(name: str, where: str, allowed: Iterable[str]) -> UnknownParameter:
    """The error for a key that nothing reads."""
    place = placed(where, name)[:SHOWN_CHARS]
    names = ", ".join(to_camel(one) for one in allowed)
    return UnknownParameter(f"Unknown parameter {place!r}. Allowed: {names}", param=place)


def placed(where: str, name: str) -> str:
    """The place of a key in the body, as Google's documents write it: ``generationConfig.imageConfig``."""
    return ".".join(filter(None, (where, to_camel(name))))


def without_effect(where: str, names: Iterable[str], reason: str) -> tuple[Warning, ...]:
    """A warning for each of ``names`` that is taken and that nothing acts on."""
    return tuple(ignored(placed(where, name), reason) for name in names)


def ignored(place: str, reason: str) -> Warning:
    """The warning about what stands at ``place``."""
    return Warning(place, "ignored", f"{place!r} has no effect: {reason}")


def _explained(error: ValidationError, where: str) -> InvalidRequest:
    first = error.errors(include_url=False)[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{to_camel(part)}" for part in first["loc"])
    place = f"{where}{path}".lstrip(".") or "the body"
    message = first["msg"].removeprefix("Value error, ")
    return InvalidRequest(f"Invalid value for {place!r}: {shown(first.get('input'))}. {message}", param=place)
