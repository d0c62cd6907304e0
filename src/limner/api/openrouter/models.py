"""The served models as OpenRouter lists those that draw: ``GET /api/v1/images/models`` and each one's endpoints.

Owns how a model's table reads in OpenRouter's capabilities. An API whose parameters have one name for all models shows
a tier as ``resolution`` and the number of references as ``input_references``; what else a model takes keeps its name.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.gateway import gateway_of
from limner.api.openrouter import docs as openrouter_docs
from limner.api.openrouter.routes import REFERENCES
from limner.api.shapes import TIER_WORDS, has_shape_words, tiers_of
from limner.catalogue.spec import ModelSpec, ParamSpec
from limner.core import Operation
from limner.errors import ModelNotFound
from limner.roster import ServedModel

router = APIRouter(tags=["OpenRouter"])
PROVIDER: Final = "limner"
DRAWING: Final = frozenset({Operation.GENERATE, Operation.EDIT})
RATIOS: Final = ("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "4:5", "5:4", "21:9")
"""Of the proportions that models take which draw any size."""

SUPPORTED: Final[Mapping[str, Any]] = {"type": "boolean"}
SAID_ALREADY: Final = frozenset({"prompt", "n", "size", "width", "height", "mask"})
COMMON: Final[Mapping[str, Any]] = {
    "seed": SUPPORTED,
    "size": SUPPORTED,
    "output_format": {"type": "enum", "values": ["png", "jpeg", "webp"]},
    "output_compression": {"type": "range", "min": 0, "max": 100},
}


@router.get("/api/v1/images/models", openapi_extra=openrouter_docs.MODELS)
async def models(http: HttpRequest) -> Response:
    """The served models that draw, with what each takes."""
    roster = gateway_of(http).service.roster
    return _json({"data": [_listed(model) for model in roster if draws(model)]})


@router.get("/api/v1/images/models/{model_id:path}/endpoints", openapi_extra=openrouter_docs.ENDPOINTS)
async def endpoints(http: HttpRequest, model_id: str) -> Response:
    """One of them, by id or alias, as the one endpoint that it has here."""
    model = gateway_of(http).service.roster.find(model_id)
    if not draws(model):
        raise ModelNotFound(f"model {model.spec.id!r} draws no pictures", param="model")
    return _json({"id": model.spec.id, "endpoints": [_endpoint(model.spec)]})


def draws(model: ServedModel) -> bool:
    """Whether ``POST /api/v1/images`` can be sent to it."""
    return not DRAWING.isdisjoint(model.spec.operations)


def capabilities(spec: ModelSpec) -> dict[str, Any]:
    """What the model takes, each as an enum, a range, or as taken ("boolean")."""
    found: dict[str, Any] = {"n": {"type": "range", "min": 1, "max": spec.max_n}, **COMMON}
    if spec.max_images:
        found[REFERENCES] = {"type": "range", "min": 0, "max": spec.max_images}
    if not has_shape_words(spec):
        found["aspect_ratio"] = {"type": "enum", "values": list(RATIOS)}
        found["resolution"] = {"type": "enum", "values": list(tiers_of(spec))}
    return {**found, **dict(_own(spec))}


def _own(spec: ModelSpec) -> Iterator[tuple[str, Any]]:
    for param in spec.params.values():
        if param.field in SAID_ALREADY or param.type in ("images", "mask"):
            continue
        if param.ignored is None and param.forced is None:
            tier = param.name in TIER_WORDS and bool(param.scales)
            yield "resolution" if tier else (param.field or param.name), _capability(param)


def _capability(param: ParamSpec) -> Mapping[str, Any]:
    values = list(param.choices or param.sizes or param.scales)
    if values:
        return {"type": "enum", "values": values}
    if param.type in ("integer", "number") and param.minimum is not None and param.maximum is not None:
        return {"type": "range", "min": param.minimum, "max": param.maximum}
    return SUPPORTED


def _listed(model: ServedModel) -> dict[str, Any]:
    spec = model.spec
    return {
        "id": spec.id,
        "name": spec.title,
        "created": spec.created,
        "description": " ".join(spec.notes),
        "architecture": {
            "input_modalities": ["text", "image"] if spec.max_images else ["text"],
            "output_modalities": ["image"],
        },
        "supported_parameters": capabilities(spec),
        "supports_streaming": True,
        "endpoints": f"/api/v1/images/models/{spec.id}/endpoints",
    }


def _endpoint(spec: ModelSpec) -> dict[str, Any]:
    price = spec.price_per_image
    priced = [] if price is None else [{"billable": "output_image", "unit": "image", "cost_usd": price}]
    return {
        "provider_name": PROVIDER,
        "provider_slug": PROVIDER,
        "provider_tag": PROVIDER,
        "supported_parameters": capabilities(spec),
        "allowed_passthrough_parameters": [],
        "supports_streaming": True,
        "pricing": priced,
    }


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
