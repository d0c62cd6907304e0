"""The Google dialect's routes: ``{model}:generateContent``, ``:streamGenerateContent``, ``:countTokens``, ``:predict``.

Each stands under ``/v1`` and ``/v1beta``, where Gemini's clients look for them, and under the paths that the same SDKs
use for Vertex AI (``/v1beta1/publishers/google/...``, ``/v1beta1/projects/...``).
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeAlias

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.asking import read_object, understood
from limner.api.calls import Call, Wire
from limner.api.chat.replies import Answer, Telling
from limner.api.direct import DirectRoute
from limner.api.doorkeeper import caller_of
from limner.api.drawing import in_their_words
from limner.api.gateway import gateway_of
from limner.api.gemini import docs, models
from limner.api.gemini.asking import Asked, read_counting, read_generation
from limner.api.gemini.calls import Form, answer, plan_of, prepare
from limner.api.gemini.imagen import read_prediction
from limner.api.gemini.replies import by_modality, chunks, generation, prediction, said
from limner.api.paths import MODEL
from limner.api.replies import request_usage, text_tokens
from limner.catalogue.values import shown
from limner.errors import InvalidRequest, LimnerError

router = APIRouter(tags=["Google"], route_class=DirectRoute)
SSE_KEEP_ALIVE = b"\n\n"  # an empty event: Google's SDKs take comments for broken JSON
JSON_KEEP_ALIVE = b"\n"
Render: TypeAlias = Callable[[Call, Telling], Coroutine[Any, Any, bytes]]


@router.post("/v1beta1/{parent:path}models/{model_id:path}:generateContent", include_in_schema=False)
@router.post("/v1beta/models/{model_id:path}:generateContent", openapi_extra=docs.GENERATE)
@router.post("/v1/models/{model_id:path}:generateContent", openapi_extra=docs.GENERATE)
async def generate_content(http: HttpRequest, model_id: str) -> Response:
    """Draw what the last turn of a conversation asks for."""
    _wants_sse(http, allowed=("json",))
    return await answer(http, model_id, await _generation(http, model_id), PLAIN)


@router.post("/v1beta1/{parent:path}models/{model_id:path}:streamGenerateContent", include_in_schema=False)
@router.post("/v1beta/models/{model_id:path}:streamGenerateContent", openapi_extra=docs.STREAM)
@router.post("/v1/models/{model_id:path}:streamGenerateContent", openapi_extra=docs.STREAM)
async def stream_generate_content(http: HttpRequest, model_id: str) -> Response:
    """The same as a stream: server-sent events with ``?alt=sse``, otherwise a JSON array that grows."""
    form = IN_EVENTS if _wants_sse(http, allowed=("json", "sse")) else IN_ARRAY
    return await answer(http, model_id, await _generation(http, model_id), form)


@router.post("/v1beta1/{parent:path}models/{model_id:path}:predict", include_in_schema=False)
@router.post("/v1beta/models/{model_id:path}:predict", openapi_extra=docs.PREDICT)
@router.post("/v1/models/{model_id:path}:predict", openapi_extra=docs.PREDICT)
async def predict(http: HttpRequest, model_id: str) -> Response:
    """Draw pictures from a prompt, as Imagen's clients ask for them."""
    return await answer(http, model_id, read_prediction(await _body(http)), PREDICTED)


@router.post("/v1beta1/{parent:path}models/{model_id:path}:countTokens", include_in_schema=False)
@router.post("/v1beta/models/{model_id:path}:countTokens", openapi_extra=docs.COUNT)
@router.post("/v1/models/{model_id:path}:countTokens", openapi_extra=docs.COUNT)
async def count_tokens(http: HttpRequest, model_id: str) -> Response:
    """The tokens that the same body would be counted as by ``generateContent``; nothing is drawn."""
    asked = await understood(http, read_counting, await _body(http), model_id)
    try:
        counts = await _input_tokens(http, model_id, asked)
    except LimnerError as error:
        in_their_words(error, asked.names)
        raise
    return _json({"totalTokens": sum(counts.values()), "promptTokensDetails": by_modality(counts)})


