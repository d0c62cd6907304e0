"""The OpenAI Images dialect: ``/v1/images/generations`` and ``/v1/images/edits``, JSON, multipart and streams."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse

from limner.api import openai_docs
from limner.api.envelope import error_body, error_response
from limner.api.gateway import Gateway, gateway_of
from limner.api.leaving import Presence, cancel_when_left
from limner.api.openai_fields import ImageFields, flatten, model_params, parse, read_json
from limner.api.pictures import Source
from limner.api.replies import Links, as_file, event_bytes, images_body, limner_object, usage
from limner.catalogue.values import SHOWN_CHARS, shown
from limner.core import Event, Finished, Operation, Output, Picture, Preview, Progress, Request, Warning
from limner.errors import DeadlineExceeded, InvalidRequest, LimnerError, MissingParameter, TooLarge, UnsupportedMedia
from limner.jobs import Job
from limner.media.mask import as_mask

router = APIRouter(tags=["OpenAI Images"])
IMAGE_FIELDS = ("image", "image[]", "images", "images[]", "url", "url[]")
CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1")
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
    kind = _media_type(http)
    if kind not in ("application/json", ""):  # a form post needs no permission from the browser: any page could send it
        raise UnsupportedMedia(f"the body must be application/json, not {shown(kind)}")
    body = Body(flatten(await _json(http, gateway_of(http).settings.max_json_bytes)))
    return await _answer(http, body, Operation.GENERATE)


@router.options("/v1/images/generations", include_in_schema=False)
@router.options("/v1/images/edits", include_in_schema=False)
async def options() -> Response:
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


def _media_type(http: HttpRequest) -> str:
    return http.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _json(http: HttpRequest, limit_bytes: int) -> dict[str, Any]:
    """The body as an object; raises TooLarge as soon as it is longer than ``limit_bytes``."""
    chunks = bytearray()
    async for chunk in http.stream():
        chunks += chunk
        if len(chunks) > limit_bytes:
            raise TooLarge(f"the JSON body is larger than {limit_bytes} bytes, the most that is taken here")
    return await asyncio.to_thread(read_json, bytes(chunks)) if len(chunks) > 65_536 else read_json(bytes(chunks))


async def _read_edit(http: HttpRequest) -> Body:
    kind = _media_type(http)
    if kind == "application/json":
        return _from_json(flatten(await _json(http, gateway_of(http).settings.max_body_bytes)))
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise UnsupportedMedia(f"the body must be multipart/form-data or application/json, not {shown(kind)}")
    charset = re.search(r"charset=\"?([^\s;\"]*)", http.headers["content-type"], re.IGNORECASE)
    if charset is not None and charset[1].lower() not in CHARSETS:
        raise UnsupportedMedia(f"the charset must be one of {', '.join(CHARSETS)}, not {shown(charset[1])}")
    return _from_form(await http.form(**gateway_of(http).form_limits))


def _from_form(form: FormData) -> Body:
    fields: dict[str, Any] = {}
    images: list[tuple[str, Source]] = []
    mask: Source | None = None
    for name, value in form.multi_items():
        if name in IMAGE_FIELDS:
            if _is_given(value):
                images.append((name.removesuffix("[]"), value))
        elif name == "mask":
            if not _is_given(value):
                continue
            if mask is not None:
                raise InvalidRequest("'mask' is given twice; one mask is taken", param="mask")
            mask = value
        elif isinstance(value, UploadFile):
            raise InvalidRequest(f"{shown(name)} is a file; files are taken as image, image[] and mask")
        elif name in fields and fields[name] != value:
            raise InvalidRequest(
                f"{shown(name)} is given twice: {shown(fields[name])} and {shown(value)}", param=name[:SHOWN_CHARS]
            )
        elif value != "":
            fields[name] = value
    images.sort(key=lambda image: isinstance(image[1], str))  # files first, then URLs, each in the order given
    return Body(flatten(fields), tuple(images), mask, from_form=True)


def _is_given(value: Source) -> bool:
    """Whether a picture field holds anything: browsers send an unused file field as an empty part without a name."""
    return bool(value.size or value.filename) if isinstance(value, UploadFile) else bool(value.strip())


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
    """Check, submit, and answer as a body or as a stream; a client that leaves meanwhile ends all of it."""
    gateway = gateway_of(http)
    parsed = parse(body.fields, from_form=body.from_form)
    async with Presence(http) as client:
        with gateway.service.seat() as seat:
            request, warnings = await client.unless_left(_read(gateway, parsed, body, operation))
            job = await seat.submit(request)
        warnings = (*warnings, *job.warnings)
        headers = {"X-Limner-Job": job.id}
        if parsed.stream:
            events = _stream(http, gateway, job, warnings)
            kept = {**headers, "Cache-Control": "no-cache"}
            return StreamingResponse(events, media_type="text/event-stream", headers=kept)
        try:
            links = gateway.links(http) if parsed.response_format == "url" else None
            content = await client.unless_left(_finish(gateway, job, warnings, links))
        except LimnerError as error:
            return error_response(error, headers)
        finally:
            job.cancel()
    return Response(content, media_type="application/json", headers=headers)


async def _read(
    gateway: Gateway, parsed: ImageFields, body: Body, operation: Operation
) -> tuple[Request, tuple[Warning, ...]]:
    """As `_translate`; fetching and decoding may take as long as the job itself, and no longer."""
    settings = gateway.settings
    limit_s = min(parsed.timeout or settings.default_timeout_s, settings.max_timeout_s)
    try:
        async with asyncio.timeout(limit_s):
            return await _translate(gateway, parsed, body, operation)
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"the input pictures were not read within the timeout of {limit_s:g} s", param="timeout"
        ) from error


async def _finish(gateway: Gateway, job: Job, warnings: Sequence[Warning], links: Links | None) -> bytes:
    finished = await job.result()
    return await images_body(job, finished, warnings=warnings, media=gateway.media, links=links)


async def _translate(
    gateway: Gateway, parsed: ImageFields, body: Body, operation: Operation
) -> tuple[Request, tuple[Warning, ...]]:
    """The wire's fields as a Request; what can be refused without reading pictures is refused first."""
    model = gateway.service.roster.find(parsed.model or "")
    model.require_ready()
    params = model_params(parsed, model.spec, from_form=body.from_form)
    warnings = list(parsed.without_effect())
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
        previews=(parsed.partial_images or 0) if parsed.stream else 0,
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
    watcher = asyncio.create_task(cancel_when_left(http, job))
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
    finally:
        watcher.cancel()
        job.cancel()


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
