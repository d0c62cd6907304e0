"""Pictures by conversation: ``/v1/chat/completions`` as RouteLLM, OpenRouter, vLLM-Omni and chat clients speak it."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api import chat_docs
from limner.api.asking import read_object
from limner.api.calls import Call, Wire, conduct
from limner.api.chat_fields import REFERENCES, ChatAsked, read_chat, require_pictures_wanted
from limner.api.chat_prompt import wanted
from limner.api.chat_replies import Telling, closing, completion, failure, opening, pictures
from limner.api.composing import Brief, model_for, to_request
from limner.api.drawing import in_their_words, settle
from limner.api.gateway import gateway_of
from limner.core import Operation, Progress, Request, Warning
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
    asked = await asyncio.to_thread(read_chat, body, dict(http.query_params), at_openrouters=at_openrouters)
    spec = model_for(http, asked.fields.model, has_pictures=bool(asked.conversation.pictures or asked.references))
    require_pictures_wanted(asked.fields, spec)
    want = wanted(
        asked.conversation,
        prompt=asked.prompt,
        references=asked.references,
        takes_pictures=Operation.EDIT in spec.operations,
    )
    names = {"image": want.pictures[0].param if want.pictures else REFERENCES}

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        drawing = settle(asked.given, spec, tolerated=asked.fields.image_config is None)
        names.update(drawing.names)
        request, warnings = await to_request(http, spec, Brief(want.prompt, want.named, asked.mask, drawing))
        return request, (*asked.warnings, *warnings)

    try:
        return await conduct(http, spec.id, read, _wire(asked, Telling(want.reason, names)))
    except LimnerError as error:
        in_their_words(error, names)
        raise


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
                        async for chunk in pictures(call, event, form):
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
