"""OpenRouter's image API as the OpenAPI document shows it."""

from typing import Any, Final

from limner.api.chat.docs import DRAWING, MODEL, PICTURE, USAGE, data_events, drawing_post
from limner.api.documents import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    Docs,
    array,
    errors,
    nullable,
    obj,
    ref,
    reply,
    some,
)
from limner.api.openai.docs import EXTENSIONS

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
_CAPABILITY: Final[Docs] = {
    "anyOf": [
        obj({"type": {"const": "enum"}, "values": some(STRING)}),
        obj({"type": {"const": "range"}, "min": NUMBER, "max": NUMBER}),
        obj({"type": {"const": "boolean"}}),
    ]
}
_TAKEN: Final[Docs] = {
    "supported_parameters": {"type": "object", "additionalProperties": _CAPABILITY},
    "supports_streaming": BOOLEAN,
}
_PRICE: Final[Docs] = obj(
    {"billable": STRING, "unit": STRING, "cost_usd": {**NUMBER, "description": "in credits of this server"}}
)
_ENDPOINT: Final[Docs] = {
    **_TAKEN,
    "provider_name": STRING,
    "provider_slug": STRING,
    "provider_tag": STRING,
    "allowed_passthrough_parameters": array(STRING),
    "pricing": array(_PRICE),
}
SCHEMAS: Final[Docs] = {
    "OpenRouterModel": obj(
        {
            **_TAKEN,
            "id": STRING,
            "name": STRING,
            "created": INTEGER,
            "description": STRING,
            "architecture": obj({"input_modalities": some(STRING), "output_modalities": some(STRING)}),
            "endpoints": {**STRING, "description": "where the details are"},
        }
    ),
    "OpenRouterEndpoints": obj({"id": STRING, "endpoints": some(obj(_ENDPOINT))}),
    "OpenRouterImages": obj(
        {
            "created": INTEGER,
            "data": some(obj({"b64_json": STRING, "media_type": STRING})),
            "usage": {**USAGE, "properties": _COST, "required": list(_COST)},
            "model": {**STRING, "description": "the one that drew, as the request calls it"},
            "limner": ref("Made"),
        }
    ),
}
IMAGES: Final[dict[str, Any]] = drawing_post(
    _ASKED, ref("OpenRouterImages"), data_events("partial pictures, and one completed event a picture")
)
MODELS: Final[dict[str, Any]] = {
    "responses": {"200": reply("The served models that draw", obj({"data": array(ref("OpenRouterModel"))}))}
}
ENDPOINTS: Final[dict[str, Any]] = {
    "responses": {"200": reply("Where the model is drawn: here", ref("OpenRouterEndpoints")), **errors(404)}
}
