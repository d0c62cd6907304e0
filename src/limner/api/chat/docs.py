"""Chat completions as the OpenAPI document shows them, derived from the wire's own field tables."""

from typing import Any, Final

from limner.api.chat.fields import ChatFields
from limner.api.chat.messages import PICTURE_TYPES, ROLES, TEXT_KEYS
from limner.api.documents import (
    BOOLEAN,
    INTEGER,
    STRING,
    Docs,
    array,
    errors,
    nullable,
    obj,
    query,
    ref,
    reply,
    some,
)
from limner.api.drawing import OTHER_NAMES, DrawFields
from limner.api.openai.docs import EXTENSIONS, JOB_HEADERS, MANNERS

_URL: Final[Docs] = {"type": "string", "format": "picture-url", "description": "a data: or http(s) URL"}
PICTURE: Final[Docs] = {"anyOf": [_URL, obj({"url": _URL}, more=True)]}
PICTURES: Final[Docs] = {"anyOf": [PICTURE, array(PICTURE)], "description": "one picture or a list of them"}
TOKENS: Final[Docs] = {"type": "integer", "minimum": 0}
MODEL: Final[Docs] = nullable({"type": "string", "format": "model", "description": "as /v1/models names it"})
_SIZE: Final[Docs] = nullable({"type": "string", "format": "size", "pattern": r"^(auto|\d{1,6}x\d{1,6})$"})

_OWN: Final[Docs] = DrawFields.model_json_schema()["properties"]
DRAWING: Final[Docs] = {
    **_OWN,
    **{theirs: _OWN[ours] for theirs, ours in OTHER_NAMES.items()},
    "size": _SIZE,
    "lora": EXTENSIONS["lora"],
}

_PART: Final[Docs] = {
    "anyOf": [
        *(obj({"type": {"const": kind}, key: STRING}, more=True) for kind, key in TEXT_KEYS.items()),
        *(obj({"type": {"const": kind}, "image_url": PICTURE}, more=True) for kind in PICTURE_TYPES),
    ]
}
CONTENT: Final[Docs] = {"anyOf": [STRING, array(_PART)]}
_SHOWN: Final[Docs] = {"anyOf": [PICTURE, obj({"image_url": PICTURE}, more=True)]}


def message() -> Docs:
    """One message of a conversation."""
    fields = {"role": {"enum": list(ROLES)}, "content": nullable(CONTENT), "images": nullable(array(_SHOWN))}
    return obj(fields, optional=("content", "images"), more=True)


_CONFIG: Final[Docs] = {
    "type": "object",
    "description": "what to draw, as RouteLLM and OpenRouter say it: what stands at the top may stand here, and the "
    "model's own parameters (docs/models.md)",
    "properties": {
        **DRAWING,
        "prompt": nullable(STRING),
        "image_prompt": nullable(PICTURES),
        "mask": nullable(PICTURE),
    },
    "additionalProperties": True,
}
_TOP: Final[Docs] = {
    **ChatFields.model_json_schema()["properties"],
    **_CONFIG["properties"],
    "model": MODEL,
    "messages": some(message()),
    "image_config": nullable(_CONFIG),
    "stream_options": nullable(obj({"include_usage": nullable(BOOLEAN)}, optional=("include_usage",), more=True)),
    "extra_body": EXTENSIONS["extra_body"],
}

_IMAGE_PART: Final[Docs] = obj({"type": {"const": "image_url"}, "image_url": obj({"url": STRING})})
_TEXT_PART: Final[Docs] = obj({"type": {"const": "text"}, "text": STRING})
_IMAGE: Final[Docs] = obj(
    {"type": {"const": "image_url"}, "image_url": obj({"url": STRING}), "index": TOKENS},
)
USAGE: Final[Docs] = obj(
    {
        "prompt_tokens": TOKENS,
        "completion_tokens": TOKENS,
        "total_tokens": TOKENS,
        "prompt_tokens_details": obj({"cached_tokens": TOKENS, "text_tokens": TOKENS, "image_tokens": TOKENS}),
        "completion_tokens_details": obj({"image_tokens": TOKENS, "reasoning_tokens": TOKENS}),
        "compute_points_used": {**TOKENS, "description": "100 to a credit, rounded up"},
    }
)
SCHEMAS: Final[Docs] = {
    "ChatCompletion": obj(
        {
            "id": STRING,
            "object": {"const": "chat.completion"},
            "created": INTEGER,
            "model": {**STRING, "description": "the one that drew or answered"},
            "system_fingerprint": {"type": "null"},
            "choices": some(
                obj(
                    {
                        "index": INTEGER,
                        "message": obj(
                            {
                                "role": {"const": "assistant"},
                                "content": {"anyOf": [STRING, some({"anyOf": [_IMAGE_PART, _TEXT_PART]})]},
                                "refusal": {"type": "null"},
                                "images": some(_IMAGE),
                            },
                            optional=("images",),
                        ),
                        "logprobs": {"type": "null"},
                        "finish_reason": {"const": "stop"},
                    }
                )
            ),
            "usage": USAGE,
            "limner": ref("Made"),
        }
    ),
}


def data_events(description: str) -> Docs:
    """A stream of server-sent events without names; the schema is one event's, its data a JSON object or [DONE]."""
    return {"description": description, "content": {"text/event-stream": {"schema": obj({"data": STRING}, more=True)}}}


def drawing_post(schema: Docs, made: Docs, stream: Docs, *more: Docs) -> Docs:
    """A POST of a JSON body of ``schema`` that answers with what was ``made``, or with a ``stream`` of it."""
    answered = reply("The pictures, or what they would cost", {"anyOf": [made, ref("Estimate")]})
    answered["content"] |= stream["content"]
    return {
        "parameters": [*MANNERS, *more],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {**answered, "headers": JOB_HEADERS},
            "202": {**reply("The job, which goes on", ref("Job")), "headers": JOB_HEADERS},
            **errors(402, 404, 409),
        },
    }


COMPLETIONS: Final[dict[str, Any]] = drawing_post(
    {"type": "object", "properties": _TOP, "required": ["messages"], "additionalProperties": True},
    ref("ChatCompletion"),
    data_events("chunks"),
    query("reply_form", {"enum": ["images", "parts", "markdown"]}, "as the field of that name"),
    query("reply_urls", {"enum": ["data", "link"]}, "as the field of that name"),
)
