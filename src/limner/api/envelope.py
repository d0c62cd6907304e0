"""How an error looks on the wire of the OpenAI-shaped dialects.

Owns one body that both kinds of client read: OpenAI's ``error`` object and FastAPI's ``detail``.
"""

from typing import Any

import orjson
from starlette.responses import Response

from limner.errors import LimnerError


def error_body(error: LimnerError) -> dict[str, Any]:
    """``{"error": {message, type, param, code}, "detail": message}``."""
    fields = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return {"error": fields, "detail": error.message}


def error_response(error: LimnerError) -> Response:
    """The error with its status, and Retry-After (whole seconds, at least 1) where it has one."""
    headers = {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}
    return Response(
        orjson.dumps(error_body(error)), status_code=error.status, headers=headers, media_type="application/json"
    )
