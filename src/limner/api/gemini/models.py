"""The served models as Google's clients list them.

Owns the shape and the pages; ``/v1/models`` is OpenAI's list, unless a client says that it is one of Google's.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.gateway import gateway_of
from limner.api.replies import TEXT_TOKEN_BYTES
from limner.catalogue.values import shown
from limner.core import Operation
from limner.errors import InvalidRequest
from limner.roster import ServedModel

CLIENT = "x-goog-api-client"  # every SDK of Google's names itself here
DEFAULT_PAGE, MAX_PAGE = 50, 1000


def is_googles(http: HttpRequest) -> bool:
    """Whether the client is one of Google's SDKs."""
    return CLIENT in http.headers


def listing(http: HttpRequest) -> Response:
    """A page of the models. Raises InvalidRequest for a page that cannot be."""
    models = list(gateway_of(http).service.roster)
    size = min(_number(http, "pageSize", "page_size") or DEFAULT_PAGE, MAX_PAGE)
    start = _number(http, "pageToken", "page_token", blank="0") or 0
    page: dict[str, Any] = {"models": [entry(model) for model in models[start : start + size]]}
    if start + size < len(models):
        page["nextPageToken"] = str(start + size)
    return _json(page)


def one(http: HttpRequest, name: str) -> Response:
    """One model, by id or alias. Raises ModelNotFound."""
    return _json(entry(gateway_of(http).service.roster.find(name)))


def entry(model: ServedModel) -> dict[str, Any]:
    """One model of the list."""
    spec = model.spec
    return {
        "name": f"models/{spec.id}",
        "baseModelId": spec.id,
        "version": spec.family,
        "displayName": spec.title,
        "description": " ".join(spec.notes),
        "inputTokenLimit": spec.max_prompt_chars // TEXT_TOKEN_BYTES,
        "outputTokenLimit": spec.max_n * -(-spec.sizes.max_pixels // 1024),
        "supportedGenerationMethods": list(_methods(spec.operations)),
    }


def _methods(operations: Sequence[Operation] | frozenset[Operation]) -> Sequence[str]:
    methods = ["generateContent", "streamGenerateContent", "countTokens"]
    return [*methods, "predict"] if Operation.GENERATE in operations else methods


def _number(http: HttpRequest, *names: str, blank: str = "") -> int | None:
    """A whole number from the query, in either case; nothing stands for ``blank``. None where it is not there."""
    for name in names:
        text = http.query_params.get(name)
        if text is None:
            continue
        digits = text or blank
        if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
            raise InvalidRequest(f"Invalid value for {name!r}: {shown(text)}. Allowed: a whole number", param=name)
        return int(digits)
    return None


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
