"""OpenRouter's image API as the OpenAPI document shows it."""

from typing import Any, Final

from limner.api.chat_docs import DRAWING, MODEL, PICTURE, USAGE, data_events, drawing_post
from limner.api.documents import INTEGER, NUMBER, STRING, Docs, array, nullable, obj, ref, some
from limner.api.openai_docs import EXTENSIONS

_REFERENCE: Final[Docs] = {"anyOf": [obj({"image_url": PICTURE}, more=True), PICTURE]}
_ASKED: Final[Docs] = {
    "type": "object",
    "properties": {
        **DRAWING,
        "model": MODEL,
        "prompt": {"type": "string", "pattern": r"\S"},
        "stream": nullable({"type": "boolean"}),
        "partial_images": nullable({"type": "integer", "minimum": 0, "maximum": 3}),
        "size": nullable({**STRING, "description": "WIDTHxHEIGHT, or a tier such as 2K"}),
        "resolution": nullable({**STRING, "description": "a tier: 512, 1K, 2K, 4K"}),
        "aspect_ratio": nullable({**STRING, "description": "such as 16:9, or auto"}),
        "input_references": nullable(array(_REFERENCE)),
        "extra_body": EXTENSIONS["extra_body"],
    },
    "required": ["prompt"],
    "additionalProperties": True,
}
_COST: Final[Docs] = {**USAGE["properties"], "cost": {**NUMBER, "description": "in credits"}}
SCHEMAS: Final[Docs] = {
    "OpenRouterImages": obj(
        {
            "created": INTEGER,
            "data": some(obj({"b64_json": STRING, "media_type": STRING})),
            "usage": {**USAGE, "properties": _COST, "required": list(_COST)},
            "model": {**STRING, "description": "the one that drew"},
            "limner": ref("Made"),
        }
    ),
}
IMAGES: Final[dict[str, Any]] = drawing_post(
    _ASKED, ref("OpenRouterImages"), data_events("partial pictures, and one completed event a picture")
)
