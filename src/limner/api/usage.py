"""``GET /v1/usage``: what a key has used, or for those with the scope admin what everybody has."""

import time

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.accounts.keys import find_key
from limner.accounts.usage import Period, usage_report
from limner.api import server_docs
from limner.api.doorkeeper import caller_of
from limner.api.gateway import gateway_of
from limner.errors import Conflict, Forbidden, InvalidRequest, NotFound, UnknownParameter

router = APIRouter(tags=["Accounts"])
PARAMETERS = ("since", "until", "key")


@router.head("/v1/usage", include_in_schema=False)
@router.get("/v1/usage", openapi_extra=server_docs.USAGE)
async def usage(
    http: HttpRequest, since: str | None = None, until: str | None = None, key: str | None = None
) -> Response:
    """Jobs, pictures, device seconds and credits per key and model, of the last 30 days unless told otherwise.

    ``since`` and ``until`` are unix seconds or ISO 8601; ``key`` (an id, prefix or name) is for the scope admin.
    """
    caller_of(http).require("read")
    _refuse_others(http)
    period = Period.parse(since, until, time.time())
    report = await usage_report(gateway_of(http).service.store, period, await _key_id(http, key))
    return Response(orjson.dumps(report), media_type="application/json")


def _refuse_others(http: HttpRequest) -> None:
    for name in http.query_params:
        if name not in PARAMETERS:
            raise UnknownParameter(f"unknown parameter {name!r}; allowed: {', '.join(PARAMETERS)}", param=name)


async def _key_id(http: HttpRequest, key: str | None) -> str | None:
    """Whose usage is asked for, None for everybody's."""
    caller = caller_of(http)
    if not caller.sees_all:
        if key not in (None, caller.key_id):
            raise Forbidden("other keys' usage needs the scope 'admin'; leave out 'key' to see your own", param="key")
        return caller.key_id
    if key is None:
        return None
    try:
        return find_key(await gateway_of(http).service.store.keys(), key).id
    except (NotFound, Conflict) as error:
        raise InvalidRequest(error.message, param="key") from error
