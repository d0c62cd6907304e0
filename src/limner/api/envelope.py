"""How an error looks on the wire of the OpenAI-shaped dialects.

Owns one body that both kinds of client read: OpenAI's ``error`` object and FastAPI's ``detail``.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from limner.errors import LimnerError

MAX_MESSAGE_CHARS = 1000  # whatever a client sent, a refusal does not send it all back
MAX_PARAM_CHARS = 100


def error_body(error: LimnerError) -> dict[str, Any]:
    """``{"error": {message, type, param, code}, "detail": message}``."""
    message = error.message[:MAX_MESSAGE_CHARS]
    param = None if error.param is None else error.param[:MAX_PARAM_CHARS]
    fields = {"message": message, "type": error.type, "param": param, "code": error.code}
    return {"error": fields, "detail": message}


def error_response(error: LimnerError, headers: Mapping[str, str] | None = None) -> Response:
    """The error with its status, ``headers``, and Retry-After (whole seconds, at least 1) where it has one."""
    headers = dict(headers or {})
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return Response(
        orjson.dumps(error_body(error)), status_code=error.status, headers=headers, media_type="application/json"
    )
