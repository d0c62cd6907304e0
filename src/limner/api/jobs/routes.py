"""Our own jobs API: ``/v1/jobs``. Any operation, accepted at once and found again at any time."""

from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pybase64
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.asking import Asked, Body, asked_operation, from_json, parse_operation, read_object, to_request
from limner.api.calls import ClosingStream, Wire, conduct, job_accepted, timeout_s_of, with_keep_alive
from limner.api.doorkeeper import caller_of
from limner.api.envelope import error_body
from limner.api.gateway import Gateway, gateway_of
from limner.api.jobs import docs as job_docs
from limner.api.jobs.replies import job_body
from limner.api.openai.fields import flatten
from limner.api.queries import MAX_PAGE, whole_number
from limner.catalogue.values import shown
from limner.core import Operation, Preview, Progress, Queued, Request, Warning, Words
from limner.errors import ClientLeft, InvalidRequest, LimnerError, MissingParameter, TooLarge
from limner.jobs import LAST_EVENT, Job, JobEvent, Outcome
from limner.store.rows import JobFilter, JobStatus
from limner.webhooks import parse_hook

router = APIRouter(tags=["Jobs"])
MAX_WAIT_S = 60
STATUSES: tuple[JobStatus, ...] = ("queued", "running", "finished", "failed", "cancelled")
FILTERS = ("status", "model", "operation", "created_after", "created_before", "after", "limit")


@router.post("/v1/jobs", openapi_extra=job_docs.CREATE, status_code=202)
async def create(http: HttpRequest) -> Response:
    """Accept any operation as a job."""
    gateway = gateway_of(http)
    fields = flatten(await read_object(http, gateway.settings.max_body_bytes))
    given = fields.pop("webhook", None)
    hook = None if given is None else parse_hook(given, gateway.settings)
    asked = _asked(http, fields, gateway.settings.max_json_bytes)
    timeout_s = timeout_s_of(http, asked.fields.timeout, detached=True)

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        previews = asked.fields.partial_images or 0
        request, warnings = await to_request(http, asked, previews=previews, timeout_s=timeout_s)
        return request, tuple(one for one in warnings if one.param != "partial_images")  # events carry them

    wire = Wire(reply=job_accepted, response_format=asked.fields.response_format or "url")
    model = asked.fields.model or ""
    return await conduct(http, model, read, wire, operation=asked.operation, detached=True, hook=hook)


def _asked(http: HttpRequest, fields: dict[str, Any], max_json_bytes: int) -> Asked:
    given = fields.pop("operation", None)
    operation = asked_operation(http, fields, None if given is None else parse_operation(given))
    if operation is None:
        raise MissingParameter("Missing required parameter: 'operation'", param="operation")
    if fields.get("stream"):
        raise InvalidRequest("a job does not stream its reply; follow /v1/jobs/{id}/events", param="stream")
    if operation is Operation.GENERATE:
        if len(orjson.dumps(fields)) > max_json_bytes:
            raise TooLarge(f"the JSON body is larger than {max_json_bytes} bytes, the most that is taken here")
        return Asked.of(operation, Body(fields))
    return Asked.of(operation, from_json(fields))


@router.get("/v1/jobs", openapi_extra=job_docs.LIST)
async def list_jobs(http: HttpRequest) -> Response:
    """The caller's jobs, newest first, with links to their pictures; an admin's are everybody's."""
    gateway, caller = gateway_of(http), caller_of(http)
    caller.require("read")
    wanted = _filter(http, None if caller.sees_all else caller.key_id)
    jobs = await gateway.service.jobs(wanted)
    page, links = jobs[: wanted.limit - 1], gateway.links(http)
    bodies = b",".join([await job_body(gateway, job, links, inline=False) for job in page])
    tail = {
        "has_more": len(jobs) == wanted.limit,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }
    content = b"".join((b'{"object":"list","data":[', bodies, b"],", orjson.dumps(tail)[1:]))
    return Response(content, media_type="application/json")


