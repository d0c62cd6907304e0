"""Pictures by conversation: ``/v1/chat/completions`` as RouteLLM, OpenRouter, vLLM-Omni and chat clients speak it."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.asking import read_object, understood
from limner.api.asking_back import may_ask_back
from limner.api.calls import Call, ClosingStream, Wire, conduct
from limner.api.chat import docs as chat_docs
from limner.api.chat.agent import led
from limner.api.chat.fields import ChatAsked, read_chat, settle_chat, settle_words, unspoken
from limner.api.chat.pictures import MASK, REFERENCES, in_order, take_pictures
from limner.api.chat.replies import (
    Head,
    Showing,
    Telling,
    closing,
    completion,
    failure,
    job_answer,
    opening,
    picture_chunks,
    preview_chunk,
    require_kept,
    words_answer,
    words_chunk,
)
from limner.api.chat.turns import Asking, Plan, fitted, planned
from limner.api.composing import Brief, name_given, to_request
from limner.api.direct import DirectRoute
from limner.api.doorkeeper import caller_of
from limner.api.drawing import Drawing, in_their_words
from limner.api.gateway import gateway_of
from limner.api.jobs.replies import nothing_response
from limner.api.manners import manners_of
from limner.catalogue.images import PLAIN
from limner.chat.asides import for_client
from limner.core import Operation, Preview, Progress, Request, Warning, Words
from limner.errors import LimnerError
from limner.jobs import Outcome

router = APIRouter(tags=["Chat"], route_class=DirectRoute)


@router.post("/v1/chat/completions", openapi_extra=chat_docs.COMPLETIONS)
async def completions(http: HttpRequest) -> Response:
    """Draw, change or describe what the last message of a conversation asks for."""
    return await answer(http, at_openrouters=False)


@router.post("/api/v1/chat/completions", openapi_extra=chat_docs.COMPLETIONS)
async def openrouter_completions(http: HttpRequest) -> Response:
    """The same where OpenRouter's clients look for it: replies are always in its form."""
    return await answer(http, at_openrouters=True)


async def answer(http: HttpRequest, *, at_openrouters: bool) -> Response:
    """Answer one chat request, whole or as a stream."""
    body = await read_object(http, gateway_of(http).settings.max_body_bytes)
    asked = await understood(http, read_chat, body, _wishes(http), at_openrouters=at_openrouters)
    fields = asked.fields
    language = gateway_of(http).service.language_for(caller_of(http))
    if language is not None and _may_converse(http, asked):
        return await led(http, asked, asked.conversation, language)
    plan = planned(http, Asking(fields.model, asked.conversation, asked.prompt, fields.modalities, asked.given.keys()))
    if plan.reply is not None:
        return await _said(http, asked, plan, plan.reply)
    return await _run(http, asked, plan)


def _may_converse(http: HttpRequest, asked: ChatAsked) -> bool:
    """Whether a language model may lead: whatever fits was asked for, and words may be in the answer."""
    fields, roster = asked.fields, gateway_of(http).service.roster
    free = not fields.model or (roster.is_virtual(fields.model) and roster.operation_of(fields.model) is None)
    beside = MASK in asked.given or REFERENCES in asked.given or asked.prompt is not None
    if for_client(asked.conversation) is not None:  # a client's own task, which plain rules answer at once
        return False
    return free and not beside and (fields.modalities is None or "text" in fields.modalities)


async def _run(http: HttpRequest, asked: ChatAsked, plan: Plan) -> Response:
    """Answer with the one job that ``plan`` makes."""
    assert plan.spec is not None, "what is run has a model"
    spec, given = plan.spec, dict(asked.given)
    beside = take_pictures(given, spec)
    pictures, counts = in_order(spec, plan.pictures, beside.by_param)
    names = {PLAIN: pictures[0][0] if pictures else REFERENCES}
    mask = plan.named_mask or beside.mask
    telling = Telling(plan.reason, names, name_given(http, asked.fields.model, spec))

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        drawing, told = _settled(asked, {**given, **counts}, plan)
        names.update(drawing.names)
        brief = Brief(plan.prompt, pictures, mask, drawing, asked.previews, plan.operation, plan.history)
        request, warnings = await to_request(http, spec, brief)
        return request, (*asked.warnings, *told, *warnings)

    try:
        return await conduct(http, spec.id, read, _wire(http, asked, telling))
    except LimnerError as error:
        in_their_words(error, names)
        raise


