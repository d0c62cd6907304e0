"""Jobs as JSON: the job object of ``/v1/jobs``, its events, and the answers that bring a job instead of pictures.

Owns those shapes alone; the pictures in them are the OpenAI images reply.
"""

from typing import Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.envelope import error_body
from limner.api.gateway import Gateway
from limner.api.replies import Links, images_body
from limner.core import Request
from limner.errors import NotFound
from limner.jobs import Job
from limner.records import warning_records
from limner.service import Estimate
from limner.store.rows import MICRO


async def job_body(gateway: Gateway, job: Job, links: Links, *, inline: bool = True) -> bytes:
    """The job object as JSON bytes; not ``inline``, its pictures are links whatever the job was asked for."""
    head = orjson.dumps(await _fields(gateway, job))
    links_or_none = None if inline and job.handed_in.response_format == "b64_json" else links
    return b"".join((head[:-1], b',"result":', await _result(gateway, job, links_or_none), b"}"))


async def _result(gateway: Gateway, job: Job, links: Links | None) -> bytes:
    """The images reply, or null: also once the pictures' time is over."""
    if job.outcome is None:
        return b"null"
    try:
        return await images_body(job, job.outcome, gateway.service, links)
    except NotFound:
        return b"null"


async def _fields(gateway: Gateway, job: Job) -> dict[str, Any]:
    position = await gateway.service.position(job)
    return {
        "id": job.id,
        "object": "job",
        "status": job.status,
        "position": position,
        "eta_s": _rounded(gateway.service.eta_s(job, position)),
        "progress": round(job.progress, 4),
        "created_at": int(job.times.created_at_s),
        "started_at": _rounded(job.times.started_at_s, 3),
        "ended_at": _rounded(job.times.ended_at_s, 3),
        "deadline_at": int(job.times.deadline_at_s),
        "operation": job.request.operation.value,
        "model": job.model,
        "effective": {**job.effective},
        "warnings": warning_records(job.warnings),
        "error": None if job.error is None else error_body(job.error)["error"],
        "cost": cost(job),
    }


def cost(job: Job) -> dict[str, Any]:
    """Credits: what was charged, or is reserved while the job has not ended."""
    return {
        "credits": None if not job.done else job.account.cost_micro / MICRO,
        "reserved_credits": 0 if job.done else job.account.reserve_micro / MICRO,
        "device_s": round(job.account.device_s, 6),
    }


def _rounded(seconds: float | None, digits: int = 2) -> float | None:
    return None if seconds is None else round(seconds, digits)


async def accepted_response(http: HttpRequest, gateway: Gateway, job: Job, headers: dict[str, str]) -> Response:
    """202 with the job, and where to find it again."""
    where = {"Location": f"/v1/jobs/{job.id}", "Preference-Applied": "respond-async"}
    body = await job_body(gateway, job, gateway.links(http))
    return Response(body, status_code=202, media_type="application/json", headers={**headers, **where})


def estimate_response(request: Request, estimate: Estimate) -> Response:
    """What the request would cost and when it would be done; nothing was accepted."""
    body = {
        "object": "estimate",
        "operation": request.operation.value,
        "model": request.model,
        "cost": {"credits": estimate.cost_micro / MICRO, "device_s": round(estimate.device_s, 4)},
        "position": estimate.position,
        "eta_s": round(estimate.eta_s, 2),
    }
    return Response(orjson.dumps(body), media_type="application/json")


def nothing_response() -> Response:
    """The estimate of an answer for which nothing is run."""
    body = {
        "object": "estimate",
        "operation": None,
        "model": None,
        "cost": {"credits": 0, "device_s": 0},
        "position": 0,
        "eta_s": 0,
    }
    return Response(orjson.dumps(body), media_type="application/json")
