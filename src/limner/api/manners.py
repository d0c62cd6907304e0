"""What a client may say in headers about how its request is to be handled, whatever the dialect.

Owns ``Idempotency-Key``, ``Prefer`` (RFC 7240) and the ``estimate`` query.
"""

import re
from dataclasses import dataclass

from starlette.requests import Request as HttpRequest

from limner.catalogue.values import shown
from limner.errors import InvalidRequest

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_WAIT = re.compile(r"wait=\"?(\d{1,5})\"?")
YES, NO = ("1", "true", "yes", "on", ""), ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Manners:
    """``respond_async``: answer 202 with the job, after ``wait_s`` at the latest. ``estimate``: say what it costs
    and do nothing."""

    idempotency_key: str | None = None
    respond_async: bool = False
    wait_s: float = 0.0
    estimate: bool = False


def manners_of(http: HttpRequest) -> Manners:
    """What the request's headers and query say. Raises InvalidRequest for a key that is too long or not printable."""
    key = http.headers.get("idempotency-key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidRequest(
            f"Invalid Idempotency-Key: {shown(key)}. Allowed: 1 to 255 printable ASCII characters without spaces",
            param="Idempotency-Key",
        )
    wishes = [wish.strip().lower() for value in http.headers.getlist("prefer") for wish in value.split(",")]
    waits = [int(match[1]) for match in map(_WAIT.fullmatch, wishes) if match]
    return Manners(
        idempotency_key=key,
        respond_async="respond-async" in wishes,
        wait_s=float(waits[0]) if waits else 0.0,
        estimate=_flag(http, "estimate"),
    )


def _flag(http: HttpRequest, name: str) -> bool:
    given = http.query_params.get(name)
    if given is None or given.lower() in NO:
        return False
    if given.lower() in YES:
        return True
    raise InvalidRequest(f"Invalid value for {name!r}: {shown(given)}. Allowed: true or false", param=name)
