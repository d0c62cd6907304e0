"""The Relay's replies: pictures as base64 or links, and tasks, which are jobs under another name.

Owns those shapes. A task's address says beside the job what its result holds, so that nothing else has to remember it.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, get_args

import orjson
import pybase64
from starlette.responses import Response

from limner.api.a1111.replies import job_fields, one_job_body
from limner.api.calls import Call, Reply
from limner.api.gateway import Gateway
from limner.api.relay.endpoints import Holds
from limner.api.relay.errors import TASK, error_fields
from limner.api.replies import Links, limner_object
from limner.catalogue.values import shown
from limner.errors import InProgress, NotFound
from limner.jobs import Job, Outcome
from limner.store.rows import JobStatus
from limner.tasks import together

STATUS: Final[Mapping[JobStatus, str]] = {
    "queued": "queued",
    "running": "running",
    "finished": "completed",
    "failed": "failed",
    "cancelled": "failed",
}
_ADDRESS = re.compile(r"(job_[0-9a-f]{32})(?:\.([a-z0-9]{1,8}))?", re.ASCII)
RETRY_S = 1.0


async def result_body(gateway: Gateway, job: Job, outcome: Outcome, holds: Holds, links: Links) -> bytes:
    """The body of a call that waited, as JSON bytes. Raises NotFound once the pictures' time is over."""
    if not outcome.pictures:
        raise NotFound(f"the pictures of {job.id} are no longer kept", param=TASK)
    beside = {"model": job.model, "task_id": job.id, "limner": limner_object(job, outcome)}
    match holds:
        case "a1111":
            return await one_job_body(gateway, job_fields(job), job, outcome)
        case "b64":
            files = await together(gateway.service.data_of(picture) for picture in outcome.pictures)
            encoded = b",".join(b'"' + pybase64.b64encode(file) + b'"' for file in files)
            return b"".join((b'{"images":[', encoded, b"],", memoryview(orjson.dumps(beside))[1:]))
        case "url":
            return orjson.dumps({"images": [links.to(picture) for picture in outcome.pictures], **beside})
        case "urls":
            size = str(job.request.size)
            return orjson.dumps({"urls": [links.to(picture) for picture in outcome.pictures], "size": size, **beside})


def reply_of(holds: Holds) -> Reply:
    """Waits for the pictures and answers with them."""

    async def reply(call: Call) -> Response:
        outcome = await call.outcome()
        body = await result_body(call.gateway, call.job, outcome, holds, call.links)
        return Response(body, media_type="application/json", headers=call.headers)

    return waiting(reply)


def waiting(reply: Reply) -> Reply:
    """``reply``, but not to a second call that comes while the first is being answered. Raises InProgress."""

    async def answered(call: Call) -> Response:
        if "Idempotent-Replayed" in call.headers and not call.job.done:
            raise InProgress(
                f"the first request with this Idempotency-Key is still being drawn as {call.job.id}",
                param="Idempotency-Key",
                retry_after_s=RETRY_S,
            )
        return await reply(call)

    return answered


def accepted_as(holds: Holds) -> Reply:
    """202 with where to ask for the task."""

    async def accepted(call: Call) -> Response:
        address = address_of(call.job, holds)
        body = {
            "task_id": call.job.id,
            "task_address": address,
            "status": STATUS[call.job.status],
            "poll_url": f"/v2/tasks/{address}",
            "message": "the task is accepted; ask poll_url for its result",
        }
        headers = {**call.headers, "Location": f"/v2/tasks/{address}"}
        return Response(orjson.dumps(body), 202, headers, "application/json")

    return accepted


def address_of(job: Job, holds: Holds) -> str:
    """The task's address."""
    return f"{job.id}.{holds}"


def parse_address(address: str) -> tuple[str, Holds | None]:
    """The job's id, and what the result holds where the address says so. Raises NotFound."""
    match = _ADDRESS.fullmatch(address)
    if match is not None and (match[2] is None or match[2] in get_args(Holds)):
        return match[1], next((holds for holds in get_args(Holds) if holds == match[2]), None)
    raise NotFound(f"no such task: {shown(address)}", param=TASK)


async def task_body(gateway: Gateway, job: Job, holds: Holds, links: Links) -> bytes:
    """The task as it is now, as JSON bytes."""
    times, error = job.times, None if job.error is None else error_fields(job.error)
    head: dict[str, Any] = {
        "task_id": job.id,
        "task_address": address_of(job, holds),
        "status": STATUS[job.status],
        "elapsed_seconds": round((times.ended_at_s or time.time()) - times.created_at_s, 3),
        "progress": round(job.progress, 4),
        "model": job.model,
        "created_at": datetime.fromtimestamp(times.created_at_s, UTC).isoformat(timespec="seconds"),
        "error": None if error is None else error["message"],
        "error_code": None if error is None else error["code"],
        "error_detail": error,
    }
    result = await _result(gateway, job, lambda outcome: result_body(gateway, job, outcome, holds, links))
    return b"".join((orjson.dumps(head)[:-1], b',"result":', result, b"}"))


async def _result(gateway: Gateway, job: Job, body: Callable[[Outcome], Awaitable[bytes]]) -> bytes:
    """The result, or null: also once the pictures' time is over."""
    if job.outcome is None:
        return b"null"
    try:
        return await body(job.outcome)
    except NotFound:
        return b"null"
