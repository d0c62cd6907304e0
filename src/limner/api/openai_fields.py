"""The fields of the OpenAI Images wire: their types and bounds, and reading them from JSON or a form.

Owns what OpenAI itself defines plus the extensions every model shares (``seed``, ``timeout``, ``lora``); what else
the body holds are the model's own parameters, which the catalogue judges.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from limner.catalogue.spec import ModelSpec, ParamSpec
from limner.core import Lora, ParamValue, Size, Warning
from limner.errors import InvalidRequest, MissingParameter

Quality = Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"]
TAKEN_WITHOUT_EFFECT: Mapping[str, tuple[object, ...]] = {
    # field -> values that ask for nothing special and so need no warning
    "quality": ("auto",),
    "style": (),
    "moderation": ("auto",),
    "input_fidelity": (),
}


class ImageFields(BaseModel):
    """What generations and edits have in common. None and absent mean the same."""

    model_config = ConfigDict(extra="allow", frozen=True)

    prompt: str | None = None
    model: str | None = None
    n: int | None = Field(None, ge=1, le=10)
    size: str | None = None
    quality: Quality | None = None
    style: Literal["vivid", "natural"] | None = None
    moderation: Literal["auto", "low"] | None = None
    input_fidelity: Literal["low", "high"] | None = None
    background: Literal["auto", "opaque", "transparent"] | None = None
    response_format: Literal["b64_json", "url"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: int | None = Field(None, ge=0, le=100)
    partial_images: int | None = Field(None, ge=0, le=3)
    stream: bool | None = None
    user: str | None = None
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
                f"Invalid size format: {self.size!r}. Expected format: 'WIDTHxHEIGHT', such as '1024x1024', or 'auto'",
                param="size",
            ) from error

    def without_effect(self) -> tuple[Warning, ...]:
        """A warning for every OpenAI parameter that was given and that no model here acts on."""
        given = {name: getattr(self, name) for name in TAKEN_WITHOUT_EFFECT}
        return tuple(
            Warning(name, "ignored", f"{name!r} has no effect: the models of this server do not have it")
            for name, value in given.items()
            if value is not None and value not in TAKEN_WITHOUT_EFFECT[name]
        )


def read_json(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises InvalidRequest."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"the body must be a JSON object, not {type(value).__name__}")
    return value


def flatten(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Lift a literal ``extra_body`` object (or its JSON text, in a form) to the top and drop nulls.

    Raises InvalidRequest for a key that stands in both places with different values.
    """
    flat = {key: value for key, value in fields.items() if value is not None}
    nested = flat.pop("extra_body", {})
    if isinstance(nested, str):
        nested = read_json(nested.encode())
    if not isinstance(nested, dict):
        raise InvalidRequest(f"'extra_body' must be an object, not {nested!r}", param="extra_body")
    for key, value in nested.items():
        if value is None:
            continue
        if key in flat and flat[key] != value and str(flat[key]) != str(value):
            raise InvalidRequest(
                f"{key!r} is given twice with different values: {flat[key]!r} at the top and {value!r} in extra_body",
                param=key,
            )
        flat[key] = value
    return flat


def parse(fields: Mapping[str, Any], *, from_form: bool) -> ImageFields:
    """Check types and bounds; form values are text and are read as such, JSON values must have their type.

    Raises InvalidRequest naming the parameter, the value and what is allowed.
    """
    cleaned = dict(fields)
    if isinstance(cleaned.get("output_format"), str):
        cleaned["output_format"] = cleaned["output_format"].strip().lower().replace("jpg", "jpeg")
    try:
        parsed = ImageFields.model_validate(cleaned, strict=not from_form)
    except ValidationError as error:
        raise _explain(error) from error
    if parsed.prompt is None:
        raise MissingParameter("Missing required parameter: 'prompt'", param="prompt")
    return parsed


def model_params(parsed: ImageFields, spec: ModelSpec, *, from_form: bool) -> dict[str, ParamValue]:
    """The model's own parameters among the fields; text from a form becomes the type that the model's table says."""
    params: dict[str, Any] = dict(parsed.model_extra or {})
    loras = params.pop("lora", None)
    if from_form:
        params = {name: _from_text(value, spec.params.get(name)) for name, value in params.items()}
    if loras is not None:
        params["lora"] = _loras(loras)
    return params


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


def _loras(value: Any) -> tuple[Lora, ...]:
    """``{"path"|"name", "scale"}``, its JSON text, or a list of them."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            value = {"path": value}
    return tuple(_lora(item) for item in (value if isinstance(value, list) else [value]))


def _lora(item: Any) -> Lora:
    allowed = "an object with 'path' (or 'name') and optionally 'scale'"
    if not isinstance(item, dict) or not set(item) <= {"name", "path", "local_path", "scale"}:
        raise InvalidRequest(f"Invalid value for 'lora': {item!r}; allowed: {allowed}", param="lora")
    path = item.get("path") or item.get("local_path") or item.get("name")
    scale = item.get("scale", 1.0)
    if not isinstance(path, str) or isinstance(scale, bool) or not isinstance(scale, int | float):
        raise InvalidRequest(f"Invalid value for 'lora': {item!r}; allowed: {allowed}", param="lora")
    return Lora(path, float(scale), item.get("name") if isinstance(item.get("name"), str) else None)


def _explain(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False)[0]
    param = ".".join(str(part) for part in _path(first["loc"]))
    shown = repr(first.get("input"))
    shown = shown if len(shown) <= 200 else shown[:200] + "..."
    return InvalidRequest(f"Invalid value for {param!r}: {shown}. {first['msg']}", param=param)


def _path(loc: Iterable[int | str]) -> list[int | str]:
    return list(loc)
