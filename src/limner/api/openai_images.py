"""The OpenAI Images dialect: ``/v1/images/generations`` and ``/v1/images/edits``, JSON, multipart and streams."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse

from limner.api import openai_docs
from limner.api.envelope import error_body
from limner.api.gateway import Gateway, gateway_of
from limner.api.leaving import cancel_when_left
from limner.api.openai_fields import ImageFields, flatten, model_params, parse, read_json
from limner.api.pictures import Source
from limner.api.replies import as_file, event_bytes, images_body, limner_object, usage
from limner.core import Event, Finished, Operation, Output, Picture, Preview, Progress, Request, Warning
from limner.errors import InvalidRequest, LimnerError, MissingParameter, UnsupportedMedia
from limner.jobs import Job
from limner.media.mask import as_mask

router = APIRouter(tags=["OpenAI Images"])
IMAGE_FIELDS = ("image", "image[]", "images", "images[]", "url", "url[]")
KEEP_ALIVE_S = 10.0


@dataclass(frozen=True, slots=True)
class Body:
    """A request body taken apart: plain fields, pictures in the order given, and the mask."""

    fields: dict[str, Any]
    images: tuple[tuple[str, Source], ...] = ()
    mask: Source | None = None
    from_form: bool = False


@router.post("/v1/images/generations", openapi_extra=openai_docs.GENERATIONS)
async def generations(http: HttpRequest) -> Response:
    """Draw pictures from a prompt."""
    body = Body(flatten(read_json(await http.body())))
    return await _answer(http, body, Operation.GENERATE)


@router.options("/v1/images/generations", include_in_schema=False)
async def generations_options() -> Response:
    """Some clients probe for the API with OPTIONS and want a 2xx."""
    return Response(status_code=204, headers={"Allow": "POST, OPTIONS"})


@router.post("/v1/images/edits", openapi_extra=openai_docs.EDITS)
async def edits(http: HttpRequest) -> Response:
    """Change pictures as a prompt says; with a mask, only where the mask says."""
    try:
        body = await _read_edit(http)
        if not body.images:
            raise MissingParameter("Missing required parameter: 'image'", param="image")
        return await _answer(http, body, Operation.EDIT if body.mask is None else Operation.INPAINT)
    finally:
        await http.close()  # the uploads' temporary files


async def _read_edit(http: HttpRequest) -> Body:
    kind = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return _from_json(flatten(read_json(await http.body())))
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise UnsupportedMedia(f"the body must be multipart/form-data or application/json, not {kind or 'untyped'!r}")
    limits = gateway_of(http).form_limits
    return _from_form(await http.form(**limits))


def _from_form(form: FormData) -> Body:
    fields: dict[str, Any] = {}
    images: list[tuple[str, Source]] = []
    mask: Source | None = None
    for name, value in form.multi_items():
        if name in IMAGE_FIELDS:
            if isinstance(value, UploadFile) or value.strip():
                images.append((name.removesuffix("[]"), value))
        elif name == "mask":
            if mask is not None:
                raise InvalidRequest("'mask' is given twice; one mask is taken", param="mask")
            mask = value
        elif isinstance(value, UploadFile):
            raise InvalidRequest(f"{name!r} is a file; files are taken as image, image[] and mask", param=name)
        elif name in fields and fields[name] != value:
            raise InvalidRequest(f"{name!r} is given twice: {fields[name]!r} and {value!r}", param=name)
        elif value != "":
            fields[name] = value
    images.sort(key=lambda image: isinstance(image[1], str))  # files first, then URLs, each in the order given
    return Body(flatten(fields), tuple(images), mask, from_form=True)


def _from_json(fields: dict[str, Any]) -> Body:
    """The JSON form of an edit: pictures as URL strings or ``{"image_url": ...}`` objects, single or in lists."""
    given = [(name, item) for name in IMAGE_FIELDS for item in _as_list(fields.pop(name, None))]
    images = tuple((name.removesuffix("[]"), _url_of(item, name)) for name, item in given)
    mask = fields.pop("mask", None)
    return Body(fields, images, None if mask is None else _url_of(mask, "mask"))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _url_of(item: Any, param: str) -> str:
    if isinstance(item, dict):
        item = item.get("image_url")
        if isinstance(item, dict):
            item = item.get("url")
    if not isinstance(item, str):
        raise InvalidRequest(f"{param!r} must be a data: or http(s) URL or {{'image_url': URL}}", param=param)
    return item


async def _answer(http: HttpRequest, body: Body, operation: Operation) -> Response:
    """Check, submit, and answer as a body or as a stream."""
    gateway = gateway_of(http)
    parsed = parse(body.fields, from_form=body.from_form)
    with gateway.service.seat() as seat:
        request, warnings = await _translate(gateway, parsed, body, operation)
        job = await seat.submit(request)
    warnings = (*warnings, *job.warnings)
    headers = {"X-Limner-Job": job.id}
    if parsed.stream:
        events = _stream(http, gateway, job, warnings)
        return StreamingResponse(
            events, media_type="text/event-stream", headers={**headers, "Cache-Control": "no-cache"}
        )
    async with cancel_when_left(http, job):
        finished = await job.result()
        links = gateway.links(http) if parsed.response_format == "url" else None
        content = await images_body(job, finished, warnings=warnings, media=gateway.media, links=links)
    return Response(content, media_type="application/json", headers=headers)


async def _translate(
    gateway: Gateway, parsed: ImageFields, body: Body, operation: Operation
) -> tuple[Request, tuple[Warning, ...]]:
    """The wire's fields as a Request; what can be refused without reading pictures is refused first."""
    model = gateway.service.roster.find(parsed.model or "")
    model.require_ready()
    params = model_params(parsed, model.spec, from_form=body.from_form)
    warnings = list(parsed.without_effect())
    previews = parsed.partial_images or 0
    if previews and not parsed.stream:
        warnings.append(Warning("partial_images", "ignored", "'partial_images' has no effect without stream=true"))
        previews = 0
    if body.images:
        gateway.pictures.check_count(len(body.images), model.spec.max_images, model.spec.id)
    inputs = await gateway.pictures.read_all(body.images)
    request = Request(
        operation=operation,
        model=model.spec.id,
        prompt=parsed.prompt or "",
        inputs=inputs,
        mask=await _mask(gateway, body.mask, inputs),
        n=1 if parsed.n is None else parsed.n,
        size=parsed.parsed_size(),
        seed=parsed.seed,
        output=_output(parsed),
        params=params,
        previews=previews,
        timeout_s=gateway.settings.default_timeout_s if parsed.timeout is None else parsed.timeout,
    )
    return _keep_background(request, warnings)


