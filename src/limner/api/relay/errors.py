"""How an error looks on ``/v2``: ``{"detail", "error": {code, type, source, message, request_id, param}}``.

Owns that shape and the Relay's codes.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.responses import Response

from limner import errors as ours
from limner.api.envelope import MAX_MESSAGE_CHARS, MAX_PARAM_CHARS, Envelope, error_headers
from limner.errors import LimnerError
from limner.logs import request_id

PREFIX = "/v2/"
TASK = "task_address"  # the parameter of an error about a task
# The first class that an error is one of says its status and code there.
KINDS: Final[tuple[tuple[type[LimnerError], int, str], ...]] = (
    (ours.PolicyDeclined, 422, "CONTENT_POLICY_DECLINED"),
    (ours.InvalidRequest, 422, "VALIDATION_ERROR"),
    (ours.Unauthorized, 401, "INVALID_API_KEY"),
    (ours.InsufficientCredits, 402, "INSUFFICIENT_CREDITS"),
    (ours.Forbidden, 403, "FORBIDDEN"),
    (ours.ModelNotFound, 404, "MODEL_NOT_FOUND"),
    (ours.NotFound, 404, "NOT_FOUND"),
    (ours.MethodNotAllowed, 405, "METHOD_NOT_ALLOWED"),
    (ours.InProgress, 409, "IDEMPOTENCY_IN_PROGRESS"),
    (ours.Conflict, 422, "VALIDATION_ERROR"),  # an idempotency key that came with another request
    (ours.TooLarge, 413, "VALIDATION_ERROR"),
    (ours.UnsupportedMedia, 415, "VALIDATION_ERROR"),
    (ours.Overloaded, 429, "RATE_LIMITED"),
    (ours.ClientLeft, 499, "CANCELLED"),
    (ours.UpstreamFailed, 502, "UPSTREAM_ERROR"),
    (ours.NotReady, 503, "CAPACITY_EXHAUSTED"),
    (ours.UpstreamTimeout, 504, "UPSTREAM_TIMEOUT"),
    (ours.DeadlineExceeded, 504, "UPSTREAM_TIMEOUT"),
    (LimnerError, 500, "INTERNAL_ERROR"),
)


def status_and_code(error: LimnerError) -> tuple[int, str]:
    """What the Relay calls such an error."""
    if isinstance(error, ours.NotFound) and error.param == TASK:
        return 404, "TASK_NOT_FOUND"
    return next((status, code) for kind, status, code in KINDS if isinstance(error, kind))


def error_fields(error: LimnerError) -> dict[str, Any]:
    """The ``error`` object."""
    status, code = status_and_code(error)
    return {
        "code": code,
        "type": error.type,
        "source": "client" if status < 500 else "provider" if status in (502, 504) else "server",
        "message": error.message[:MAX_MESSAGE_CHARS],
        "request_id": request_id.get(),
        "param": None if error.param is None else error.param[:MAX_PARAM_CHARS],
    }


def render(error: LimnerError, headers: Mapping[str, str] | None = None) -> Response:
    """The error as a reply, with ``headers`` and Retry-After where it has one."""
    fields = error_fields(error)
    body = orjson.dumps({"detail": fields["message"], "error": fields})
    return Response(body, status_and_code(error)[0], error_headers(error, headers), "application/json")


ENVELOPE = Envelope(owns=lambda path: path.startswith(PREFIX), render=render)
