"""The jobs API as the OpenAPI document shows it."""

from typing import Any, Final, get_args

from limner.api.documents import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    Docs,
    array,
    errors,
    events,
    nullable,
    obj,
    page,
    query,
    ref,
    reply,
)
from limner.api.openai.docs import JOB_HEADERS, JSON_PICTURES, MANNERS, WORDLESS, fields
from limner.catalogue.resolve import PICTURELESS, PROMPTED
from limner.core import Operation
from limner.store.rows import JobStatus
from limner.webhooks.hooks import MAX_URL_CHARACTERS

_OPERATION: Final[Docs] = {"enum": [operation.value for operation in Operation]}
_STATUS: Final[Docs] = {"enum": list(get_args(JobStatus))}
_SHARE: Final[Docs] = {"type": "number", "minimum": 0, "maximum": 1}
_SECONDS: Final[Docs] = {"type": "number", "minimum": 0}
_MOMENT: Final[Docs] = {"type": "integer", "description": "unix seconds"}
_INSTANT: Final[Docs] = {"type": "number", "description": "unix seconds, to the millisecond"}
_WEBHOOK_URL: Final[Docs] = {"type": "string", "format": "webhook-url", "maxLength": MAX_URL_CHARACTERS}
_WEBHOOK: Final[Docs] = {
    "anyOf": [
        _WEBHOOK_URL,
        obj({"url": _WEBHOOK_URL, "secret": nullable({"type": "string", "pattern": "^whsec_"})}, optional=("secret",)),
    ],
    "description": "where to say that the job has ended; see docs/api.md",
}

EVENT_NAMES = ("queued", "progress", "preview", "words", "finished", "failed", "cancelled")

SCHEMAS: Final[Docs] = {
    "Job": obj(
        {
            "id": STRING,
            "object": {"const": "job"},
            "status": _STATUS,
            "position": {**nullable(INTEGER), "description": "jobs that come before it; null unless it is queued"},
            "eta_s": nullable(NUMBER),
            "progress": _SHARE,
            "created_at": _MOMENT,
            "started_at": nullable(_INSTANT),
            "ended_at": nullable(_INSTANT),
            "deadline_at": _MOMENT,
            "operation": _OPERATION,
            "model": STRING,
            "effective": {"type": "object", "additionalProperties": True},
            "warnings": array(ref("Warning")),
            "error": nullable(
                obj({"message": STRING, "type": STRING, "param": nullable(STRING), "code": STRING}),
            ),
            "cost": obj({"credits": nullable(NUMBER), "reserved_credits": NUMBER, "device_s": _SECONDS}),
            "result": nullable({"anyOf": [ref("Images"), ref("Description")]}),
        }
    ),
    "Jobs": page(ref("Job"), {"has_more": BOOLEAN, "first_id": nullable(STRING), "last_id": nullable(STRING)}),
}

_GENERATE: Final[Docs] = {"operation": {"const": Operation.GENERATE.value}, "webhook": nullable(_WEBHOOK)}
_WORDY: Final = [operation.value for operation in Operation if operation in PROMPTED and operation not in PICTURELESS]
_WORDLESS: Final = [operation.value for operation in Operation if operation not in PROMPTED | PICTURELESS]


def _changes(operation: Docs, required: list[str], own: Docs) -> Docs:
    extra = {"operation": operation, "webhook": nullable(_WEBHOOK), **JSON_PICTURES, **own}
    return fields(extra, ["operation", *required])


_ASKED: Final[Docs] = {
    "anyOf": [
        fields(_GENERATE, ["operation", "prompt"]),
        _changes({"enum": _WORDY}, ["prompt", "image"], {}),
        _changes({"enum": _WORDLESS}, ["image"], WORDLESS),
        _changes({"const": Operation.DESCRIBE.value}, [], {**WORDLESS, "question": STRING}),
    ]
}
CREATE: Final[dict[str, Any]] = {
    "parameters": MANNERS[:2],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _ASKED}},
    },
    "responses": {
        "200": reply("What it would cost", ref("Estimate")),
        "202": {**reply("The job", ref("Job")), "headers": JOB_HEADERS},
        **errors(402, 404, 409),
    },
}
LIST: Final[dict[str, Any]] = {
    "parameters": [
        query("status", array(_STATUS), "only these; repeated or separated by commas"),
        query("model", STRING, "only this model's, by its id"),
        query("operation", _OPERATION, "only these"),
        query("created_after", {"type": "integer", "minimum": 0, "maximum": 10**12 - 1}, "unix seconds"),
        query("created_before", {"type": "integer", "minimum": 0, "maximum": 10**12 - 1}, "unix seconds"),
        query("after", STRING, "the last id of the page before"),
        query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "jobs on a page"),
    ],
    "responses": {"200": reply("The jobs, newest first", ref("Jobs")), **errors(400, 404)},
}
SHOW: Final[dict[str, Any]] = {
    "parameters": [
        query("wait", {"type": "integer", "minimum": 1, "maximum": 60}, "seconds to wait for the job's end"),
    ],
    "responses": {"200": reply("The job", ref("Job")), **errors(400, 404)},
}
CANCEL: Final[dict[str, Any]] = {"responses": {"200": reply("The job", ref("Job")), **errors(404)}}
EVENTS: Final[dict[str, Any]] = {
    "parameters": [
        {"name": "Last-Event-ID", "in": "header", "required": False, "schema": STRING, "description": "where to go on"},
    ],
    "responses": {
        "200": events("What happens to the job, up to its end", *EVENT_NAMES),
        **errors(404),
    },
}
