"""A model's parameters as JSON Schema, for API documents and generated clients.

Owns that rendering; the same table is rendered for people by `docs` and as a descriptor by `describe`.
"""

from collections.abc import Callable, Mapping
from typing import Final

from limner.catalogue.describe import Json, jsonable
from limner.catalogue.spec import ModelSpec, ParamSpec
from limner.catalogue.values import MAX_LORA_PATH_CHARS, MAX_LORAS

SIZE_PATTERN: Final = "^[1-9][0-9]{0,5}[xX][1-9][0-9]{0,5}$"
PICTURE: Final[dict[str, Json]] = {"type": "string", "description": "A data: URL, an http(s) URL or base64."}


def schema(spec: ModelSpec) -> dict[str, Json]:
    """The object that holds the parameters of ``spec`` under its own names; nothing else is taken in it."""
    required: list[Json] = [param.name for param in spec.params.values() if _must_be_given(param)]
    return {
        "title": spec.title,
        "description": f"Parameters of {spec.id}.",
        "type": "object",
        "properties": {name: _property(param) for name, param in spec.params.items()},
        "required": required,
        "additionalProperties": False,
    }


def _must_be_given(param: ParamSpec) -> bool:
    """The prompt usually stands elsewhere in a request, in its messages; what one operation needs, others lack."""
    return param.required and param.default is None and param.field != "prompt" and not param.operations


def _property(param: ParamSpec) -> dict[str, Json]:
    """One parameter's schema: what is allowed, then what to know of it."""
    about: dict[str, Json] = {"description": _description(param)}
    if param.default is not None:
        about["default"] = jsonable(param.default)
    return {**_TYPES[param.type](param), **about}


def _description(param: ParamSpec) -> str:
    remarks = (
        param.description,
        f"Without effect: {param.ignored}." if param.ignored else "",
        f"Without effect when {param.ignored_when} holds or is given." if param.ignored_when else "",
        f"Always {param.forced}." if param.forced is not None else "",
    )
    return " ".join(filter(None, remarks))


def _number(param: ParamSpec) -> dict[str, Json]:
    bounds = {"minimum": param.minimum, "maximum": param.maximum}
    found: dict[str, Json] = {"type": param.type}
    found |= {name: int(bound) if bound.is_integer() else bound for name, bound in bounds.items() if bound is not None}
    if param.step is not None and not (param.minimum or 0.0) % param.step:  # steps count from the minimum
        found["multipleOf"] = int(param.step) if param.step.is_integer() else param.step
    return found


def _string(param: ParamSpec) -> dict[str, Json]:
    return {"type": "string"} if param.maximum is None else {"type": "string", "maxLength": int(param.maximum)}


def _size(param: ParamSpec) -> dict[str, Json]:
    labels: list[Json] = list(dict.fromkeys((*param.choices, *param.sizes, *param.scales)))
    free: dict[str, Json] = {"type": "string", "pattern": SIZE_PATTERN}
    return {"anyOf": [free, {"enum": labels}]} if labels else free


def _images(param: ParamSpec) -> dict[str, Json]:
    several: dict[str, Json] = {"type": "array", "items": PICTURE}
    if param.maximum is not None:
        several["maxItems"] = int(param.maximum)
    return {"anyOf": [PICTURE, several]}


def _loras(param: ParamSpec) -> dict[str, Json]:
    scale: dict[str, Json] = {"type": "number", "minimum": param.minimum, "maximum": param.maximum, "default": 1.0}
    path: dict[str, Json] = {"type": "string", "minLength": 1, "maxLength": MAX_LORA_PATH_CHARS}
    one: dict[str, Json] = {
        "type": "object",
        "properties": {"path": path, "local_path": path, "name": path, "scale": scale},
        "additionalProperties": False,
    }
    return {"anyOf": [one, {"type": "array", "items": one, "maxItems": MAX_LORAS}]}


_TYPES: Final[Mapping[str, Callable[[ParamSpec], dict[str, Json]]]] = {
    "integer": _number,
    "number": _number,
    "string": _string,
    "boolean": lambda param: {"type": "boolean"},
    "enum": lambda param: {"type": "string", "enum": list(param.choices)},
    "size": _size,
    "images": _images,
    "mask": lambda param: dict(PICTURE),
    "loras": _loras,
}
