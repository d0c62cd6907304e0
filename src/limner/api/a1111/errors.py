"""How an error looks to A1111's clients.

Owns that shape; bad values are 422 there.
"""

from collections.abc import Mapping

import orjson
from starlette.responses import Response

from limner.api.envelope import MAX_MESSAGE_CHARS, Envelope, error_headers
from limner.errors import InvalidRequest, LimnerError

PREFIX = "/sdapi/"


def status_of(error: LimnerError) -> int:
    """The error's own, but for bad values."""
    return 422 if isinstance(error, InvalidRequest) else error.status


def render(error: LimnerError, headers: Mapping[str, str] | None = None) -> Response:
    """``{"error": code, "detail": message, "body": "", "errors": message, "param"}``."""
    message = error.message[:MAX_MESSAGE_CHARS]
    body = {"error": error.code, "detail": message, "body": "", "errors": message, "param": error.param}
    return Response(orjson.dumps(body), status_of(error), error_headers(error, headers), "application/json")


ENVELOPE = Envelope(owns=lambda path: path.startswith(PREFIX), render=render)
