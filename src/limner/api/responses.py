"""OpenAI's Responses with the image_generation tool: ``/v1/responses``, streams and background responses included."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api import responses_docs
from limner.api.asking import read_object
from limner.api.calls import Call, Wire, conduct, job_accepted
from limner.api.chat_pictures import in_order
from limner.api.chat_prompt import Wanted, wanted
from limner.api.chat_replies import Telling
from limner.api.composing import Brief, model_for, takes_pictures, to_request
from limner.api.doorkeeper import caller_of
from limner.api.drawing import in_their_words, settle
from limner.api.gateway import gateway_of
from limner.api.responses_fields import ResponseAsked, read_response
from limner.api.responses_input import read_input
from limner.api.responses_replies import NOTHING_ECHOED, Events, completed, job_id, unfinished
from limner.catalogue.images import PLAIN
from limner.catalogue.spec import ModelSpec
from limner.chat import Conversation, Shown, Turn
from limner.core import Preview, Progress, Request, Warning
from limner.errors import LimnerError, MissingParameter, NotFound
from limner.jobs import Job, Outcome

router = APIRouter(tags=["Responses"])


@router.post("/v1/responses", openapi_extra=responses_docs.CREATE)
async def create(http: HttpRequest) -> Response:
    """Draw what the input asks for, with the image_generation tool."""
    body = await read_object(http, gateway_of(http).settings.max_body_bytes)
    asked = await asyncio.to_thread(read_response, body)
    earlier = await _earlier(http, asked.fields.previous_response_id)
    conversation = await asyncio.to_thread(read_input, asked.input, earlier)
    spec = model_for(http, asked.model, has_pictures=bool(conversation.pictures))
    want, told = _wanted(asked, conversation, spec)
    pictures, counts = in_order(spec, want.pictures, {})
    names = {PLAIN: pictures[0][0] if pictures else "input"}

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        drawing = settle({**asked.given, **counts}, spec, tolerated=True)
        names.update(drawing.names)
        previews = (asked.tool.partial_images or 0) if asked.fields.stream else 0
        request, warnings = await to_request(http, spec, Brief(want.prompt, pictures, asked.mask, drawing, previews))
        return request, (*asked.warnings, *told, *warnings)

    wire = _wire(asked, Telling(want.reason, names))
    try:
        return await conduct(http, spec.id, read, wire, detached=bool(asked.fields.background))
    except LimnerError as error:
        in_their_words(error, names)
        raise


@router.get("/v1/responses/{response_id}", openapi_extra=responses_docs.SHOW)
async def show(http: HttpRequest, response_id: str) -> Response:
    """A response as it is now."""
    caller_of(http).require("read")
    return await _shown(http, await _job(http, response_id, "response_id"))


@router.post("/v1/responses/{response_id}/cancel", openapi_extra=responses_docs.CANCEL)
async def cancel(http: HttpRequest, response_id: str) -> Response:
    """Cancel a response that goes on; one that has ended stays as it is."""
    job = await _job(http, response_id, "response_id")
    await gateway_of(http).service.cancel(job)
    return await _shown(http, job)


def _wanted(asked: ResponseAsked, conversation: Conversation, spec: ModelSpec) -> tuple[Wanted, tuple[Warning, ...]]:
    """What is to be drawn, as far as the tool's ``action`` allows."""
    want = wanted(conversation, prompt=None, has_references=False, takes_pictures=takes_pictures(spec))
    if asked.tool.action == "edit" and not want.pictures:
        raise MissingParameter("Missing required parameter: 'input' has no picture to edit", param="input")
    if asked.tool.action != "generate" or not want.pictures:
        return want, ()
    message = f"'action' is generate: {len(want.pictures)} pictures of the input are left aside"
    return replace(want, pictures=(), reason="action is generate"), (Warning("input", "ignored", message),)


async def _earlier(http: HttpRequest, previous: str | None) -> tuple[Turn, ...]:
    """The turns of the response before: what was asked, and what was drawn."""
    if previous is None:
        return ()
    job = await _job(http, previous, "previous_response_id")
    outcome = job.outcome
    made = (
        [] if outcome is None else [Shown(one.id, 1, "assistant", "previous_response_id") for one in outcome.pictures]
    )
    return Turn("user", job.request.prompt), Turn("assistant", "", tuple(made))


async def _job(http: HttpRequest, response_id: str, param: str) -> Job:
    try:
        return await gateway_of(http).service.find(job_id(response_id), caller_of(http))
    except NotFound as error:
        raise NotFound(f"no such response: {response_id[:100]!r}", param=param) from error


async def _shown(http: HttpRequest, job: Job) -> Response:
    if job.outcome is None:
        return _json(orjson.dumps(unfinished(job, NOTHING_ECHOED)))
    return _json(await completed(gateway_of(http), job, job.outcome, NOTHING_ECHOED, Telling(None, {})))


def _wire(asked: ResponseAsked, telling: Telling) -> Wire:
    async def reply(call: Call) -> Response:
        outcome = await call.outcome()
        return _json(await completed(call.gateway, call.job, outcome, asked.echo, telling), call)

    async def queued(call: Call) -> Response:
        return _json(orjson.dumps(unfinished(call.job, asked.echo, background=True)), call)

    async def stream(call: Call) -> AsyncIterator[bytes]:
        """Events, with comments to keep the line open; a failure is the last one."""
        events = Events(call, asked.echo, telling)
        for chunk in events.opening():
            yield chunk
        try:
            async for event in call.events():
                match event:
                    case None:
                        yield b": keep-alive\n\n"
                    case Progress(step, total):
                        yield b": progress %d/%d\n\n" % (step, total)
                    case Preview():
                        yield await events.partial(event)
                    case Outcome():
                        async for chunk in events.closing(event):
                            yield chunk
                    case _:
                        pass
        except LimnerError as error:
            yield events.failure(error)

    return Wire(
        reply=reply,
        stream=stream if asked.fields.stream else None,
        accepted=queued if asked.fields.background else job_accepted,
    )


def _json(content: bytes, call: Call | None = None) -> Response:
    return Response(content, media_type="application/json", headers=None if call is None else call.headers)
