"""The Relay's routes as the OpenAPI document shows them; the endpoints' parameters are the catalogue's."""

from typing import Any, Final

from limner.api.a1111.docs import TOLD
from limner.api.documents import ASKED_BACK, INTEGER, NUMBER, STRING, Docs, array, nullable, obj, query, ref, reply
from limner.api.openai.docs import JOB_HEADERS, MANNERS
from limner.api.relay.endpoints import MASK, Endpoint
from limner.api.relay.errors import KINDS
from limner.api.relay.replies import STATUS
from limner.catalogue import Catalogue, schema
from limner.catalogue.images import PLAIN
from limner.core import Operation

_READING: Final = (401, 403, 500, 503)
_DRAWING: Final = (*_READING, 402, 404, 409, 413, 415, 422, 429, 504)
_TOLD: Final = {**TOLD, 409: "The first request with this idempotency key is not answered yet", 504: "It took too long"}
_CODES: Final = sorted({code for _, _, code in KINDS} | {"TASK_NOT_FOUND"})
_PICTURE: Final[Docs] = {"type": "string", "format": "picture-url", "description": "base64, or a data: or http(s) URL"}
_PROMPT: Final[Docs] = {"type": "string", "pattern": r"\S"}
_WAYS: Final[Docs] = {
    "model": nullable({"type": "string", "description": "another served model, with its own parameters"}),
    "async": nullable({"type": "boolean", "description": "answer 202 with the task at once"}),
    "webhook_url": nullable({"type": "string", "format": "webhook-url", "description": "told when it has ended"}),
}


def _refusals(*statuses: int) -> Docs:
    told = {status: reply(_TOLD[status], ref("RelayError")) for status in sorted(statuses)}
    return {str(s): {**one, "headers": ASKED_BACK} if s in (429, 503) else one for s, one in told.items()}


def drawing(endpoint: Endpoint) -> dict[str, Any]:
    """A POST that draws; its body is the table of the endpoint's model."""
    spec = Catalogue.builtin().get(endpoint.model)
    table: Any = schema(spec)["properties"]
    applies = {
        name for name, one in spec.params.items() if one.applies_to(endpoint.operation) and one.type != "loras"
    }  # adapters are in no table of the document, and taken all the same
    pictures: Docs = {} if endpoint.operation is Operation.GENERATE else {PLAIN: _PICTURE, MASK: nullable(_PICTURE)}
    fields = {name: nullable(field) for name, field in table.items() if name in applies and name != "prompt"}
    sized = {name: {**nullable(STRING), "default": value} for name, value in endpoint.defaults.items()}
    body = {
        "type": "object",
        "properties": {"prompt": _PROMPT, **pictures, **sized, **fields, **_WAYS},
        "required": ["prompt", *([PLAIN] if pictures else [])],
        "additionalProperties": True,
    }
    made = {"anyOf": [ref("RelayPictures"), ref("Estimate")]}
    return {
        "parameters": MANNERS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {**reply("The pictures, or what they would cost", made), "headers": JOB_HEADERS},
            "202": {**reply("The task, which goes on", ref("RelayAccepted")), "headers": JOB_HEADERS},
            **_refusals(*_DRAWING, 408),
        },
    }


_STATUSES: Final[Docs] = {"enum": sorted(set(STATUS.values()))}
_ERROR: Final[Docs] = obj(
    {
        "code": {"enum": _CODES},
        "type": STRING,
        "source": {"enum": ["client", "provider", "server"]},
        "message": STRING,
        "request_id": STRING,
        "param": nullable(STRING),
    }
)
SCHEMAS: Final[Docs] = {
    "RelayError": obj({"detail": STRING, "error": _ERROR}),
    "RelayPictures": obj(
        {
            "images": {"type": "array", "items": STRING, "description": "base64, or links"},
            "urls": array(STRING),
            "size": STRING,
            "model": STRING,
            "task_id": STRING,
            "limner": ref("Made"),
        },
        optional=("images", "urls", "size"),
    ),
    "RelayAccepted": obj(
        {"task_id": STRING, "task_address": STRING, "status": _STATUSES, "poll_url": STRING, "message": STRING}
    ),
    "RelayTask": obj(
        {
            "task_id": STRING,
            "task_address": STRING,
            "status": _STATUSES,
            "elapsed_seconds": NUMBER,
            "progress": NUMBER,
            "model": STRING,
            "created_at": {"type": "string", "format": "date-time"},
            "error": nullable(STRING),
            "error_code": nullable(STRING),
            "error_detail": nullable(_ERROR),
            "result": nullable({"type": "object"}),
        }
    ),
}
TASK: Final[dict[str, Any]] = {
    "parameters": [query("wait", {"type": "integer", "minimum": 1, "maximum": 30}, "seconds to wait for its end")],
    "responses": {"200": reply("The task", ref("RelayTask")), **_refusals(*_READING, 404, 422)},
}
_ROWS: Final[Docs] = array({"type": "object"})


def _get(answer: Docs) -> dict[str, Any]:
    return {"responses": {"200": reply("As it is now", answer), **_refusals(*_READING)}}


MODELS: Final = _get(obj({"models": _ROWS, "count": INTEGER}))
PRICING: Final = _get(obj({"currency": STRING, "models": _ROWS}))
_CREDITS: Final[Docs] = nullable(NUMBER)
CREDITS: Final = _get(
    obj({"balance": _CREDITS, "total_consumed": NUMBER, "total_allocated": _CREDITS, "reserved": _CREDITS})
)
