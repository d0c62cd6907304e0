"""The fields of the OpenAI Images wire: their types and bounds, and reading them from JSON or a form.

Owns what OpenAI itself defines plus the extensions every model shares (``seed``, ``timeout``, ``lora``) and vLLM-Omni's
``layers``; what else the body holds are the model's own parameters, which the catalogue judges.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from limner.api.validation import checked_fields
from limner.catalogue.spec import ModelSpec, ParamSpec
from limner.catalogue.values import SHOWN_CHARS, shown
from limner.core import Lora, ParamValue, Size, Warning
from limner.errors import InvalidRequest, TooLarge

# OpenAI's values of fields that a model's own table may have, too: with other values, and for the catalogue to judge.
QUALITIES = ("auto", "low", "medium", "high", "xhigh", "max", "standard", "hd")
STYLES = ("vivid", "natural")
MAX_JSON_VALUES = 100_000
MAX_JSON_DEPTH = 100  # what writes JSON again, or compares it, gives up at a few hundred
LORA_NAMES = ("path", "local_path", "name")  # the first that is given says where the adapter lies
TAKEN_WITHOUT_EFFECT: Mapping[str, tuple[object, ...]] = {
    # field, where the model's table lacks it -> values that ask for nothing special and so need no warning
    "quality": ("auto",),
    "style": (),
    "moderation": ("auto",),
    "input_fidelity": (),
    "layers": (),
}


class ImageFields(BaseModel):
    """What generations and edits have in common. None and absent mean the same."""

    model_config = ConfigDict(extra="allow", frozen=True)

    prompt: str | None = None
    model: str | None = None
    n: int | None = Field(None, ge=1, le=10)
    size: str | None = None
    quality: Annotated[str, WithJsonSchema({"type": "string", "enum": list(QUALITIES)})] | None = None
    style: Annotated[str, WithJsonSchema({"type": "string", "enum": list(STYLES)})] | None = None
    moderation: Literal["auto", "low"] | None = None
    input_fidelity: Literal["low", "high"] | None = None
    background: Literal["auto", "opaque", "transparent"] | None = None
    response_format: Literal["b64_json", "url"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: int | None = Field(None, ge=0, le=100)
    partial_images: int | None = Field(None, ge=0, le=3)
    stream: bool | None = None
    user: str | None = None
    layers: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    timeout: float | None = Field(None, gt=0, allow_inf_nan=False)

    def parsed_size(self) -> Size | None:
        """The size asked for; None for absent or ``auto``. Raises InvalidRequest."""
        if self.size is None or self.size.strip().lower() == "auto":
            return None
        try:
            return Size.parse(self.size)
        except ValueError as error:
            raise InvalidRequest(
                f"Invalid size format: {shown(self.size)}. Expected format: 'WIDTHxHEIGHT' like '1024x1024', or 'auto'",
                param="size",
            ) from error

    def without_effect(self, spec: ModelSpec) -> tuple[Warning, ...]:
        """A warning for every parameter of the wire that was given and that the model does not act on. Raises
        InvalidRequest for a value of such a one that OpenAI does not have either."""
        given = {name: getattr(self, name) for name in TAKEN_WITHOUT_EFFECT if name not in spec.params}
        for name, values in (("quality", QUALITIES), ("style", STYLES)):
            if given.get(name) not in (None, *values):
                allowed = ", ".join(values)
                raise InvalidRequest(
                    f"Invalid value for {name!r}: {shown(given[name])}. Allowed: {allowed}", param=name
                )
        reasons = {
            name: f"{spec.id} does not have it"
            for name, value in given.items()
            if value is not None and value not in TAKEN_WITHOUT_EFFECT[name]
        }
        if self.output_compression is not None and self.output_format in (None, "png"):
            reasons["output_compression"] = "png is lossless; ask for jpeg or webp"
        if self.stream and self.response_format == "url":
            reasons["response_format"] = "a stream carries the pictures themselves"
        told = (Warning(name, "ignored", f"{name!r} has no effect: {why}") for name, why in reasons.items())
        return (*told, *unstreamed(self.partial_images, stream=self.stream))


def unstreamed(count: int | None, param: str = "partial_images", *, stream: bool | None) -> tuple[Warning, ...]:
    """Says so where ``count`` partial pictures, which ``param`` asks for, have no stream to come in."""
    if not count or stream:
        return ()
    message = f"{param!r} has no effect: partial pictures come in a stream; ask for stream=true"
    return (Warning(param, "ignored", message),)


def read_json(body: bytes, param: str | None = None) -> dict[str, Any]:
    """A JSON object of at most MAX_JSON_VALUES values, nested at most MAX_JSON_DEPTH deep. Raises InvalidRequest,
    TooLarge.

    The bound is on values because each takes far more memory than its text: a body of brackets would fill it.
    """
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_JSON_VALUES:
        raise TooLarge(f"the JSON has more than {MAX_JSON_VALUES} values", param=param)
    where = "the body" if param is None else repr(param)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"{where} is not valid JSON: {error}", param=param) from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} must be a JSON object, not {type(value).__name__}", param=param)
    if _is_deeper(value, MAX_JSON_DEPTH):
        raise InvalidRequest(f"{where} is nested more than {MAX_JSON_DEPTH} deep", param=param)
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    """Whether objects and lists stand more than ``depth`` deep in each other, ``value`` itself being the first."""
    level = [value]
    for _ in range(depth):
        if not level:
            return False
        inside = (part for one in level for part in (one.values() if isinstance(one, dict) else one))
        level = [part for part in inside if isinstance(part, dict | list)]
    return bool(level)


def flatten(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Lift a literal ``extra_body`` object (or its JSON text, in a form) to the top and drop nulls.

    Raises InvalidRequest for a key that stands in both places with different values, and for text that is no Unicode.
    """
    flat = {key: value for key, value in fields.items() if value is not None}
    nested = flat.pop("extra_body", {})
    if isinstance(nested, str):
        nested = read_json(nested.encode("utf-8", "replace"), "extra_body")
    if not isinstance(nested, dict):
        raise InvalidRequest(f"'extra_body' must be an object, not {shown(nested)}", param="extra_body")
    for key, value in nested.items():
        if value is None:
            continue
        if key in flat and flat[key] != value and str(flat[key]) != str(value):
            raise InvalidRequest(
                f"{shown(key)} is given twice with different values: {shown(flat[key])} at the top and {shown(value)} "
                "in extra_body",
                param=key[:SHOWN_CHARS],
            )
        flat[key] = value
    for key, value in flat.items():
        _require_unicode(key, value)
    return flat


