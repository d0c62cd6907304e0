"""The OpenAI Images routes as the OpenAPI document shows them, derived from the wire's own field table."""

from typing import Any, Final

from limner.api.documents import (
    INTEGER,
    NUMBER,
    STRING,
    Docs,
    array,
    errors,
    events,
    header,
    nullable,
    obj,
    query,
    ref,
    reply,
    some,
)
from limner.api.manners import IDEMPOTENCY_KEY, NO, YES
from limner.api.openai.fields import LORA_NAMES, ImageFields
from limner.core import Operation

# Format names that are ours: they tell people and tools what a string is for.
_FILE: Final[Docs] = {"type": "string", "format": "binary"}
_URL: Final[Docs] = {"type": "string", "format": "picture-url", "description": "a data: or http(s) URL"}
_PICTURE: Final[Docs] = {
    "anyOf": [_URL, obj({"image_url": {"anyOf": [_URL, obj({"url": _URL}, more=True)]}}, more=True)]
}
_PICTURES: Final[Docs] = {"anyOf": [_PICTURE, some(_PICTURE)], "description": "one picture or a list of them"}
_NOT_BLANK: Final[Docs] = {"type": "string", "minLength": 1}
_PROMPT: Final[Docs] = {"type": "string", "pattern": r"\S"}
_MODEL: Final[Docs] = {
    "anyOf": [{"type": "string", "format": "model"}, {"const": ""}, {"type": "null"}],
    "description": "as /v1/models names it; the server's default without it",
}
_SIZE: Final[Docs] = nullable({"type": "string", "format": "size", "pattern": r"^(auto|\d{1,6}x\d{1,6})$"})
_ONE_LORA: Final[Docs] = {
    "type": "object",
    "properties": {**{name: nullable(_NOT_BLANK) for name in LORA_NAMES}, "scale": nullable(NUMBER)},
    "additionalProperties": False,
    "anyOf": [obj({name: _NOT_BLANK}, more=True) for name in LORA_NAMES],
}
_LORA: Final[Docs] = {"anyOf": [_NOT_BLANK, _ONE_LORA, array(_ONE_LORA)], "description": "adapters to apply"}
_MORE: Final[Docs] = {"type": "object", "description": "more parameters; the same as giving them at the top"}
EXTENSIONS: Final[Docs] = {"lora": nullable(_LORA), "extra_body": nullable(_MORE)}
JSON_PICTURES: Final[Docs] = {"image": _PICTURES, "mask": nullable(_PICTURE)}

# What every POST that makes pictures takes beside its body, see `manners`.
MANNERS: Final = [
    query("estimate", {"enum": [*YES, *NO]}, "say what it would cost and when it would be done, and do nothing"),
    header(
        "Idempotency-Key",
        {"type": "string", "pattern": f"^{IDEMPOTENCY_KEY.pattern}$"},
        "the same key with the same request within 24 h gives the same job",
    ),
    header(
        "Prefer",
        {"type": "string", "format": "preference"},
        "respond-async answers 202 with the job, wait=SECONDS after that long",
    ),
]
JOB_HEADERS: Final[Docs] = {
    "X-Limner-Job": {"schema": STRING, "description": "the job's id"},
    "Idempotent-Replayed": {"schema": {"const": "true"}, "description": "the idempotency key had already made it"},
}

_EFFECTIVE: Final[Docs] = {
    "type": "object",
    "description": "every value that took effect",
    "additionalProperties": True,
}
_TOKENS: Final[Docs] = {"type": "integer", "minimum": 0}


def _of(picture: Docs) -> Docs:
    """One of a reply's pictures; ``revised_prompt`` where a language model has put the prompt into other words."""
    return obj({**picture, "revised_prompt": STRING}, optional=("revised_prompt",))


SCHEMAS: Final[Docs] = {
    "Warning": obj(
        {"param": STRING, "code": {"enum": ["forced", "ignored", "adjusted", "unverified"]}, "message": STRING}
    ),
    "Images": obj(
        {
            "created": INTEGER,
            "data": array({"anyOf": [_of({"b64_json": STRING}), _of({"url": {"type": "string", "format": "uri"}})]}),
            "background": STRING,
            "output_format": {"enum": ["png", "jpeg", "webp"]},
            "quality": STRING,
            "size": STRING,
            "usage": obj(
                {
                    "input_tokens": _TOKENS,
                    "input_tokens_details": obj({"text_tokens": _TOKENS, "image_tokens": _TOKENS}),
                    "output_tokens": _TOKENS,
                    "total_tokens": _TOKENS,
                }
            ),
            "limner": ref("Made"),
        }
    ),
    "Made": obj(
        {
            "job_id": nullable(STRING),
            "operation": nullable(STRING),
            "reason": nullable(STRING),
            "model": STRING,
            "model_revision": nullable(STRING),
            "effective": _EFFECTIVE,
            "files": array(STRING),
            "warnings": array(ref("Warning")),
            "timings_s": {"type": "object", "additionalProperties": NUMBER},
        },
        optional=("model_revision",),
    ),
    "Estimate": obj(
        {
            "object": {"const": "estimate"},
            "operation": nullable(STRING),
            "model": nullable(STRING),
            "cost": obj({"credits": NUMBER, "device_s": NUMBER}),
            "position": INTEGER,
            "eta_s": NUMBER,
        }
    ),
}