def _settled(asked: ChatAsked, given: Mapping[str, Any], plan: Plan) -> tuple[Drawing, tuple[Warning, ...]]:
    assert plan.spec is not None, "what is run has a model"
    if plan.operation is Operation.DESCRIBE:
        return settle_words(asked, given, plan.spec)
    fields, told = fitted(given, plan)
    drawing, more = settle_chat(asked, fields, plan.spec)
    return plan.sized(drawing, fields), (*unspoken(asked), *told, *more)


async def _said(http: HttpRequest, asked: ChatAsked, plan: Plan, text: str) -> Response:
    """Answer with words for which nothing has to be run: at once, and once for all, whatever the manners."""
    if manners_of(http).estimate:
        return nothing_response()
    model = asked.fields.model or gateway_of(http).service.roster.default.spec.id
    said = words_answer(Head.of_words(model), plan.prompt, text, plan.reason)
    if not asked.fields.stream:
        return Response(await completion(_showing(http, asked), said), media_type="application/json")

    async def stream() -> AsyncGenerator[bytes]:
        yield opening(said.head)
        yield words_chunk(said.head, text)
        for chunk in closing(said, usage_apart=_usage_apart(asked)):
            yield chunk

    return ClosingStream(stream())


def _wishes(http: HttpRequest) -> dict[str, str]:
    """The form of replies as the query, for clients that cannot add fields to a body, or else the settings say it."""
    settings, query = gateway_of(http).settings, http.query_params
    said = {"reply_form": settings.chat_reply_form, "reply_urls": settings.chat_reply_urls}
    return {name: query.get(name, value) for name, value in said.items() if name in query or value != "auto"}


def _showing(http: HttpRequest, asked: ChatAsked) -> Showing:
    gateway = gateway_of(http)
    return Showing(gateway, gateway.links(http), asked.form)


def _usage_apart(asked: ChatAsked) -> bool:
    options = asked.fields.stream_options
    return options is not None and bool(options.include_usage)


def _wire(http: HttpRequest, asked: ChatAsked, telling: Telling) -> Wire:
    showing = _showing(http, asked)

    async def body(call: Call) -> Response:
        outcome = await call.outcome()
        require_kept(call.job, outcome)
        content = await completion(showing, job_answer(call.job, outcome, telling))
        return Response(content, media_type="application/json", headers=call.headers)

    async def stream(call: Call) -> AsyncIterator[bytes]:
        """Chunks, with comments to keep the line open; an error is the last one."""
        head = Head.of_job(call.job, telling.model)
        try:
            yield opening(head)
            async for chunk in _chunks(call, showing, asked, telling):
                yield chunk
        except LimnerError as error:
            for chunk in failure(head, error):
                yield chunk

    return Wire(
        reply=body,
        stream=stream if asked.fields.stream else None,
        response_format="url" if asked.form.urls == "link" else "b64_json",
        converses=may_ask_back(asked.fields.modalities),
    )


async def _chunks(call: Call, showing: Showing, asked: ChatAsked, telling: Telling) -> AsyncIterator[bytes]:
    """What happens to the job, chunk by chunk. Raises the job's error."""
    head, spoken = Head.of_job(call.job, telling.model), 0
    async for event in call.events():
        match event:
            case None:
                yield b": keep-alive\n\n"
            case Progress(step, total):
                yield _progress(call, head, step, total)
            case Preview():
                file = await call.gateway.media.encode(event.picture, call.job.request.output)
                yield preview_chunk(head, event, file, call.job.request)
            case Words(text):
                spoken += len(text)
                yield words_chunk(head, text)
            case Outcome():
                require_kept(call.job, event)
                if event.text and not spoken:  # it asks back
                    yield words_chunk(head, event.text)
                async for chunk in picture_chunks(showing, head, event.pictures):
                    yield chunk
                for chunk in closing(job_answer(call.job, event, telling), usage_apart=_usage_apart(asked)):
                    yield chunk
            case _:
                pass


def _progress(call: Call, head: Head, step: int, total: int) -> bytes:
    """As a comment, which clients skip, or in words that some of them show beside the answer."""
    if call.gateway.settings.chat_progress == "comments":
        return b": progress %d/%d\n\n" % (step, total)
    return words_chunk(head, f"{step}/{total}\n", thought=True)