async def _mask(gateway: Gateway, source: Source | None, inputs: Sequence[Picture]) -> Picture | None:
    if source is None:
        return None
    picture = await gateway.pictures.read(source, "mask")
    return await asyncio.to_thread(as_mask, picture, inputs[0].size, param="mask")


def _output(parsed: ImageFields) -> Output:
    output = Output(parsed.output_format or "png", parsed.output_compression, parsed.background or "auto")
    if output.background == "transparent" and output.format == "jpeg":
        raise InvalidRequest("background 'transparent' needs output_format png or webp, not 'jpeg'", param="background")
    return output


def _keep_background(request: Request, warnings: list[Warning]) -> tuple[Request, tuple[Warning, ...]]:
    """No model here draws transparency yet: say so rather than claim it."""
    if request.output.background != "transparent":
        return request, tuple(warnings)
    told = Warning("background", "ignored", "'background' transparent has no effect: the model draws opaque pictures")
    return replace(request, output=replace(request.output, background="opaque")), (*warnings, told)


async def _stream(http: HttpRequest, gateway: Gateway, job: Job, warnings: Sequence[Warning]) -> AsyncIterator[bytes]:
    """Server-sent events: partial pictures as they come, one ``completed`` a picture; an error is the last event."""
    async with cancel_when_left(http, job):
        try:
            async for event in _with_keep_alive(job.events()):
                match event:
                    case None:
                        yield b": keep-alive\n\n"
                    case Progress(step, total):
                        yield b": progress %d/%d\n\n" % (step, total)  # a comment: SDKs skip it, terminals show it
                    case Preview():
                        file = await as_file(gateway.media, event.picture, job.request.output)
                        index = {"partial_image_index": event.preview_index, "image_index": event.image_index}
                        yield event_bytes("partial_image", job, file, index)
                    case Finished():
                        async for chunk in _completed(gateway, job, event, warnings):
                            yield chunk
                    case _:
                        pass
        except LimnerError as error:
            yield b"event: error\ndata: " + orjson.dumps({"type": "error", **error_body(error)}) + b"\n\n"


async def _completed(
    gateway: Gateway, job: Job, finished: Finished, warnings: Sequence[Warning]
) -> AsyncIterator[bytes]:
    last = len(finished.pictures) - 1
    for index, picture in enumerate(finished.pictures):
        extra: dict[str, Any] = {"usage": usage(job.request), "image_index": index}
        if index == last:
            extra["limner"] = limner_object(job, finished, warnings)
        yield event_bytes("completed", job, await as_file(gateway.media, picture, job.request.output), extra)


async def _with_keep_alive(events: AsyncIterator[Event]) -> AsyncIterator[Event | None]:
    """The events, and None whenever nothing has happened for KEEP_ALIVE_S."""
    pending: asyncio.Task[Event] | None = None
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


async def _next(events: AsyncIterator[Event]) -> Event:
    return await anext(events)
