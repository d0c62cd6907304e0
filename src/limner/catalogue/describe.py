"""Specs and resolved requests as plain JSON values.

Owns what ``/v1/models``, replies and forms show; decides nothing.
"""

import math
from typing import TypeAlias

from limner.catalogue.spec import ModelSpec, ParamSpec, SizeRules
from limner.core import Operation, ParamValue, Request

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


def describe(spec: ModelSpec) -> dict[str, Json]:
    """The entry of one model in ``/v1/models``: OpenAI's keys, then what a form or a client needs to know."""
    return {
        "id": spec.id,
        "object": "model",
        "created": spec.created,
        "owned_by": "limner",
        "aliases": list(spec.aliases),
        "family": spec.family,
        "title": spec.title,
        "operations": [operation.value for operation in spec.sorted_operations],
        "parameters": {name: _parameter(param) for name, param in spec.params.items()},
        "sizes": _sizes(spec.sizes),
        "limits": {"max_images": spec.max_images, "max_n": spec.max_n, "max_prompt_chars": spec.max_prompt_chars},
        "licence": spec.licence,
        "notes": list(spec.notes),
        "price_per_image": _whole(spec.price_per_image),
    }


def effective(request: Request, spec: ModelSpec) -> dict[str, Json]:
    """What a resolved ``request`` really does, to be echoed: size, seeds and every parameter that takes effect."""
    assert request.size is not None, "only resolved requests are echoed"
    assert request.seed is not None, "only resolved requests are echoed"
    shown = {name: jsonable(value) for name, value in request.params.items() if name in spec.params}
    return {
        "size": str(request.size),
        "seed": request.seed,
        "seeds": [request.seed + index for index in range(request.n)],
        **shown,
    }


def jsonable(value: ParamValue) -> Json:
    """A parameter's value as JSON; adapters become objects."""
    if isinstance(value, tuple):
        return [{"path": lora.path, "scale": lora.scale, "name": lora.name} for lora in value]
    return value


def _parameter(param: ParamSpec) -> dict[str, Json]:
    """``type``, ``description`` and ``default`` always; everything else only where it says something."""
    optional: dict[str, Json] = {
        "minimum": param.minimum,
        "maximum": param.maximum,
        "step": param.step,
        "choices": list(param.choices) or None,
        "required": param.required or None,
        "forced": jsonable(param.forced),
        "ignored": param.ignored,
        "ignored_when": param.ignored_when,
        "caution": param.caution,
        "operations": [op.value for op in Operation if op in param.operations] or None,
        "defaults": {op.value: jsonable(value) for op, value in param.defaults.items()} or None,
        "labels": dict(param.labels) or None,
        "sizes": {value: None if size is None else str(size) for value, size in param.sizes.items()} or None,
        "scales": {value: _whole(factor) for value, factor in param.scales.items()} or None,
        "excludes": list(param.excludes) or None,
        "cost_factors": {value: _whole(factor) for value, factor in param.cost_factors.items()} or None,
        "field": None if param.field == param.name else param.field,
    }
    head: dict[str, Json] = {"type": param.type, "description": param.description, "default": jsonable(param.default)}
    return head | {name: _whole(value) for name, value in optional.items() if value is not None}


def _whole(value: Json) -> Json:
    """Bounds are floats inside; ``200`` reads better than ``200.0``."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _sizes(rules: SizeRules) -> dict[str, Json]:
    return {
        "default": str(rules.default),
        "multiple": rules.multiple,
        "min_side": rules.min_side_px,
        "max_side": rules.max_side_px,
        "max_pixels": rules.max_pixels,
        "edit_pixels": rules.edit_pixels,
        "choices": [str(size) for size in rules.choices],
        "min_input_side": rules.min_input_px,
        "native": None if rules.native is None else str(rules.native),
        "max_input_ratio": _whole(rules.max_input_ratio) if math.isfinite(rules.max_input_ratio) else None,
    }
