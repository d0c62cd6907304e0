"""The OpenAI Images routes as the OpenAPI document shows them, derived from the wire's own field table."""

from typing import Any, Final

from limner.api.openai_fields import ImageFields

_PICTURE: Final = {"type": "string", "format": "binary"}
_URL: Final = {"type": "string", "description": "a data: or http(s) URL"}


def _schema(extra: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = ImageFields.model_json_schema(ref_template="#/components/schemas/{model}")
    properties = {**schema["properties"], **extra}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": True}


_EXTENSIONS: Final[dict[str, Any]] = {
    "lora": {"description": "adapters: {path, scale} or a list of them"},
    "extra_body": {"type": "object", "description": "more parameters; the same as giving them at the top"},
}

GENERATIONS: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _schema(_EXTENSIONS, ["prompt"])}}}
}
EDITS: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": _schema(
                    {**_EXTENSIONS, "image": {"type": "array", "items": _PICTURE}, "mask": _PICTURE, "url": _URL},
                    ["prompt"],
                )
            },
            "application/json": {
                "schema": _schema(
                    {**_EXTENSIONS, "image": {"type": "array", "items": _URL}, "mask": _URL}, ["prompt", "image"]
                )
            },
        },
    }
}
