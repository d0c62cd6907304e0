"""How an error looks on the wire of the OpenAI-shaped dialects.

Owns one body that both kinds of client read: OpenAI's ``error`` object and FastAPI's ``detail``; and which paths have
an envelope of their own.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

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


def whole_seconds(wait_s: float) -> int:
    """``wait_s`` as clients are told to wait: at least 1, and never too short."""
    return max(1, math.ceil(wait_s))


def error_headers(error: LimnerError, headers: Mapping[str, str] | None) -> dict[str, str]:
    """``headers``, and Retry-After where the error has one."""
    retry = {} if error.retry_after_s is None else {"Retry-After": str(whole_seconds(error.retry_after_s))}
    return {**(headers or {}), **retry}


def error_response(error: LimnerError, headers: Mapping[str, str] | None = None) -> Response:
    """The error with its status, ``headers``, and Retry-After where it has one."""
    return Response(orjson.dumps(error_body(error)), error.status, error_headers(error, headers), "application/json")


Render: TypeAlias = Callable[[LimnerError, Mapping[str, str] | None], Response]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A dialect's own way to say errors, on the paths that it ``owns``."""

    owns: Callable[[str], bool]
    render: Render


class Envelopes:
    """Errors as the dialect of a path says them; OpenAI's where none says otherwise."""

    def __init__(self, own: Sequence[Envelope] = ()) -> None:
        self._own = tuple(own)

    def response(self, path: str, error: LimnerError, headers: Mapping[str, str] | None = None) -> Response:
        """The error as the clients of ``path`` understand it."""
        render = next((one.render for one in self._own if one.owns(path)), error_response)
        return render(error, headers)
