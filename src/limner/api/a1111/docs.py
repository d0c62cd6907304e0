"""A1111's routes as the OpenAPI document shows them, derived from the wire's own fields.

Types are told in words: the API takes ``"20"`` for 20, as A1111 does.
"""

from typing import Any, Final

import orjson
from pydantic import BaseModel

from limner.api.a1111.fields import ImageFields, TextFields
from limner.api.a1111.upscaling import ExtraImage, ExtraImages
from limner.api.documents import (
    ASKED_BACK,
    ERRORS,
    NUMBER,
    STRING,
    Docs,
    array,
    nullable,
    obj,
    query,
    ref,
    reply,
)
from limner.api.openai.docs import JOB_HEADERS, MANNERS

ERROR: Final[Docs] = obj(
    {"error": STRING, "detail": STRING, "body": STRING, "errors": STRING, "param": nullable(STRING)}
)
_READING: Final = (401, 403, 500, 503)
_WORKING: Final = (*_READING, 404, 408, 413, 415, 422, 429)
_DRAWING: Final = (*_WORKING, 402, 409)
TOLD: Final = {**ERRORS, 422: "A value is not allowed, missing or unknown"}


def in_form(page: dict[str, Any], error: str) -> dict[str, Any]:
    """A route's page whose errors have another form."""
    told: dict[str, Any] = orjson.loads(orjson.dumps(page).replace(b"A1111Error", error.encode()))
    return told


def refusals(*statuses: int) -> Docs:
    """Answers for ``responses`` in this API's own form."""
    told = {status: reply(TOLD[status], ref("A1111Error")) for status in sorted(statuses)}
    return {str(s): {**one, "headers": ASKED_BACK} if s in (429, 503) else one for s, one in told.items()}


def in_words(kind: type[BaseModel], required: tuple[str, ...] = ()) -> Docs:
    """A body of these fields, each with its type and default as text."""
    schema = kind.model_json_schema()
    fields = {name: {"description": _words(field)} for name, field in schema["properties"].items()}
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": True}


def _words(field: Docs) -> str:
    kinds = [one.get("type") for one in field.get("anyOf", (field,)) if one.get("type") not in (None, "null")]
    kind = " or ".join(str(one) for one in kinds) or "any"
    default = field.get("default")
    return kind if default in (None, "", [], {}) else f"{kind}, by default {default}"


def _post(body: Docs, answer: Docs, *statuses: int) -> dict[str, Any]:
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": reply("Done", answer), **refusals(*statuses)},
    }


def _get(answer: Docs) -> dict[str, Any]:
    return {"responses": {"200": reply("As it is now", answer), **refusals(*_READING)}}


def listing(value: object) -> dict[str, Any]:
    """A list that is always the same."""
    return _get({"const": value})


def _drawn(body: Docs) -> dict[str, Any]:
    made = {"anyOf": [ref("A1111Pictures"), ref("Estimate")]}
    done = {**reply("The pictures, or what they would cost", made), "headers": JOB_HEADERS}
    later = {**reply("The job, which goes on", {"type": "object"}), "headers": JOB_HEADERS}
    return {
        "parameters": MANNERS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": done, "202": later, **refusals(*_DRAWING)},
    }


_STATE: Final[Docs] = {"type": "object", "additionalProperties": True}
SCHEMAS: Final[Docs] = {
    "A1111Error": ERROR,
    "A1111Pictures": obj(
        {
            "images": array(STRING),
            "parameters": {"type": "object"},
            "info": {"type": "string", "contentMediaType": "application/json"},
            "limner": {"type": "object"},
        }
    ),
}
TXT2IMG: Final = _drawn(in_words(TextFields))
IMG2IMG: Final = _drawn(in_words(ImageFields, ("init_images",)))
OPTIONS: Final = _get({"type": "object"})
SET_OPTIONS: Final = _post({"type": "object"}, {"type": ["object", "null"]}, *_WORKING)
PROGRESS: Final[dict[str, Any]] = {
    "parameters": [query("skip_current_image", STRING, "true leaves the picture out")],
    "responses": {
        "200": reply(
            "How far the newest call is",
            obj(
                {
                    "progress": NUMBER,
                    "eta_relative": NUMBER,
                    "state": _STATE,
                    "current_image": nullable(STRING),
                    "textinfo": nullable(STRING),
                }
            ),
        ),
        **refusals(*_READING, 422),
    },
}
EMPTY: Final[dict[str, Any]] = {
    "responses": {"200": reply("Done", {"type": ["object", "null"]}), **refusals(*_WORKING)},
}
_NAMED: Final[Docs] = obj({"name": STRING}, more=True)
SD_MODELS: Final = _get(array(obj({"title": STRING, "model_name": STRING, "filename": STRING}, more=True)))
SAMPLERS: Final = _get(array(_NAMED))
SCHEDULERS: Final = _get(array(obj({"name": STRING, "label": STRING}, more=True)))
UPSCALERS: Final = _get(array(_NAMED))
MEMORY: Final = _get(obj({"ram": _STATE, "cuda": _STATE}))
EXTRA_SINGLE: Final = _post(
    in_words(ExtraImage, ("image",)), obj({"html_info": STRING, "image": nullable(STRING)}), *_DRAWING
)
EXTRA_BATCH: Final = _post(
    in_words(ExtraImages, ("imageList",)), obj({"html_info": STRING, "images": array(STRING)}), *_WORKING
)
_PICTURE: Final = obj({"image": {"description": "base64"}}, more=True)
PNG_INFO: Final = _post(
    _PICTURE,
    obj({"info": STRING, "items": {"type": "object"}, "parameters": {"type": "object"}}),
    *_WORKING,
)
INTERROGATE: Final = _post(_PICTURE, obj({"caption": STRING}), *_WORKING)