EVENT_NAMES: Final = (
    *(f"image_{what}.{kind}" for what in ("generation", "edit") for kind in ("partial_image", "completed")),
    "error",
)


def fields(extra: Docs, required: list[str]) -> Docs:
    """The common fields of the wire, with ``extra``; what else is given are the model's own parameters."""
    schema = ImageFields.model_json_schema(ref_template="#/components/schemas/{model}")
    own = {"prompt": _PROMPT, "model": _MODEL, "size": _SIZE, **EXTENSIONS}
    return {
        "type": "object",
        "properties": {**schema["properties"], **own, **extra},
        "required": required,
        "additionalProperties": True,
    }


def pictures(body: Docs, *more: Docs, answers: tuple[str, ...] = ("Images",)) -> Docs:
    """A POST that makes pictures, or else one of the ``answers``: ``body`` is its requestBody, ``more`` are its own
    parameters."""
    made = reply("What was made, or what it would cost", {"anyOf": [*map(ref, answers), ref("Estimate")]})
    if "Images" in answers:
        made["content"] |= events("", *EVENT_NAMES)["content"]
    return {
        "parameters": [*MANNERS, *more],
        "requestBody": body,
        "responses": {
            "200": {**made, "headers": JOB_HEADERS},
            "202": {**reply("The job, which goes on", ref("Job")), "headers": JOB_HEADERS},
            **errors(402, 404, 409),
        },
    }


def _json(schema: Docs) -> Docs:
    return {"application/json": {"schema": schema}}


def _as_form(schema: Docs) -> Docs:
    """The same fields in a form, where an empty one stands for null."""
    return {**schema, "properties": {name: _or_empty(field) for name, field in schema["properties"].items()}}


def _or_empty(field: Docs) -> Docs:
    kinds = [{"const": ""} if kind == {"type": "null"} else kind for kind in field.get("anyOf", ())]
    return {**field, "anyOf": kinds} if kinds else field


_FORM: Final = {
    "image": some(_FILE),
    "mask": _FILE,
    "url": array(_URL),
    "extra_body": {"type": "string", "description": "a JSON object with more parameters"},
}
_RESPONSE_FORMAT: Final = query("response_format", {"enum": ["b64_json", "url"]}, "as the field of that name")
GENERATIONS: Final[dict[str, Any]] = pictures(
    {"required": True, "content": _json(fields({}, ["prompt"]))}, _RESPONSE_FORMAT
)


def changes(*asked: tuple[Docs, list[str]], answers: tuple[str, ...] = ("Images",)) -> Docs:
    """A POST that takes pictures in a form or in JSON, with one of the ``asked``: fields, and which are required."""
    forms = [_as_form(fields({**_FORM, **own}, required)) for own, required in asked]
    objects = [fields({**JSON_PICTURES, **own}, required) for own, required in asked]
    content = {"multipart/form-data": {"schema": _any_of(forms)}, **_json(_any_of(objects))}
    return pictures({"required": True, "content": content}, _RESPONSE_FORMAT, answers=answers)


def _any_of(schemas: list[Docs]) -> Docs:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


WORDLESS: Final[Docs] = {"prompt": {"type": "string"}}  # where a prompt may say more and need not
_EDITING: Final = {Operation.EDIT.value, Operation.INPAINT.value}
_OTHERWISE: Final = [operation.value for operation in Operation if operation not in (*_EDITING, Operation.GENERATE)]
_WHAT: Final = {"description": "what is to be done; without it, an edit, and with a mask inpainting"}
EDITS: Final[dict[str, Any]] = changes(
    ({"operation": {"enum": sorted(_EDITING), **_WHAT}}, ["prompt", "image"]),
    ({**WORDLESS, "operation": {"enum": _OTHERWISE, **_WHAT}}, ["operation", "image"]),
    answers=("Images", "Description"),
)
# Whether pictures are taken, and which, is up to the picture that is drawn again.
_AGAIN: Final = {
    name: {"description": "as in /v1/images/edits, for what was made from pictures"} for name in JSON_PICTURES
}
_CHANGES: Final = fields(_AGAIN, [])
RERUN: Final[dict[str, Any]] = pictures({"required": False, "content": _json(_CHANGES)})