def _require_unicode(key: str, value: object) -> None:
    try:
        key.encode()
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{shown(key)} holds half a surrogate pair, which is no text", param=None) from error


def parse(fields: Mapping[str, Any], *, from_form: bool) -> ImageFields:
    """Check types and bounds; form values are text and are read as such, JSON values must have their type.

    Raises InvalidRequest naming the parameter, the value and what is allowed.
    """
    cleaned = dict(fields)
    if isinstance(cleaned.get("output_format"), str):
        cleaned["output_format"] = cleaned["output_format"].strip().lower().replace("jpg", "jpeg")
    if not from_form:
        return checked_fields(ImageFields, cleaned)
    try:
        return ImageFields.model_validate(cleaned)
    except ValidationError as error:
        raise _explain(error) from error


def model_params(parsed: ImageFields, spec: ModelSpec, *, from_form: bool) -> dict[str, ParamValue]:
    """The model's own parameters among the fields; text from a form becomes the type that the model's table says."""
    params: dict[str, Any] = {**_of_table(parsed, spec), **(parsed.model_extra or {})}
    loras = params.pop("lora", None)
    if from_form:
        params = {name: _from_text(value, spec.params.get(name)) for name, value in params.items()}
    if loras is not None:
        params["lora"] = read_loras(loras)
    return params


def _of_table(parsed: ImageFields, spec: ModelSpec) -> dict[str, Any]:
    """OpenAI's fields that the model's table has, too. One that asks for nothing special is left to the table's default
    where the model does not know the word for that."""
    given = {name: getattr(parsed, name) for name in TAKEN_WITHOUT_EFFECT if name in spec.params}
    return {
        name: value
        for name, value in given.items()
        if value not in TAKEN_WITHOUT_EFFECT[name] or value in spec.params[name].choices
    }


def _from_text(value: Any, param: ParamSpec | None) -> Any:
    if param is None or not isinstance(value, str):
        return value
    match param.type:
        case "integer" | "number":
            try:
                return int(value) if param.type == "integer" else float(value)
            except ValueError:
                return value  # the catalogue refuses it by name
        case "boolean" if value.lower() in ("true", "1", "false", "0"):
            return value.lower() in ("true", "1")
        case _:
            return value


def read_loras(value: Any) -> tuple[Lora, ...]:
    """``{"path"|"name", "scale"}``, its JSON text, or a list of them. In it, too, None and absent mean the same."""
    if isinstance(value, str):
        value = _from_json(value)
    return tuple(_lora(item) for item in (value if isinstance(value, list) else [value]))


def _from_json(text: str) -> Any:
    """The object or list that ``text`` is; any other text is a path."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = text
    return value if isinstance(value, dict | list) else {"path": text}


def _lora(item: Any) -> Lora:
    allowed = f"an object with one of {', '.join(LORA_NAMES)} and optionally 'scale'"
    refused = InvalidRequest(f"Invalid value for 'lora': {shown(item)}; allowed: {allowed}", param="lora")
    if not isinstance(item, dict) or not set(item) <= {*LORA_NAMES, "scale"}:
        raise refused
    item = {key: value for key, value in item.items() if value is not None}
    names = [item[key] for key in LORA_NAMES if key in item]
    scale = item.get("scale", 1.0)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise refused
    if isinstance(scale, bool) or not isinstance(scale, int | float):
        raise refused
    return Lora(names[0], float(scale), item.get("name"))


def _explain(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False)[0]
    param = str(first["loc"][0])
    return InvalidRequest(
        f"Invalid value for {param!r}: {shown(first.get('input'))}. {first['msg']}. Allowed: {_allowed(param)}",
        param=param,
    )


def _allowed(param: str) -> str:
    """The field's own schema in words: its type and bounds, or its values."""
    (schema, *_) = ImageFields.model_json_schema()["properties"][param]["anyOf"]
    if "enum" in schema:
        return ", ".join(schema["enum"])
    low = schema.get("minimum", f"more than {schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", "2^63 - 1" if "exclusiveMaximum" in schema else None)
    bounds = f" from {low} to {high}" if high is not None else "" if low is None else f", {low}"
    return f"{schema.get('type', 'value')}{bounds}"