def _filter(http: HttpRequest, owner: str | None) -> JobFilter:
    """The query as a filter that asks for one job more than the page holds."""
    query = http.query_params
    for name in query:
        if name not in FILTERS:
            raise InvalidRequest(f"unknown query parameter {shown(name)}; known: {', '.join(FILTERS)}", param=name[:64])
    statuses = [part for value in query.getlist("status") for part in value.split(",") if part]
    for status in statuses:
        if status not in STATUSES:
            raise InvalidRequest(f"unknown status {shown(status)}; allowed: {', '.join(STATUSES)}", param="status")
    operation = query.get("operation")
    return JobFilter(
        owner=owner,
        statuses=frozenset(status for status in STATUSES if status in statuses),
        model=query.get("model"),
        operation=None if operation is None else parse_operation(operation).value,
        created_after_s=_number(http, "created_after"),
        created_before_s=_number(http, "created_before"),
        before=query.get("after"),
        limit=whole_number(http, "limit", 20, 1, MAX_PAGE) + 1,
    )


def _number(http: HttpRequest, name: str) -> float | None:
    given = http.query_params.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 12):
        raise InvalidRequest(f"Invalid value for {name!r}: {shown(given)}. Allowed: unix seconds", param=name)
    return float(given)


@router.get("/v1/jobs/{job_id}", openapi_extra=job_docs.SHOW)
async def show(http: HttpRequest, job_id: str) -> Response:
    """A job as it is now; with ``?wait=SECONDS`` as soon as it has ended, or then."""
    gateway = gateway_of(http)
    job = await _find(http, gateway, job_id)
    wait_s = whole_number(http, "wait", 0, 1, MAX_WAIT_S)
    if wait_s:
        await job.wait(wait_s)
    return Response(await job_body(gateway, job, gateway.links(http)), media_type="application/json")


async def _find(http: HttpRequest, gateway: Gateway, job_id: str) -> Job:
    caller = caller_of(http)
    caller.require("read")
    return await gateway.service.find(job_id, caller)


@router.delete("/v1/jobs/{job_id}", openapi_extra=job_docs.CANCEL)
async def cancel(http: HttpRequest, job_id: str) -> Response:
    """End a job; one that has ended stays as it is."""
    gateway, caller = gateway_of(http), caller_of(http)
    caller.require("generate")
    job = await gateway.service.find(job_id, caller)
    await gateway.service.cancel(job)
    return Response(await job_body(gateway, job, gateway.links(http)), media_type="application/json")


@router.get("/v1/jobs/{job_id}/events", openapi_extra=job_docs.EVENTS, response_class=Response)
async def events(http: HttpRequest, job_id: str) -> Response:
    """What happens to a job, as server-sent events; ``Last-Event-ID`` goes on where an earlier stream broke off."""
    gateway = gateway_of(http)
    job = await _find(http, gateway, job_id)
    body = _events(http, gateway, job, http.headers.get("last-event-id"))
    return ClosingStream(body)


async def _events(http: HttpRequest, gateway: Gateway, job: Job, after: str | None) -> AsyncGenerator[bytes]:
    """One event a change. A job's end is an event as well; leaving early does nothing to the job."""
    try:
        async for numbered in with_keep_alive(job.numbered_events(after)):
            if numbered is None:
                yield b": keep-alive\n\n"
                continue
            event_id, event = numbered
            yield b"id: %s\n" % event_id.encode() + await _event(http, gateway, job, event)
    except LimnerError as error:
        if job.abandoned is not None and not job.done:
            return  # the server leaves, the job does not end: the client asks again, from its last event on
        name = b"cancelled" if isinstance(error, ClientLeft) else b"failed"
        told = orjson.dumps({"job_id": job.id, **error_body(error)})
        yield b"id: %s\nevent: %s\ndata: %s\n\n" % (LAST_EVENT.encode(), name, told)


async def _event(http: HttpRequest, gateway: Gateway, job: Job, event: JobEvent) -> bytes:
    match event:
        case Queued(position, eta_s):
            return _sse(b"queued", {"job_id": job.id, "position": position, "eta_s": eta_s})
        case Progress(step, total):
            told = {"job_id": job.id, "step": step, "total_steps": total, "progress": round(event.fraction, 4)}
            return _sse(b"progress", told)
        case Preview(image_index, preview_index, picture):
            file = await gateway.media.encode(picture, job.request.output)
            indices = {"job_id": job.id, "image_index": image_index, "partial_image_index": preview_index}
            return _sse(b"preview", {**indices, "b64_json": pybase64.b64encode(file).decode()})
        case Words(text):
            return _sse(b"words", {"job_id": job.id, "text": text})
        case Outcome():
            return b"event: finished\ndata: " + await job_body(gateway, job, gateway.links(http)) + b"\n\n"


def _sse(name: bytes, data: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name, orjson.dumps(data))
