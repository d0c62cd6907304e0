"""JSON fields against a pydantic model, with refusals that name the field, its value and what is allowed.

Owns that translation alone; the models are the dialects'.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from limner.catalogue.values import shown
from limner.errors import InvalidRequest

Fields = TypeVar("Fields", bound=BaseModel)


def checked_fields(kind: type[Fields], values: Mapping[str, Any], where: str = "") -> Fields:
    """``values`` as ``kind``; nothing is coerced. ``where`` goes before the names in errors. Raises InvalidRequest."""
    try:
        return kind.model_validate({name: _whole(value) for name, value in values.items()}, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        loc = _named(first["loc"], values) if first["type"] != "missing" else first["loc"]
        param = where + _path(loc)
        allowed = _allowed(kind, loc)
        raise InvalidRequest(
            f"Invalid value for {param!r}: {shown(first.get('input'))}. {first['msg']}{allowed}", param=param
        ) from error


def _whole(value: object) -> object:
    """JSON has one kind of number: 2.0 is as whole as 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _named(loc: Sequence[int | str], values: Mapping[str, Any]) -> Sequence[int | str]:
    """``loc`` as far as it leads into ``values``: pydantic goes on with which of several types it has tried."""
    found: Any = values
    for depth, part in enumerate(loc):
        try:
            found = found[part]
        except (TypeError, KeyError, IndexError):
            return loc[: max(depth, 1)]
    return loc


def _path(loc: Sequence[int | str]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def _allowed(kind: type[BaseModel], loc: Sequence[int | str]) -> str:
    """The field's own schema in words: its type and bounds, or its values; "" for what lies deeper."""
    if len(loc) != 1:
        return ""
    schema = kind.model_json_schema()["properties"][loc[0]]
    several = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(several) > 1:
        return f". Allowed: {' or '.join(one.get('type', 'value') for one in several)}"
    schema = several[0] if several else schema
    if "enum" in schema:
        return f". Allowed: {', '.join(map(str, schema['enum']))}"
    return f". Allowed: {schema.get('type', 'value')}{_range(schema)}"


def _range(schema: Mapping[str, Any]) -> str:
    low = schema.get("minimum", f"more than {schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", "2^63 - 1" if "exclusiveMaximum" in schema else None)
    return f" from {low} to {high}" if high is not None else "" if low is None else f", {low}"
