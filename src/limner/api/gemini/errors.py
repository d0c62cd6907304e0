"""Errors as Google's clients read them: ``{"error": {code, message, status, details}}``.

Owns that shape, the canonical status names, and which paths belong to these clients.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.responses import Response

from limner.api.envelope import MAX_MESSAGE_CHARS, MAX_PARAM_CHARS, Envelope, error_headers, whole_seconds
from limner.errors import LimnerError

PREFIXES = ("/v1beta/", "/v1beta1/")
_VERB = re.compile(r"/v1/models/.+:(predict|[a-z]+(?:[A-Z][a-z]+)+)")
DOMAIN = "limner"
# google.rpc.Code by HTTP status; https://cloud.google.com/apis/design/errors has the table.
STATUS: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TYPE = "type.googleapis.com/google.rpc."


def owns(path: str) -> bool:
    """Whether Google's clients use ``path``; ``/v1/models`` and what is below are OpenAI's but for the methods."""
    return path.startswith(PREFIXES) or _VERB.fullmatch(path) is not None


def error_body(error: LimnerError) -> dict[str, Any]:
    """The error as JSON; ``details`` say our own code, the field at fault and when to come back."""
    return {
        "error": {
            "code": error.status,
            "message": error.message[:MAX_MESSAGE_CHARS],
            "status": STATUS[error.status],
            "details": _details(error),
        }
    }


def _details(error: LimnerError) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = [{"@type": f"{_TYPE}ErrorInfo", "reason": error.code.upper(), "domain": DOMAIN}]
    if error.param is not None:
        violation = {"field": error.param[:MAX_PARAM_CHARS], "description": error.message[:MAX_MESSAGE_CHARS]}
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{whole_seconds(error.retry_after_s)}s"})
    return details


def render(error: LimnerError, headers: Mapping[str, str] | None = None) -> Response:
    """The error with its status, ``headers``, and Retry-After where it has one."""
    return Response(orjson.dumps(error_body(error)), error.status, error_headers(error, headers), "application/json")


ENVELOPE = Envelope(owns, render)
