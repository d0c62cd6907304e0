"""The OpenAI Images dialect: ``/v1/images/generations`` and ``/v1/images/edits``, JSON, multipart and streams."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse

from limner.api import openai_docs
from limner.api.asking import Asked, read_edit, read_generation, to_request
from limner.api.doorkeeper import caller_of
from limner.api.envelope import error_body, error_response
from limner.api.gateway import Gateway, gateway_of
from limner.api.job_replies import accepted_response, estimate_response
from limner.api.leaving import Presence, tell_when_left
from limner.api.manners import Manners, manners_of
from limner.api.openai_fields import ImageFields
from limner.api.replies import event_bytes, images_body, limner_object, usage
from limner.core import Preview, Progress
from limner.errors import ClientLeft, InvalidRequest, LimnerError
from limner.jobs import Job, Outcome, Submission

router = APIRouter(tags=["OpenAI Images"])
KEEP_ALIVE_S = 10.0
T = TypeVar("T")


@router.post("/v1/images/generations", openapi_extra=openai_docs.GENERATIONS)
async def generations(http: HttpRequest) -> Response:
    """Draw pictures from a prompt."""
    return await answer(http, await read_generation(http))


@router.options("/v1/images/generations", include_in_schema=False)
@router.options("/v1/images/edits", include_in_schema=False)
async def options() -> Response:
    """Some clients probe for the API with OPTIONS and want a 2xx."""
    return Response(status_code=204, headers={"Allow": "POST, OPTIONS"})


@router.post("/v1/images/edits", openapi_extra=openai_docs.EDITS)
async def edits(http: HttpRequest) -> Response:
    """Change pictures as a prompt says; with a mask, only where the mask says."""
    try:
        return await answer(http, await read_edit(http))
    finally:
        await http.close()  # the uploads' temporary files


async def answer(http: HttpRequest, asked: Asked) -> Response:
    """Check, submit, and answer as a body, as a stream, or with the job alone; see `manners_of`."""
    gateway, manners, caller = gateway_of(http), manners_of(http), caller_of(http)
    fields, service = asked.fields, gateway.service
    gateway.service.roster.find(fields.model or "").require_ready()
    if manners.respond_async and fields.stream:
        raise InvalidRequest("a stream cannot be answered asynchronously: drop 'stream' or 'Prefer'", param="stream")
    async with Presence(http) as client:
        with service.seat(caller, detached=manners.respond_async) as seat:
            timeout_s = _timeout_s(gateway, fields, manners)
            previews = (fields.partial_images or 0) if fields.stream else 0
            request, warnings = await client.unless_left(
                to_request(gateway, asked, previews=previews, timeout_s=timeout_s)
            )
            if manners.estimate:
                return estimate_response(request, await service.estimate(request, caller))
            job = await seat.submit(
                request,
                Submission(
                    idempotency_key=manners.idempotency_key,
                    detached=manners.respond_async,
                    warnings=warnings,
                    response_format="url" if fields.response_format == "url" else "b64_json",
                ),
            )
        headers = job_headers(job, replayed=seat.replayed)
        if manners.respond_async:
            await job.wait(manners.wait_s)
            if not job.done:
                return await accepted_response(http, gateway, job, headers)
        if fields.stream:
            kept = {**headers, "Cache-Control": "no-cache"}
            return StreamingResponse(_stream(http, gateway, job), media_type="text/event-stream", headers=kept)
        return await _as_body(http, gateway, job, client, headers)


def job_headers(job: Job, *, replayed: bool) -> dict[str, str]:
    """What every reply about a job carries."""
    return {"X-Limner-Job": job.id, **({"Idempotent-Replayed": "true"} if replayed else {})}


def _timeout_s(gateway: Gateway, fields: ImageFields, manners: Manners) -> float:
    """A job that nobody waits for may take as long as any may."""
    settings = gateway.settings
    if fields.timeout is not None:
        return fields.timeout
    return settings.max_timeout_s if manners.respond_async else settings.default_timeout_s


async def _as_body(
    http: HttpRequest, gateway: Gateway, job: Job, client: Presence, headers: dict[str, str]
) -> Response:
    links = gateway.links(http) if job.response_format == "url" else None
    try:
        outcome = await client.unless_left(job.result())
        content = await images_body(job, outcome, gateway.service, links)
    except ClientLeft:
        gateway.service.left(job)
        raise
    except LimnerError as error:
        return error_response(error, headers)
    return Response(content, media_type="application/json", headers=headers)


async def _stream(http: HttpRequest, gateway: Gateway, job: Job) -> AsyncIterator[bytes]:
    """Server-sent events: partial pictures as they come, one ``completed`` a picture; an error is the last event."""
    watcher = asyncio.create_task(tell_when_left(http, gateway.service, job))
    try:
        async for event in with_keep_alive(job.events()):
            match event:
                case None:
                    yield b": keep-alive\n\n"
                case Progress(step, total):
                    yield b": progress %d/%d\n\n" % (step, total)  # a comment: SDKs skip it, terminals show it
                case Preview():
                    yield await preview_event(gateway, job, event)
                case Outcome():
                    async for chunk in _completed(gateway, job, event):
                        yield chunk
                case _:
                    pass
    except LimnerError as error:
        yield b"event: error\ndata: " + orjson.dumps({"type": "error", **error_body(error)}) + b"\n\n"
    finally:
        watcher.cancel()
        gateway.service.left(job)


async def preview_event(gateway: Gateway, job: Job, event: Preview) -> bytes:
    """A partial picture, in the format asked for and without a recipe: it is not what the recipe makes."""
    file = await gateway.media.encode(event.picture, job.request.output)
    index = {"partial_image_index": event.preview_index, "image_index": event.image_index}
    return event_bytes("partial_image", job, file, index)


async def _completed(gateway: Gateway, job: Job, outcome: Outcome) -> AsyncIterator[bytes]:
    last = len(outcome.pictures) - 1
    for index, picture in enumerate(outcome.pictures):
        extra: dict[str, Any] = {"usage": usage(job.request), "image_index": index}
        if index == last:
            extra["limner"] = limner_object(job, outcome)
        yield event_bytes("completed", job, await gateway.service.data_of(picture), extra)


async def with_keep_alive(events: AsyncIterator[T]) -> AsyncIterator[T | None]:
    """The events, and None whenever nothing has happened for KEEP_ALIVE_S."""
    pending: asyncio.Task[T] | None = None
    try:
        while True:
            pending = pending or asyncio.create_task(_next(events))
            done, _ = await asyncio.wait({pending}, timeout=KEEP_ALIVE_S)
            if not done:
                yield None
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield event
    finally:
        if pending is not None:
            pending.cancel()


async def _next(events: AsyncIterator[T]) -> T:
    return await anext(events)
