"""OpenAI's Responses: ``/v1/responses`` with the image_generation tool, or in words about pictures.

Streams and background responses are included.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.asking import read_object, understood
from limner.api.asking_back import answer_of, may_ask_back
from limner.api.calls import Call, Wire, conduct, job_accepted
from limner.api.chat.pictures import MASK, in_order
from limner.api.chat.replies import Telling, words_answer
from limner.api.chat.turns import Asking, Plan, fitted, planned
from limner.api.composing import Brief, model_for, name_given, to_request
from limner.api.direct import DirectRoute
from limner.api.doorkeeper import caller_of
from limner.api.drawing import Drawing, in_their_words, settle, settle_spoken
from limner.api.gateway import gateway_of
from limner.api.jobs.replies import nothing_response
from limner.api.manners import NO, manners_of
from limner.api.responses import docs as responses_docs
from limner.api.responses.fields import FOR_WORDS, ResponseAsked, read_response, unspoken, without_tool
from limner.api.responses.reading import read_input
from limner.api.responses.replies import (
    NOTHING_ECHOED,
    Events,
    completed,
    head_of_words,
    input_id,
    job_id,
    said,
    unfinished,
)
from limner.catalogue.images import PLAIN
from limner.catalogue.values import shown
from limner.chat import Conversation, Shown, Turn
from limner.core import Operation, Preview, Progress, Request, Said, Warning, Words
from limner.errors import InvalidRequest, LimnerError, MissingParameter, NotFound
from limner.jobs import Job, Outcome

router = APIRouter(tags=["Responses"], route_class=DirectRoute)
CHAIN = 40  # responses that a conversation by previous_response_id is read back
PREVIOUS = "previous_response_id"


@router.post("/v1/responses", openapi_extra=responses_docs.CREATE)
async def create(http: HttpRequest) -> Response:
    """Draw what the input asks for, with the image_generation tool, or answer it in words."""
    body = await read_object(http, gateway_of(http).settings.max_body_bytes)
    asked = await understood(http, read_response, body)
    earlier = await _earlier(http, asked.fields.previous_response_id)
    conversation = await understood(http, read_input, asked.input, earlier)
    plan, told = _planned(http, asked, conversation)
    if plan.reply is not None:
        return _said(http, asked, plan, plan.reply)
    spec = plan.spec
    assert spec is not None, "what is run has a model"
    pictures, counts = in_order(spec, plan.pictures, {})
    names = {PLAIN: pictures[0][0] if pictures else "input"}
    attached = tuple(place for place, (param, _) in enumerate(pictures) if param != PREVIOUS)

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        drawing, more = _settled(asked, {**asked.given, **counts}, plan)
        names.update(drawing.names)
        mask = plan.named_mask or asked.mask
        history = (*_instructions(asked), *plan.history) if plan.speaks else ()
        brief = Brief(plan.prompt, pictures, mask, drawing, asked.partial_images, plan.operation, history)
        request, warnings = await to_request(http, spec, brief)
        return request, (*asked.warnings, *told, *more, *warnings)

    wire = _wire(asked, Telling(plan.reason, names, name_given(http, asked.model, spec)), attached)
    try:
        return await conduct(http, spec.id, read, wire, detached=bool(asked.fields.background))
    except LimnerError as error:
        in_their_words(error, names)
        raise


@router.get("/v1/responses/{response_id}", openapi_extra=responses_docs.SHOW)
async def show(http: HttpRequest, response_id: str) -> Response:
    """A response as it is now."""
    caller_of(http).require("read")
    _require_whole(http)
    return await _shown(http, await _job(http, response_id, "response_id"))


@router.post("/v1/responses/{response_id}/cancel", openapi_extra=responses_docs.CANCEL)
async def cancel(http: HttpRequest, response_id: str) -> Response:
    """Cancel a response that goes on; one that has ended stays as it is."""
    job = await _job(http, response_id, "response_id")
    await gateway_of(http).service.cancel(job)
    return await _shown(http, job)


def _require_whole(http: HttpRequest) -> None:
    """Refuse to stream: JSON would be an empty stream to the SDKs that ask for one. Raises InvalidRequest."""
    given = http.query_params.get("stream", NO[0])
    if given.lower() not in NO:
        message = (
            f"Invalid value for 'stream': {shown(given)}. Allowed: false; /v1/jobs/{{id}}/events tells what happens"
        )
        raise InvalidRequest(message, param="stream")


def _planned(http: HttpRequest, asked: ResponseAsked, conversation: Conversation) -> tuple[Plan, tuple[Warning, ...]]:
    """What is to be done, as far as the tool and its ``action`` allow."""
    beside = (*asked.given, *(() if asked.mask is None else (MASK,)))
    try:
        plan = planned(http, Asking(asked.model, conversation, modalities=asked.modalities, fields=beside))
    except InvalidRequest as error:
        if error.param != "modalities":
            raise
        if asked.tool is None:
            raise without_tool(asked.model) from error
        error.param = "model"  # whose pictures the tool demands
        raise
    action = None if asked.tool is None else asked.tool.action
    if action == "edit" and not plan.pictures:
        raise MissingParameter("Missing required parameter: 'input' has no picture to edit", param="input")
    if action != "generate" or not plan.pictures:
        return plan, ()
    return _anew(http, asked, conversation.asked.text), _left_aside(asked, len(plan.pictures))


def _anew(http: HttpRequest, asked: ResponseAsked, prompt: str) -> Plan:
    """The words drawn without the pictures, by whichever model does that."""
    spec = model_for(http, asked.model, has_pictures=False)
    return Plan(prompt, "action is generate", spec, Operation.GENERATE)


def _left_aside(asked: ResponseAsked, count: int) -> tuple[Warning, ...]:
    message = f"'action' is generate: {count} pictures of the input are left aside"
    left = (Warning("input", "ignored", message),)
    if asked.mask is None:
        return left
    name = asked.mask[0]
    return (*left, Warning(name, "ignored", f"{name!r} has no effect: 'action' is generate"))


def _settled(asked: ResponseAsked, given: Mapping[str, Any], plan: Plan) -> tuple[Drawing, tuple[Warning, ...]]:
    assert plan.spec is not None, "what is run has a model"
    if plan.operation is not Operation.DESCRIBE:
        fields, told = fitted(given, plan)
        return plan.sized(settle(fields, plan.spec, tolerated=True), fields), (*unspoken(asked), *told)
    own = {ours: asked.about_words[name] for name, ours in FOR_WORDS.items() if name in asked.about_words}
    return settle_spoken(given, own, plan.spec)


def _instructions(asked: ResponseAsked) -> tuple[Said, ...]:
    words = asked.about_words.get("instructions")
    return (Said("system", words),) if isinstance(words, str) and words else ()


def _said(http: HttpRequest, asked: ResponseAsked, plan: Plan, text: str) -> Response:
    """Words for which nothing has to be run: at once, and once for all, whatever the manners."""
    if manners_of(http).estimate:
        return nothing_response()
    model = asked.model or gateway_of(http).service.roster.default.spec.id
    answer = words_answer(head_of_words(model), plan.prompt, text, plan.reason)
    if not asked.fields.stream:
        return _json(orjson.dumps(said(answer, asked.echo)))
    events = Events(None, asked.echo, Telling(plan.reason, {}))
    return Response(b"".join(events.said(answer)), media_type="text/event-stream")


async def _earlier(http: HttpRequest, previous: str | None) -> tuple[Turn, ...]:
    """The turns of the responses before, as far back as they are kept: what was asked, and what was drawn or said.

    Raises NotFound for a response that there is not.
    """
    turns: list[Turn] = []
    job = None if previous is None else await _job(http, previous, PREVIOUS)
    for _ in range(CHAIN):
        if job is None:
            break
        turns[:0] = _turns(job, gateway_of(http).service.attachments(job))
        job = await _kept(http, job.handed_in.previous)
    return tuple(turns)


async def _kept(http: HttpRequest, job_or_none: str | None) -> Job | None:
    """The job before, unless it is no longer remembered."""
    if job_or_none is None:
        return None
    try:
        return await gateway_of(http).service.find(job_or_none, caller_of(http))
    except NotFound:
        return None


def _turns(job: Job, attached: Iterable[int]) -> tuple[Turn, ...]:
    """What was asked, with the pictures that came with it, and what was drawn or said."""
    came = tuple(Shown(input_id(job, place), "user", PREVIOUS) for place in attached)
    asked, outcome = Turn("user", job.request.prompt, came), answer_of(job)
    if outcome is None:
        return asked, Turn("assistant", "")
    made = tuple(Shown(one.id, "assistant", PREVIOUS) for one in outcome.pictures)
    return asked, Turn("assistant", outcome.text or "", made)


async def _job(http: HttpRequest, response_id: str, param: str) -> Job:
    try:
        return await gateway_of(http).service.find(job_id(response_id), caller_of(http))
    except NotFound as error:
        raise NotFound(f"no such response: {response_id[:100]!r}", param=param) from error


async def _shown(http: HttpRequest, job: Job) -> Response:
    outcome = answer_of(job)
    if outcome is None:
        return _json(orjson.dumps(unfinished(job, NOTHING_ECHOED)))
    return _json(await completed(gateway_of(http), job, outcome, NOTHING_ECHOED, Telling(None, {})))


def _wire(asked: ResponseAsked, telling: Telling, attached: tuple[int, ...]) -> Wire:
    async def reply(call: Call) -> Response:
        outcome = await call.outcome()
        return _json(await completed(call.gateway, call.job, outcome, asked.echo, telling), call)

    async def queued(call: Call) -> Response:
        return _json(orjson.dumps(unfinished(call.job, asked.echo, telling.model, background=True)), call)

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
                    case Words(text):
                        yield events.words(text)
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
        previous=None if asked.fields.previous_response_id is None else job_id(asked.fields.previous_response_id),
        attached=attached if asked.fields.keeps_input else (),
        converses=may_ask_back(asked.modalities),
    )


def _json(content: bytes, call: Call | None = None) -> Response:
    return Response(content, media_type="application/json", headers=None if call is None else call.headers)
