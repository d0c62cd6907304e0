"""The OpenAI Images dialect: ``/v1/images/generations`` and ``/v1/images/edits``, JSON, multipart and streams."""

from collections.abc import AsyncIterator
from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.asking import Asked, read_edit, read_generation, to_request
from limner.api.calls import Call, Stream, Wire, conduct, timeout_s_of
from limner.api.direct import DirectRoute
from limner.api.envelope import error_body
from limner.api.gateway import Gateway
from limner.api.openai import docs as openai_docs
from limner.api.replies import event_bytes, images_body, limner_object, usage
from limner.catalogue.values import shown
from limner.core import Operation, Preview, Progress, Request, Warning
from limner.errors import InvalidRequest, LimnerError, NotFound
from limner.jobs import Job, Outcome, ResponseFormat

router = APIRouter(tags=["OpenAI Images"], route_class=DirectRoute)
RESPONSE_FORMAT: Final = "response_format"
FORMATS: Final[tuple[ResponseFormat, ...]] = ("b64_json", "url")
# OpenAI's models that answer with links unless they are asked for the pictures, and whose clients rely on it.
LINKED: Final = frozenset({"dall-e-2", "dall-e-3"})


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
    """Draw what was asked for and answer as a body, as a stream, or with the job alone; see `conduct`."""
    fields = asked.fields
    timeout_s = timeout_s_of(http, fields.timeout)
    previews = (fields.partial_images or 0) if fields.stream else 0
    wire = Wire(
        reply=_body,
        stream=_stream_of(asked),
        response_format=_response_format(http, asked),
    )

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        return await to_request(http, asked, previews=previews, timeout_s=timeout_s)

    return await conduct(http, fields.model or "", read, wire, operation=asked.operation)


def _response_format(http: HttpRequest, asked: Asked) -> ResponseFormat:
    """As the body says, or the query, for clients that cannot add fields to a body; else as the model's own clients
    expect. Raises InvalidRequest."""
    if asked.fields.response_format is not None:
        return asked.fields.response_format
    wish = http.query_params.get(RESPONSE_FORMAT)
    if wish is None:
        return "url" if (asked.fields.model or "").lower().removeprefix("openai/") in LINKED else "b64_json"
    for known in FORMATS:
        if wish == known:
            return known
    raise InvalidRequest(
        f"Invalid value for {RESPONSE_FORMAT!r}: {shown(wish)}. Allowed: {', '.join(FORMATS)}", param=RESPONSE_FORMAT
    )


def _stream_of(asked: Asked) -> Stream | None:
    """How the reply is streamed, if that was asked for. Raises InvalidRequest for an answer in words."""
    if not asked.fields.stream:
        return None
    if asked.operation is Operation.DESCRIBE:
        message = "an answer in words is streamed by /v1/chat/completions; here it comes whole, without 'stream'"
        raise InvalidRequest(message, param="stream")
    return _stream


async def _body(call: Call) -> Response:
    outcome = await call.outcome()
    links = call.links if call.job.handed_in.response_format == "url" else None
    content = await images_body(call.job, outcome, call.gateway.service, links)
    return Response(content, media_type="application/json", headers=call.headers)


async def _stream(call: Call) -> AsyncIterator[bytes]:
    """Server-sent events: partial pictures as they come, one ``completed`` a picture; an error is the last event."""
    gateway, job = call.gateway, call.job
    try:
        async for event in call.events():
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


async def preview_event(gateway: Gateway, job: Job, event: Preview) -> bytes:
    """A partial picture, in the format asked for and without a recipe: it is not what the recipe makes."""
    file = await gateway.media.encode(event.picture, job.request.output)
    index = {"partial_image_index": event.preview_index, "image_index": event.image_index}
    return event_bytes("partial_image", job, file, index)


async def _completed(gateway: Gateway, job: Job, outcome: Outcome) -> AsyncIterator[bytes]:
    """One event a picture; those that are kept have the places they were drawn in. Raises NotFound where none is."""
    if not outcome.pictures:
        raise NotFound(f"the pictures of {job.id} are no longer kept")
    assert job.request.seed is not None, "seeds are settled before work begins"
    for picture in outcome.pictures:
        extra: dict[str, Any] = {"usage": usage(job), "image_index": picture.seed - job.request.seed}
        if picture is outcome.pictures[-1]:
            extra["limner"] = limner_object(job, outcome)
        yield event_bytes("completed", job, await gateway.service.data_of(picture), extra)
