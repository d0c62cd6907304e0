"""OpenRouter's image API: ``POST /api/v1/images``, whole or as a stream."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.asking import read_object
from limner.api.calls import Call, Wire, conduct
from limner.api.chat.messages import url_of
from limner.api.chat.pictures import in_order
from limner.api.chat.replies import DONE, Telling, chat_usage, told
from limner.api.composing import Brief, model_for, name_given, require_pictures, to_request
from limner.api.direct import DirectRoute
from limner.api.drawing import Drawing, in_their_words, settle
from limner.api.embedding import Embedded, embedded
from limner.api.envelope import error_body
from limner.api.gateway import gateway_of
from limner.api.openai.fields import flatten, unstreamed
from limner.api.openrouter import docs as openrouter_docs
from limner.api.shapes import TIERS, tier_in_words_of
from limner.api.validation import checked_fields
from limner.catalogue.images import PLAIN
from limner.catalogue.spec import ModelSpec
from limner.catalogue.values import shown
from limner.chat import Shown
from limner.core import Preview, Progress, Request, Warning
from limner.errors import InvalidRequest, LimnerError, MissingParameter, NotFound
from limner.jobs import Job, Outcome, StoredPicture
from limner.media.encode import media_type
from limner.store.rows import MICRO

router = APIRouter(tags=["OpenRouter"], route_class=DirectRoute)
REFERENCES = "input_references"
WITHOUT_EFFECT = ("provider", "reasoning", "session_id", "trace", "user")
STREAM_OF = "image_generation"


class ImagesFields(BaseModel):
    """What stands in the body beside what says what to draw. None and absent mean the same."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str | None = None
    prompt: str | None = None
    stream: bool | None = None
    partial_images: int | None = Field(None, ge=0, le=3)


@router.post("/api/v1/images", openapi_extra=openrouter_docs.IMAGES)
async def images(http: HttpRequest) -> Response:
    """Draw pictures from a prompt, or change the references as it says."""
    body = flatten(await read_object(http, gateway_of(http).settings.max_body_bytes))
    references = _references(body.pop(REFERENCES, None))
    fields = checked_fields(ImagesFields, body)
    if fields.prompt is None:
        raise MissingParameter("Missing required parameter: 'prompt'", param="prompt")
    spec = model_for(http, fields.model, has_pictures=bool(references))
    require_pictures(http, spec, has_pictures=bool(references))
    pictures, counts = in_order(spec, references, {})
    names = {PLAIN: REFERENCES}
    telling = Telling(None, names, name_given(http, fields.model, spec))

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        drawing, warnings = _drawing({**(fields.model_extra or {}), **counts}, spec)
        names.update(drawing.names)
        previews = (fields.partial_images or 0) if fields.stream else 0
        request, told = await to_request(http, spec, Brief(fields.prompt or "", pictures, None, drawing, previews))
        return request, (*warnings, *unstreamed(fields.partial_images, stream=fields.stream), *told)

    try:
        return await conduct(http, spec.id, read, _wire(fields, telling))
    except LimnerError as error:
        in_their_words(error, names)
        raise


def _references(value: object) -> tuple[Shown, ...]:
    values = [] if value is None else value
    if not isinstance(values, list):
        raise InvalidRequest(f"{REFERENCES!r} must be a list of pictures, not {shown(values)}", param=REFERENCES)
    places = ((one, f"{REFERENCES}[{index}]") for index, one in enumerate(values))
    return tuple(Shown(url_of(one, place), "user", place) for one, place in places)


def _drawing(given: Mapping[str, Any], spec: ModelSpec) -> tuple[Drawing, tuple[Warning, ...]]:
    """The fields for the model of ``spec``: ``size`` may be a tier here."""
    fields = {name: value for name, value in given.items() if name not in WITHOUT_EFFECT}
    size = fields.get("size")
    if isinstance(size, str) and size.lower() in TIERS and fields.get("resolution", size) == size:
        fields["resolution"] = fields.pop("size")
    fields, names = tier_in_words_of(fields, spec)
    drawing = settle(fields, spec, tolerated=True)
    ignored = [name for name in WITHOUT_EFFECT if given.get(name) and name != "user"]
    warnings = tuple(Warning(name, "ignored", f"{name!r} has no effect: this server draws") for name in ignored)
    return replace(drawing, names={**drawing.names, **names}), warnings


def _wire(fields: ImagesFields, telling: Telling) -> Wire:
    async def reply(call: Call) -> Response:
        content = await _body(call, await call.outcome(), telling)
        return Response(content, media_type="application/json", headers=call.headers)

    async def stream(call: Call) -> AsyncIterator[bytes]:
        """Partial pictures as they come, one ``completed`` a picture; an error is the last event."""
        try:
            async for event in call.events():
                match event:
                    case None:
                        yield b": keep-alive\n\n"
                    case Progress(step, total):
                        yield b": progress %d/%d\n\n" % (step, total)
                    case Preview():
                        yield await _partial(call, event)
                    case Outcome():
                        async for chunk in _completed(call, event, telling):
                            yield chunk
                    case _:
                        pass
        except LimnerError as error:
            yield _event("error", error_body(error))
        yield DONE

    return Wire(reply=reply, stream=stream if fields.stream else None)


async def _body(call: Call, outcome: Outcome, telling: Telling) -> bytes:
    files, data = await _pictures(call, outcome)
    created = int(call.job.times.ended_at_s or call.job.times.created_at_s)
    body = {"created": created, "data": data, "usage": _usage(call.job), "model": telling.model or call.job.model}
    return files.in_json({**body, "limner": told(call.job, outcome, telling)})


async def _partial(call: Call, preview: Preview) -> bytes:
    files = Embedded([await call.gateway.media.encode(preview.picture, call.job.request.output)])
    picture = {"b64_json": files.text(0), "media_type": media_type(call.job.request.output.format)}
    index = {"partial_image_index": preview.preview_index, "image_index": preview.image_index}
    return _event(f"{STREAM_OF}.partial_image", {**picture, **index}, files)


async def _completed(call: Call, outcome: Outcome, telling: Telling) -> AsyncIterator[bytes]:
    files, data = await _pictures(call, outcome)
    for index, picture in enumerate(data):
        last = {"limner": told(call.job, outcome, telling)} if index == len(data) - 1 else {}
        event = {**picture, "image_index": index, "usage": _usage(call.job), **last}
        yield _event(f"{STREAM_OF}.completed", event, files)


async def _pictures(call: Call, outcome: Outcome) -> tuple[Embedded, list[dict[str, str]]]:
    if not outcome.pictures:
        raise NotFound(f"the pictures of {call.job.id} are no longer kept")
    files = await embedded(call.gateway.service, outcome.pictures)
    return files, [_entry(files, index, picture) for index, picture in enumerate(outcome.pictures)]


def _entry(files: Embedded, index: int, picture: StoredPicture) -> dict[str, str]:
    return {"b64_json": files.text(index), "media_type": media_type(picture.format)}


def _usage(job: Job) -> dict[str, Any]:
    """As chat's, and what it has cost, in credits."""
    return {**chat_usage(job), "cost": job.account.cost_micro / MICRO}


def _event(kind: str, fields: Mapping[str, Any], files: Embedded | None = None) -> bytes:
    body = {"type": kind, **fields}
    return b"data: " + (orjson.dumps(body) if files is None else files.in_json(body)) + b"\n\n"
