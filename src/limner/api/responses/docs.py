"""Responses as the OpenAPI document shows them, derived from the wire's own field tables."""

from typing import Any, Final

from limner.api.chat.docs import DRAWING, MODEL, PICTURE, TOKENS, drawing_post, message
from limner.api.documents import (
    BOOLEAN,
    INTEGER,
    STRING,
    Docs,
    array,
    errors,
    events,
    nullable,
    obj,
    query,
    ref,
    reply,
    some,
)
from limner.api.openai.docs import EXTENSIONS
from limner.api.responses.fields import TOOL, ResponseFields, ToolFields

EVENT_NAMES: Final = (
    *(f"response.{name}" for name in ("created", "in_progress", "completed", "failed")),
    *(f"response.output_item.{name}" for name in ("added", "done")),
    *(f"response.content_part.{name}" for name in ("added", "done")),
    *(f"response.output_text.{name}" for name in ("delta", "done")),
    *(f"response.image_generation_call.{name}" for name in ("in_progress", "generating", "partial_image", "completed")),
)

_MASK: Final[Docs] = {
    "anyOf": [obj({"image_url": PICTURE}, more=True), obj({"file_id": STRING}, more=True)],
    "description": "white, or transparent, is drawn anew",
}
_TOOL: Final[Docs] = {
    "type": "object",
    "properties": {
        **ToolFields.model_json_schema()["properties"],
        **DRAWING,
        "type": {"const": TOOL},
        "model": MODEL,
        "input_image_mask": nullable(_MASK),
    },
    "required": ["type"],
    "additionalProperties": True,
}
_CALL: Final[Docs] = obj(
    {"type": {"enum": ["image_generation_call", "item_reference"]}, "id": STRING, "result": nullable(STRING)},
    optional=("result",),
    more=True,
)
_ASKED: Final[Docs] = {
    "type": "object",
    "properties": {
        **ResponseFields.model_json_schema()["properties"],
        **DRAWING,
        "model": MODEL,
        "input": {"anyOf": [{"type": "string", "minLength": 1}, some({"anyOf": [message(), _CALL]})]},
        "tools": some({"anyOf": [_TOOL, obj({"type": STRING}, more=True)]}),
        "extra_body": EXTENSIONS["extra_body"],
    },
    "required": ["input"],
    "additionalProperties": True,
}

_MADE: Final[Docs] = obj(
    {
        "id": STRING,
        "type": {"const": "image_generation_call"},
        "status": STRING,
        "result": nullable(STRING),
        "action": {"enum": ["generate", "edit"]},
        "background": STRING,
        "output_format": STRING,
        "quality": STRING,
        "size": STRING,
    }
)
_SAID: Final[Docs] = obj(
    {
        "id": STRING,
        "type": {"const": "message"},
        "status": STRING,
        "role": {"const": "assistant"},
        "content": array(obj({"type": {"const": "output_text"}, "text": STRING}, more=True)),
    }
)
_USAGE: Final[Docs] = obj(
    {
        "input_tokens": TOKENS,
        "input_tokens_details": {"type": "object", "additionalProperties": TOKENS},
        "output_tokens": TOKENS,
        "output_tokens_details": {"type": "object", "additionalProperties": TOKENS},
        "total_tokens": TOKENS,
        "compute_points_used": {**TOKENS, "description": "100 to a credit, rounded up"},
    }
)
SCHEMAS: Final[Docs] = {
    "Response": obj(
        {
            "id": STRING,
            "object": {"const": "response"},
            "created_at": INTEGER,
            "completed_at": INTEGER,
            "status": {"enum": ["queued", "in_progress", "completed", "failed", "cancelled"]},
            "background": BOOLEAN,
            "error": nullable(obj({"code": STRING, "message": STRING})),
            "model": {"type": "string", "description": "the one that drew or answered"},
            "output": array({"anyOf": [_MADE, _SAID]}),
            "usage": nullable(_USAGE),
            "limner": ref("Made"),
        },
        optional=("completed_at", "limner"),
        more=True,
    ),
}
CREATE: Final[dict[str, Any]] = drawing_post(_ASKED, ref("Response"), events("events", *EVENT_NAMES))
SHOW: Final[dict[str, Any]] = {
    "parameters": [query("stream", {"const": False}, "it comes whole")],
    "responses": {"200": reply("The response", ref("Response")), **errors(400, 404)},
}
CANCEL: Final[dict[str, Any]] = {"responses": {"200": reply("The response", ref("Response")), **errors(404)}}