@router.get("/v1beta/models", openapi_extra=docs.MODELS)
async def list_models(http: HttpRequest) -> Response:
    """The served models in Google's shape."""
    return models.listing(http)


@router.get(f"/v1beta/models/{MODEL}", openapi_extra=docs.MODEL)
async def get_model(http: HttpRequest, model_id: str) -> Response:
    """One served model in Google's shape, by id or alias."""
    return models.one(http, model_id)


async def _body(http: HttpRequest) -> dict[str, Any]:
    return await read_object(http, gateway_of(http).settings.max_body_bytes)


async def _generation(http: HttpRequest, model: str) -> Asked:
    return await understood(http, read_generation, await _body(http), model)


def _wants_sse(http: HttpRequest, *, allowed: tuple[str, ...]) -> bool:
    """Whether ``?alt=`` asks for server-sent events. Raises InvalidRequest for a form that there is not."""
    form = http.query_params.get("alt", "json").lower()
    if form not in allowed:
        raise InvalidRequest(f"Invalid value for 'alt': {shown(form)}. Allowed: {', '.join(allowed)}", param="alt")
    return form == "sse"


def _whole(render: Render, *, converses: bool) -> Callable[[Telling], Wire]:
    """A wire that waits for the pictures and answers with what ``render`` makes of them."""

    def wire_of(telling: Telling) -> Wire:
        async def reply(call: Call) -> Response:
            content = await render(call, telling)
            return Response(content, media_type="application/json", headers=call.headers)

        return Wire(reply=reply, converses=converses)

    return wire_of


_generated = _whole(generation, converses=True)


def _in_events(telling: Telling) -> Wire:
    async def stream(call: Call) -> AsyncIterator[bytes]:
        async for chunk in chunks(call, telling):
            yield SSE_KEEP_ALIVE if chunk is None else b"data: " + chunk + b"\r\n\r\n"

    return replace(_generated(telling), stream=stream, stream_type="text/event-stream")


def _in_array(telling: Telling) -> Wire:
    async def stream(call: Call) -> AsyncIterator[bytes]:
        before = b"["
        async for chunk in chunks(call, telling):
            if chunk is None:
                yield JSON_KEEP_ALIVE
                continue
            yield before + chunk
            before = b",\r\n"
        yield b"]"

    return replace(_generated(telling), stream=stream, stream_type="application/json")


def _said_whole(words: Answer) -> Response:
    return Response(said(words), media_type="application/json")


def _said_in_events(words: Answer) -> Response:
    return Response(b"data: " + said(words) + b"\r\n\r\n", media_type="text/event-stream")


def _said_in_array(words: Answer) -> Response:
    return Response(b"[" + said(words) + b"]", media_type="application/json")


PLAIN, PREDICTED = Form(_generated, _said_whole), Form(_whole(prediction, converses=False), _said_whole)
IN_EVENTS, IN_ARRAY = Form(_in_events, _said_in_events), Form(_in_array, _said_in_array)


async def _input_tokens(http: HttpRequest, model: str, asked: Asked) -> dict[str, int]:
    """Counted as `usage` counts, for the words and pictures that would be drawn from."""
    plan = plan_of(http, model, asked)
    if plan.reply is not None:
        return {"text_tokens": text_tokens(asked.conversation.asked.text)}
    prepared = prepare(http, plan, asked)
    with gateway_of(http).service.seat(caller_of(http)):  # what waits to be decoded is bounded here too
        request, _ = await prepared.read()
    sized = replace(request, size=prepared.spec.sizes.default)
    counts: dict[str, int] = request_usage(sized, [one.size for one in request.inputs])["input_tokens_details"]
    return counts


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
