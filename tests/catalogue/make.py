"""Requests and pictures for the catalogue's tests."""

from dataclasses import replace
from typing import Any

from limner.catalogue import Catalogue, ModelSpec, Policy, Resolution, resolve
from limner.catalogue.images import image_params
from limner.catalogue.spec import LOCAL
from limner.core import Operation, ParamValue, Picture, Request, Size

CATALOGUE = Catalogue.builtin()
MODELS = CATALOGUE.models()
LOADABLE = tuple(spec for spec in MODELS if spec.loads is not None)
POLICY = Policy()
DRAWING = tuple(spec for spec in LOADABLE if spec.loads is not None and spec.loads.backend == LOCAL)
MASKED = (Operation.INPAINT,)
TOLD: dict[Operation, dict[str, ParamValue]] = {
    Operation.OUTPAINT: {"right": 64},
    Operation.REGION_EDIT: {"region": "the hat"},
}
"""What an operation must be told."""


def picture(width_px: int = 64, height_px: int = 64) -> Picture:
    return Picture("L", Size(width_px, height_px), bytes(width_px * height_px))


def needed(spec: ModelSpec) -> int:
    """How many pictures a request that has any must have."""
    return max(sum(param.required for param in image_params(spec)), 1)


def request(operation: Operation = Operation.GENERATE, **fields: Any) -> Request:
    """A request that any model takes: with a picture or a mask where the operation needs one."""
    inputs = () if operation is Operation.GENERATE else (picture(),)
    mask = picture() if operation in MASKED else None
    params = {**TOLD.get(operation, {}), **fields.pop("params", {})}
    return replace(Request(operation, "", "a red circle", inputs=inputs, mask=mask, params=params), **fields)


def ask(model: str | ModelSpec, operation: Operation = Operation.GENERATE, **fields: Any) -> Resolution:
    spec = CATALOGUE.get(model) if isinstance(model, str) else model
    unseen: dict[str, Any] = {"inputs": ()} if operation is Operation.DESCRIBE and not spec.max_images else {}
    return resolve(request(operation, **{**unseen, **fields}), spec, POLICY)


def ask_with(model: str | ModelSpec, operation: Operation = Operation.GENERATE, **params: ParamValue) -> Resolution:
    """The same, naming the model's own parameters."""
    return ask(model, operation, params=params)
