"""Every error a user can see, once. Dialects render them; nothing else translates.

LimnerError
├── InvalidRequest            400 invalid_value
│   ├── MissingParameter      400 missing_required_parameter
│   ├── PolicyDeclined        400 content_policy_violation
│   ├── RegionNotFound        400 region_not_found
│   │   └── RegionIsAll       400 region_is_all
│   └── UnknownParameter      400 unknown_parameter
├── Unauthorized              401 invalid_api_key
├── InsufficientCredits       402 insufficient_credits
├── Forbidden                 403 forbidden
├── NotFound                  404 not_found
│   └── ModelNotFound         404 model_not_found
├── MethodNotAllowed          405 method_not_allowed
├── DeadlineExceeded          408 timeout
├── Conflict                  409 conflict
│   └── InProgress            409 idempotency_in_progress
├── TooLarge                  413 too_large
├── UnsupportedMedia          415 unsupported_media_type
├── Overloaded                429 queue_full
│   └── RateLimited           429 rate_limited
├── ClientLeft                499 client_left
│   └── Cancelled             499 cancelled
├── InternalError             500 internal_error
├── UpstreamFailed            502 upstream_failed
├── NotReady                  503 not_ready
└── UpstreamTimeout           504 upstream_timeout
"""

from typing import ClassVar


class LimnerError(Exception):
    """Base. ``message`` says what, which value and what is allowed; ``param`` is the parameter at fault."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    type: ClassVar[str] = "server_error"

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class InvalidRequest(LimnerError):
    """A value that is not allowed."""

    status = 400
    code = "invalid_value"
    type = "invalid_request_error"


class MissingParameter(InvalidRequest):
    """A required parameter is absent or blank."""

    code = "missing_required_parameter"


class UnknownParameter(InvalidRequest):
    """A parameter that neither the dialect nor the model has."""

    code = "unknown_parameter"


class PolicyDeclined(InvalidRequest):
    """Who draws will not draw this. ``param`` is "prompt" where it is the words, anything else where a picture is."""

    code = "content_policy_violation"


class RegionNotFound(InvalidRequest):
    """What ``region`` names is no part of the picture. Where people converse it is a question back, no error."""

    code = "region_not_found"


class RegionIsAll(RegionNotFound):
    """What ``region`` names is no part of the picture but all of it."""

    code = "region_is_all"


class Unauthorized(LimnerError):
    """No API key, or a wrong one."""

    status = 401
    code = "invalid_api_key"
    type = "authentication_error"


class InsufficientCredits(LimnerError):
    """The key has no credits left for this job."""

    status = 402
    code = "insufficient_credits"
    type = "insufficient_quota"


class Forbidden(LimnerError):
    """The key may not do this, or a signed link is wrong or expired."""

    status = 403
    code = "forbidden"
    type = "permission_error"


class NotFound(LimnerError):
    """No such thing."""

    status = 404
    code = "not_found"
    type = "invalid_request_error"


class ModelNotFound(NotFound):
    """No model of that name is served here."""

    code = "model_not_found"


class MethodNotAllowed(LimnerError):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"
    type = "invalid_request_error"


class DeadlineExceeded(LimnerError):
    """The job ran past its ``timeout``."""

    status = 408
    code = "timeout"
    type = "timeout_error"


class Conflict(LimnerError):
    """The request contradicts another one."""

    status = 409
    code = "conflict"
    type = "invalid_request_error"


class InProgress(Conflict):
    """The request that came first under this idempotency key is still being answered."""

    code = "idempotency_in_progress"


class TooLarge(LimnerError):
    """More bytes, parts or pixels than the server takes."""

    status = 413
    code = "too_large"
    type = "invalid_request_error"


class UnsupportedMedia(LimnerError):
    """Not a picture, or not of a kind that is read here."""

    status = 415
    code = "unsupported_media_type"
    type = "invalid_request_error"


class Overloaded(LimnerError):
    """The queue is full; come back after ``retry_after_s``."""

    status = 429
    code = "queue_full"
    type = "rate_limit_error"


class RateLimited(Overloaded):
    """The API key has reached its jobs a minute, or its jobs at once; others may still be served."""

    code = "rate_limited"


class ClientLeft(LimnerError):
    """Nobody waits for the result any more: the client closed its connection. Only logged."""

    status = 499
    code = "client_left"


class Cancelled(ClientLeft):
    """Somebody said that the job is not wanted any more, which whoever else waits for it hears.

    499 as well: clients repeat 408, 409, 429 and 5xx on their own, and this job must not be drawn after all; Google's
    and the Relay's name for 499 is CANCELLED.
    """

    code = "cancelled"
    type = "invalid_request_error"


class InternalError(LimnerError):
    """Our fault; the request id finds it in the log."""


class UpstreamFailed(LimnerError):
    """A provider or engine behind this server failed."""

    status = 502
    code = "upstream_failed"


class NotReady(LimnerError):
    """The model is still loading, or its engine has died."""

    status = 503
    code = "not_ready"


class UpstreamTimeout(LimnerError):
    """A provider behind this server did not answer in time."""

    status = 504
    code = "upstream_timeout"
