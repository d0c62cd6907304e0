"""Pictures by conversation: ``/v1/chat/completions`` as RouteLLM, OpenRouter, vLLM-Omni and chat clients speak it."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api import chat_docs
from limner.api.asking import read_object
from limner.api.calls import Call, Wire, conduct
from limner.api.chat_fields import ChatAsked, read_chat, require_pictures_wanted, settle_chat
from limner.api.chat_pictures import REFERENCES, in_order, take_pictures
from limner.api.chat_prompt import wanted
from limner.api.chat_replies import Telling, closing, completion, failure, opening, picture_chunks
from limner.api.composing import Brief, model_for, takes_pictures, to_request
from limner.api.drawing import in_their_words
from limner.api.gateway import gateway_of
from limner.catalogue.images import PLAIN
from limner.core import Progress, Request, Warning
from limner.errors import LimnerError
from limner.jobs import Outcome

router = APIRouter(tags=["Chat"])


@router.post("/v1/chat/completions", openapi_extra=chat_docs.COMPLETIONS)
async def completions(http: HttpRequest) -> Response:
    """Draw what the last message of a conversation asks for."""
    return await answer(http, at_openrouters=False)


@router.post("/api/v1/chat/completions", openapi_extra=chat_docs.COMPLETIONS)
async def openrouter_completions(http: HttpRequest) -> Response:
    """The same where OpenRouter's clients look for it: replies are always in its form."""
    return await answer(http, at_openrouters=True)


async def answer(http: HttpRequest, *, at_openrouters: bool) -> Response:
    """Answer one chat request, whole or as a stream."""
    body = await read_object(http, gateway_of(http).settings.max_body_bytes)
    asked = await asyncio.to_thread(read_chat, body, _wishes(http), at_openrouters=at_openrouters)
    given = dict(asked.given)
    spec = model_for(http, asked.fields.model, has_pictures=bool(asked.conversation.pictures or REFERENCES in given))
    require_pictures_wanted(asked.fields, spec, named=gateway_of(http).service.roster.serves(asked.fields.model or ""))
    beside = take_pictures(given, spec)
    want = wanted(
        asked.conversation,
        prompt=asked.prompt,
        has_references=bool(beside.by_param),
        takes_pictures=takes_pictures(spec),
    )
    pictures, counts = in_order(spec, want.pictures, beside.by_param)
    names = {PLAIN: pictures[0][0] if pictures else REFERENCES}

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        drawing, told = settle_chat(asked, {**given, **counts}, spec)
        names.update(drawing.names)
        request, warnings = await to_request(http, spec, Brief(want.prompt, pictures, beside.mask, drawing))
        return request, (*asked.warnings, *told, *warnings)

    try:
        return await conduct(http, spec.id, read, _wire(asked, Telling(want.reason, names)))
    except LimnerError as error:
        in_their_words(error, names)
        raise


def _wishes(http: HttpRequest) -> dict[str, str]:
    """The form of replies as the query, for clients that cannot add fields to a body, or else the settings say it."""
    settings, query = gateway_of(http).settings, http.query_params
    said = {"reply_form": settings.chat_reply_form, "reply_urls": settings.chat_reply_urls}
    return {name: query.get(name, value) for name, value in said.items() if name in query or value != "auto"}


def _wire(asked: ChatAsked, telling: Telling) -> Wire:
    fields, form = asked.fields, asked.form
    usage_apart = fields.stream_options is not None and bool(fields.stream_options.include_usage)

    async def body(call: Call) -> Response:
        content = await completion(call, await call.outcome(), form, telling)
        return Response(content, media_type="application/json", headers=call.headers)

    async def stream(call: Call) -> AsyncIterator[bytes]:
        """Chunks, with comments to keep the line open; an error is the last one."""
        try:
            yield opening(call.job)
            async for event in call.events():
                match event:
                    case None:
                        yield b": keep-alive\n\n"
                    case Progress(step, total):
                        yield b": progress %d/%d\n\n" % (step, total)
                    case Outcome():
                        async for chunk in picture_chunks(call, event, form):
                            yield chunk
                        for chunk in closing(call.job, event, telling, usage_apart=usage_apart):
                            yield chunk
                    case _:
                        pass
        except LimnerError as error:
            for chunk in failure(call.job, error):
                yield chunk

    return Wire(
        reply=body,
        stream=stream if fields.stream else None,
        response_format="url" if form.urls == "link" else "b64_json",
    )
