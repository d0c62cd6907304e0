"""What a client may ask about the server itself: its models and its health."""

from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.gateway import gateway_of
from limner.catalogue import describe
from limner.errors import NotFound, NotReady
from limner.roster import ServedModel

router = APIRouter(tags=["Server"])


@router.head("/v1/models", include_in_schema=False)
@router.get("/v1/models")
async def models(http: HttpRequest) -> Response:
    """The served models with their parameters, sizes and limits."""
    served = [_entry(model) for model in gateway_of(http).service.roster]
    return _json({"object": "list", "data": served})


@router.head("/v1/models/{model_id:path}", include_in_schema=False)
@router.get("/v1/models/{model_id:path}")
async def model(http: HttpRequest, model_id: str) -> Response:
    """One served model, by id or alias."""
    if not model_id:
        raise NotFound("no such path: /v1/models/; the list is at /v1/models")
    return _json(_entry(gateway_of(http).service.roster.find(model_id)))


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health(http: HttpRequest) -> Response:
    """200 when the default model can be used, 503 while it loads or after it has died."""
    try:
        roster = gateway_of(http).service.roster
    except NotReady:
        return _json({"status": "loading", "model": None, "ready": False, "models": []}, status=503)
    states = [{"id": m.spec.id, "state": m.state, "error": str(m.error) if m.error else None} for m in roster]
    state = roster.default.state
    body = {
        "status": "ok" if state == "ready" else state,
        "model": roster.default.spec.id,
        "ready": state == "ready",
        "models": states,
    }
    return _json(body, status=200 if state == "ready" else 503)


def _entry(model: ServedModel) -> dict[str, Any]:
    return {**describe(model.spec), "state": model.state}


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")
