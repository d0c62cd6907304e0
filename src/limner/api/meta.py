"""What a client may ask about the server's models."""

from typing import Any

import orjson
from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request as HttpRequest
from starlette.responses import RedirectResponse, Response

from limner.api import server_docs
from limner.api.gateway import gateway_of
from limner.api.gemini import models as google
from limner.api.paths import MODEL
from limner.catalogue import describe, schema
from limner.catalogue.load import Virtual
from limner.core import Operation
from limner.errors import NotFound
from limner.roster import Roster, ServedModel

router = APIRouter(tags=["Server"])
PAGE_FILES = "docs/static"
PAGE_PACKAGE = ("fastapi_offline", "static")  # Swagger UI's script and style, with their folder


@router.head("/", include_in_schema=False)
@router.get("/", include_in_schema=False)
async def front() -> Response:
    """Whoever opens the server's address in a browser is shown what it can do."""
    return RedirectResponse("docs")  # relative: a proxy may serve all of this under a prefix


@router.head("/docs", include_in_schema=False)
@router.get("/docs", include_in_schema=False)
async def page() -> Response:
    """`/openapi.json` to read and try out; all that the page needs comes from here, and by relative addresses too."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="limner",
        swagger_js_url=f"{PAGE_FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{PAGE_FILES}/swagger-ui.css",
        swagger_favicon_url=f"{PAGE_FILES}/favicon.png",
    )


@router.head("/v1/models", include_in_schema=False)
@router.get("/v1/models", openapi_extra=server_docs.MODELS)
async def models(http: HttpRequest) -> Response:
    """The served models with their parameters, sizes and limits, and the names that mean whichever fits."""
    if google.is_googles(http):
        return google.listing(http)
    roster = gateway_of(http).service.roster
    served = [_entry(model) for model in roster]
    return _json(
        {"object": "list", "data": [*served, *(_virtual(each, model, roster) for each, model in roster.virtual())]}
    )


@router.head(f"/v1/models/{MODEL}", include_in_schema=False)
@router.get(f"/v1/models/{MODEL}", openapi_extra=server_docs.MODEL)
async def model(http: HttpRequest, model_id: str) -> Response:
    """One served model, by id or alias, with its parameters as JSON Schema."""
    if not model_id:
        raise NotFound("no such path: /v1/models/; the list is at /v1/models")
    if google.is_googles(http):
        return google.one(http, model_id)
    roster = gateway_of(http).service.roster
    found = roster.find(model_id)
    named = next((each for each, _ in roster.virtual() if each.id.casefold() == model_id.casefold()), None)
    entry = _entry(found) if named is None else _virtual(named, found, roster)
    return _json({**entry, "schema": schema(found.spec)})


def _entry(model: ServedModel) -> dict[str, Any]:
    stand_in = None if model.stand_in is None else model.stand_in.spec.id
    return {**describe(model.spec), "state": model.state, "stand_in": stand_in}


def _virtual(name: Virtual, model: ServedModel, roster: Roster) -> dict[str, Any]:
    """A name that means whichever model fits: described as the one that it means for plain words, but able to do what
    all of them can."""
    able = {operation for each in roster for operation in each.spec.operations}
    own: dict[str, Any] = {"id": name.id, "title": name.title, "aliases": [], "licence": None, "notes": []}
    own["operations"] = [operation.value for operation in Operation if operation in able]
    return {**_entry(model), **own, "resolves_to": model.spec.id}


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
