"""The Relay's routes: image endpoints, tasks, and what a key may ask about models, prices and its credits.

Owns these routes alone; jobs, keys and prices are the server's own.
"""

import time
from dataclasses import replace
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.accounts.usage import balance_of
from limner.api.a1111.mount import Detached, Mount
from limner.api.a1111.routes import router_of
from limner.api.a1111.samplers import is_kin
from limner.api.asking import read_object
from limner.api.calls import Wire, conduct
from limner.api.composing import model_for, require_pictures, to_request
from limner.api.direct import DirectRoute
from limner.api.doorkeeper import caller_of
from limner.api.gateway import gateway_of
from limner.api.manners import manners_of
from limner.api.queries import whole_number
from limner.api.relay import docs
from limner.api.relay.endpoints import A1111_MODEL, ENDPOINTS, LIMIT_S, Endpoint, brief_of, hook_of, parse
from limner.api.relay.errors import TASK
from limner.api.relay.replies import accepted_as, parse_address, reply_of, task_body, waiting
from limner.core import Operation, Request, Warning
from limner.errors import NotFound
from limner.roster import ServedModel
from limner.store.rows import MICRO

TAG = "Relay"
MAX_WAIT_S = 30
A1111 = Mount(
    prefix="/v2/automatic1111/sdapi/v1",
    tag=TAG,
    steps=20,
    model=A1111_MODEL,
    limit_s=LIMIT_S,
    detached=Detached(accepted=accepted_as("a1111"), hook=hook_of, waiting=waiting),
    error="RelayError",
    shown=("/txt2img", "/img2img"),  # the rest is at A1111's own paths
)
A1111_PATH = f"{A1111.prefix}/txt2img"
router = APIRouter(tags=[TAG], route_class=DirectRoute)


def _add(endpoint: Endpoint) -> None:
    async def draw(http: HttpRequest) -> Response:
        return await _answer(http, endpoint)

    words = "Change a picture" if endpoint.operation is Operation.EDIT else "Draw pictures"
    router.add_api_route(
        endpoint.path,
        draw,
        methods=["POST"],
        summary=f"{endpoint.title}: {words.lower()}",
        name=endpoint.path.removeprefix("/v2/image/").replace("/", "_"),
        description=f"{words} with {endpoint.model}.",
        openapi_extra=docs.drawing(endpoint),
    )


for _endpoint in ENDPOINTS:
    _add(_endpoint)


async def _answer(http: HttpRequest, endpoint: Endpoint) -> Response:
    """Draw what was asked for and answer with it, or with the task; see `conduct`."""
    gateway = gateway_of(http)
    fields = parse(await read_object(http, gateway.settings.max_body_bytes))
    edits = endpoint.operation is Operation.EDIT
    name, roster = fields.model or endpoint.model, gateway.service.roster
    spec = model_for(http, name, has_pictures=edits)
    require_pictures(http, spec, has_pictures=edits)
    most_s = gateway.settings.max_timeout_s
    waits = not (fields.asynchronous or manners_of(http).respond_async)
    brief = brief_of(endpoint, fields, spec, min(LIMIT_S, most_s) if waits else most_s)
    hook = hook_of(fields.webhook_url, gateway.settings) if fields.webhook_url else None

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        return await to_request(http, spec, replace(brief, operation=roster.operation_of(name)))

    wire = Wire(
        reply=reply_of(endpoint.holds),
        accepted=accepted_as(endpoint.holds),
        response_format="b64_json" if endpoint.holds == "b64" else "url",
    )
    return await conduct(http, spec.id, read, wire, detached=fields.asynchronous, hook=hook)


@router.get("/v2/tasks/{task_address}", openapi_extra=docs.TASK)
async def task(http: HttpRequest, task_address: str) -> Response:
    """A task as it is now; with ``?wait=SECONDS`` as soon as it has ended, or then."""
    gateway, caller = gateway_of(http), caller_of(http)
    wait_s = whole_number(http, "wait", 0, 1, MAX_WAIT_S)
    job_id, holds = parse_address(task_address)
    try:
        job = await gateway.service.find(job_id, caller)
    except NotFound as error:
        raise NotFound(error.message, param=TASK) from error
    if wait_s:
        await job.wait(wait_s)
    held = holds or ("b64" if job.handed_in.response_format == "b64_json" else "url")
    return Response(await task_body(gateway, job, held, gateway.links(http)), media_type="application/json")


@router.get("/v2/models", openapi_extra=docs.MODELS)
async def models(http: HttpRequest) -> Response:
    """The served models, with the endpoint that is meant for each."""
    listed = [_model(model) for model in gateway_of(http).service.roster]
    return _json({"models": listed, "count": len(listed)})


@router.get("/v2/pricing", openapi_extra=docs.PRICING)
async def pricing(http: HttpRequest) -> Response:
    """What each model costs, in credits: per picture, or per second of device time."""
    gateway = gateway_of(http)
    rate = gateway.settings.credits_per_device_s
    return _json({"currency": "credits", "models": [_price(model, rate) for model in gateway.service.roster]})


@router.get("/v2/customer/credits", openapi_extra=docs.CREDITS)
async def credits(http: HttpRequest) -> Response:
    """The key's credits; null where nothing is metered. They are charged when a job is done."""
    store, caller = gateway_of(http).service.store, caller_of(http)
    rows = await store.usage(key_id=caller.key_id, since_s=0.0, until_s=time.time() + 1)
    consumed = sum(row.cost_micro for row in rows) / MICRO
    key = next((key for key in await store.keys() if key.id == caller.key_id), None)
    balance = None if key is None else balance_of(key)
    left = None if balance is None else balance["credits"]
    return _json(
        {
            "balance": left,
            "total_consumed": consumed,
            "total_allocated": None if left is None else left + consumed,
            "reserved": None if balance is None else balance["reserved"],
        }
    )


def _model(model: ServedModel) -> dict[str, Any]:
    spec = model.spec
    places = [e.path for e in ENDPOINTS if e.model.casefold() == spec.id.casefold()]
    if not places and is_kin(spec):
        places = [A1111_PATH]
    return {
        "id": spec.id,
        "name": spec.title,
        "type": "T2I" if Operation.GENERATE in spec.operations else "I2I",
        "operations": [operation.value for operation in spec.sorted_operations],
        "endpoint": places[0] if places else None,
        "status": model.state,
        "stand_in": None if model.stand_in is None else model.stand_in.spec.id,
    }


def _price(model: ServedModel, rate: float) -> dict[str, Any]:
    price = model.spec.price_per_image
    return {
        "model": model.spec.id,
        "credits_per_image": price,
        "credits_per_device_second": rate if price is None else None,
    }


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


router.include_router(router_of(A1111))
