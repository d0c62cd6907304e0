"""What a client may ask about the server's models."""

from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api import server_docs
from limner.api.gateway import gateway_of
from limner.api.gemini import models as google
from limner.api.paths import MODEL
from limner.catalogue import describe, schema
from limner.errors import NotFound
from limner.roster import ServedModel

router = APIRouter(tags=["Server"])


@router.head("/v1/models", include_in_schema=False)
@router.get("/v1/models", openapi_extra=server_docs.MODELS)
async def models(http: HttpRequest) -> Response:
    """The served models with their parameters, sizes and limits."""
    if google.is_googles(http):
        return google.listing(http)
    served = [_entry(model) for model in gateway_of(http).service.roster]
    return _json({"object": "list", "data": served})


@router.head(f"/v1/models/{MODEL}", include_in_schema=False)
@router.get(f"/v1/models/{MODEL}", openapi_extra=server_docs.MODEL)
async def model(http: HttpRequest, model_id: str) -> Response:
    """One served model, by id or alias, with its parameters as JSON Schema."""
    if not model_id:
        raise NotFound("no such path: /v1/models/; the list is at /v1/models")
    if google.is_googles(http):
        return google.one(http, model_id)
    found = gateway_of(http).service.roster.find(model_id)
    return _json({**_entry(found), "schema": schema(found.spec)})


def _entry(model: ServedModel) -> dict[str, Any]:
    stand_in = None if model.stand_in is None else model.stand_in.spec.id
    return {**describe(model.spec), "state": model.state, "stand_in": stand_in}


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
