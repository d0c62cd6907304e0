"""Files, usage, models and health as the OpenAPI document shows them."""

from typing import Any, Final

from limner.api.documents import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    Docs,
    array,
    errors,
    header,
    nullable,
    obj,
    page,
    query,
    ref,
    reply,
)

_FILE_TYPES = ("image/png", "image/jpeg", "image/webp")
_OBJECT: Final[Docs] = {"type": "object", "additionalProperties": True}
_STATE: Final[Docs] = {"enum": ["ready", "loading", "failed"]}
_MOMENT: Final[Docs] = {"type": "string", "format": "moment"}
_SUMS: Final[Docs] = {"jobs": INTEGER, "images": INTEGER, "device_s": NUMBER, "credits": NUMBER}

SCHEMAS: Final[Docs] = {
    "File": obj(
        {
            "id": STRING,
            "object": {"const": "file"},
            "url": {"type": "string", "format": "uri"},
            "job_id": STRING,
            "media_type": {"enum": list(_FILE_TYPES)},
            "width": INTEGER,
            "height": INTEGER,
            "bytes": INTEGER,
            "seed": INTEGER,
            "created_at": INTEGER,
            "expires_at": INTEGER,
        }
    ),
    "Files": page(ref("File"), {"has_more": BOOLEAN}),
    "Recipe": {**_OBJECT, "required": ["object", "id", "job_id", "model", "seed", "effective"]},
    "Usage": page(
        obj({"key_id": STRING, "key_name": nullable(STRING), "model": STRING, **_SUMS}),
        {
            "since": NUMBER,
            "until": NUMBER,
            "total": obj(_SUMS),
            "balance": nullable(obj({"credits": NUMBER, "reserved": NUMBER})),
        },
    ),
    "Model": obj(
        {
            "id": STRING,
            "object": {"const": "model"},
            "operations": array(STRING),
            "parameters": {"type": "object", "additionalProperties": _OBJECT, "x-values": ref("ModelParameters")},
            "sizes": _OBJECT,
            "limits": _OBJECT,
            "state": _STATE,
            "stand_in": nullable(STRING),
            "schema": {"type": "object", "description": "its parameters as JSON Schema; only where one is asked for"},
            "resolves_to": {**STRING, "description": "of a name that means whichever fits: the one for plain words"},
        },
        optional=("schema", "resolves_to"),
        more=True,
    ),
    "Models": page(ref("Model"), {}),
    "Health": obj(
        {
            "status": {"enum": ["ok", "loading", "failed"]},
            "model": nullable(STRING),
            "ready": BOOLEAN,
            "models": array(obj({"id": STRING, "state": _STATE, "error": nullable(STRING)})),
        }
    ),
    "Live": obj({"status": {"const": "ok"}}),
    "Readiness": obj({"status": {"enum": ["ok", "unavailable"]}, "reasons": array(STRING)}),
}

_PICTURE: Final[Docs] = {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _FILE_TYPES}}
FILES: Final[dict[str, Any]] = {
    "parameters": [
        query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "pictures on a page"),
        query("after", STRING, "the last id of the page before"),
    ],
    "responses": {"200": reply("The pictures, newest first", ref("Files")), **errors(400, 404)},
}
FILE: Final[dict[str, Any]] = {
    "parameters": [
        query("expires", STRING, "of a signed link"),
        query("signature", STRING, "of a signed link, which needs no API key"),
        query("w", {"type": "integer", "minimum": 16, "maximum": 2048}, "width in pixels of a smaller picture"),
        header("Range", STRING, "bytes=FIRST-LAST"),
        header("If-Range", STRING, "an ETag"),
        header("If-None-Match", STRING, "ETags"),
    ],
    "responses": {
        "200": {"description": "The picture", **_PICTURE},
        "206": {"description": "The part of it that was asked for", **_PICTURE},
        "304": {"description": "It is what the client has"},
        **errors(400, 404, 416),
    },
}
RECIPE: Final[dict[str, Any]] = {
    "responses": {"200": reply("Everything that made the picture", ref("Recipe")), **errors(404)}
}
DELETE: Final[dict[str, Any]] = {"responses": {"204": {"description": "It is gone"}, **errors(404)}}
USAGE: Final[dict[str, Any]] = {
    "parameters": [
        query("since", _MOMENT, "unix seconds or ISO 8601; 30 days before until by default"),
        query("until", _MOMENT, "unix seconds or ISO 8601; now by default"),
        query("key", STRING, "a key's id, prefix or name; for the scope admin"),
    ],
    "responses": {"200": reply("Sums per key and model", ref("Usage")), **errors(400)},
}
MODELS: Final[dict[str, Any]] = {"responses": {"200": reply("The served models", ref("Models"))}}
MODEL: Final[dict[str, Any]] = {"responses": {"200": reply("The model", ref("Model")), **errors(404)}}
HEALTH: Final[dict[str, Any]] = {
    "responses": {
        "200": reply("The default model can be used", ref("Health")),
        "503": reply("It cannot be used now", ref("Health")),
    }
}
LIVE: Final[dict[str, Any]] = {"responses": {"200": reply("The process serves", ref("Live"))}}
READY: Final[dict[str, Any]] = {
    "responses": {
        "200": reply("A job would be taken", ref("Readiness")),
        "503": reply("None would be taken; the reasons", ref("Readiness")),
    }
}
METRICS: Final[dict[str, Any]] = {
    "responses": {"200": reply("Prometheus' text format", STRING, "text/plain"), **errors(404)}
}
