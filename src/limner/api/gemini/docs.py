"""Google's routes as the OpenAPI document shows them. Every key is taken in snake case too."""

from collections.abc import Iterable
from typing import Any, Final

from pydantic.alias_generators import to_camel

from limner.api.documents import (
    ASKED_BACK,
    BOOLEAN,
    ERRORS,
    INTEGER,
    STRING,
    Docs,
    array,
    nullable,
    obj,
    query,
    ref,
    reply,
    some,
)
from limner.api.gemini.asking import ABOUT_PEOPLE, FOR_WORDS, FORMATS, MODALITIES, UNUSED_BODY
from limner.api.gemini.contents import ROLES, UNUSED
from limner.api.gemini.errors import STATUS
from limner.api.gemini.imagen import HARMLESS
from limner.api.gemini.imagen import UNUSED as UNUSED_PARAMETERS
from limner.api.openai.docs import JOB_HEADERS, MANNERS

ERROR: Final[Docs] = obj(
    {
        "error": obj(
            {
                "code": INTEGER,
                "message": STRING,
                "status": {"enum": sorted(set(STATUS.values()))},
                "details": array({"type": "object", "required": ["@type"]}),
            }
        )
    }
)


def _refusals(*statuses: int) -> Docs:
    return {str(status): _refusal(status) for status in statuses}


def _refusal(status: int) -> Docs:
    told = reply(ERRORS[status], ref("GoogleError"))
    return {**told, "headers": ASKED_BACK} if status in (429, 503) else told


_ASKING: Final = _refusals(401, 403, 404, 500, 503)
_DRAWING: Final = {**_ASKING, **_refusals(400, 402, 408, 409, 413, 415, 429)}


def _without_effect(names: Iterable[str]) -> Docs:
    """Keys that are taken, whatever they hold."""
    return {to_camel(name): {"description": "taken, without effect"} for name in sorted(names)}


def _some_of(properties: Docs, required: tuple[str, ...] = (), *, more: bool = False) -> Docs:
    """An object of a request; null is as good as absent."""
    given = {name: value if name in required else nullable(value) for name, value in properties.items()}
    return obj(given, optional=tuple(name for name in properties if name not in required), more=more)


_COUNT: Final[Docs] = {"type": "integer", "minimum": 1}
_RATIO: Final[Docs] = {"type": "string", "description": "such as 16:9"}
_RESOLUTION: Final[Docs] = {"type": "string", "description": "512, 1K, 2K or 4K, as the model can"}
_OUTPUT: Final = _some_of({"mimeType": {"enum": list(FORMATS)}, "compressionQuality": INTEGER}, more=True)
_KIND: Final[Docs] = {"type": "string", "pattern": "^image/"}
_BASE64: Final[Docs] = {"type": "string", "format": "picture-base64"}
_URL: Final[Docs] = {"type": "string", "format": "picture-url"}
_ALONGSIDE: Final[Docs] = {
    "thought": BOOLEAN,
    "thoughtSignature": {},
    "partMetadata": {},
    **_without_effect(UNUSED),
}
_BLOB: Final = _some_of({"data": _BASE64, "mimeType": _KIND, "displayName": {}}, ("data",))
_FILE: Final = _some_of({"fileUri": _URL, "mimeType": _KIND, "displayName": {}}, ("fileUri",))
_KINDS: Final[Docs] = {"text": STRING, "inlineData": _BLOB, "fileData": _FILE}
_PART: Final[Docs] = {"anyOf": [_some_of({key: value, **_ALONGSIDE}, (key,)) for key, value in _KINDS.items()]}
_CONTENT: Final = _some_of({"role": {"enum": list(ROLES)}, "parts": {"anyOf": [array(_PART), _PART]}})
_IMAGE_CONFIG: Final = _some_of(
    {
        "aspectRatio": _RATIO,
        "imageSize": _RESOLUTION,
        "outputMimeType": {"enum": list(FORMATS)},
        "outputCompressionQuality": INTEGER,
        "imageOutputOptions": _OUTPUT,
        **_without_effect(ABOUT_PEOPLE),
    },
    more=True,
)
_CONFIG: Final = _some_of(
    {
        "candidateCount": _COUNT,
        "seed": INTEGER,
        "responseModalities": array({"enum": sorted(MODALITIES)}),
        "imageConfig": _IMAGE_CONFIG,
        **_without_effect(FOR_WORDS),
    },
    more=True,
)
_GENERATION: Final = _some_of(
    {
        "contents": {"anyOf": [some(_CONTENT), _CONTENT]},
        "generationConfig": _CONFIG,
        "model": {"type": "string", "description": "the path's again"},
        **_without_effect(UNUSED_BODY),
    },
    ("contents",),
)
_PREDICTION: Final = _some_of(
    {
        "instances": {**array(obj({"prompt": {"type": "string", "pattern": r"\S"}})), "minItems": 1, "maxItems": 1},
        "parameters": _some_of(
            {
                "sampleCount": _COUNT,
                "seed": INTEGER,
                "aspectRatio": _RATIO,
                "sampleImageSize": _RESOLUTION,
                "imageSize": _RESOLUTION,
                "enhancePrompt": BOOLEAN,
                "negativePrompt": STRING,
                "outputOptions": _OUTPUT,
                **_without_effect(UNUSED_PARAMETERS),
                **_without_effect(HARMLESS),
            },
            more=True,
        ),
        **_without_effect(["labels"]),
    },
    ("instances",),
)
_TOKENS: Final = array(obj({"modality": STRING, "tokenCount": INTEGER}))
_MODEL_FIELDS: Final[Docs] = {
    **dict.fromkeys(("name", "baseModelId", "version", "displayName", "description"), STRING),
    "inputTokenLimit": INTEGER,
    "outputTokenLimit": INTEGER,
    "supportedGenerationMethods": array(STRING),
}
SCHEMAS: Final[Docs] = {
    "GoogleError": ERROR,
    "GoogleModel": obj(_MODEL_FIELDS),
    "GoogleModels": _some_of({"models": array(ref("GoogleModel")), "nextPageToken": STRING}, ("models",)),
    "GoogleTokens": obj({"totalTokens": INTEGER, "promptTokensDetails": _TOKENS}),
    "GoogleContents": _some_of(
        {
            "candidates": array({"type": "object"}),
            "promptFeedback": {"type": "object"},
            "usageMetadata": {"type": "object"},
            "modelVersion": STRING,
            "responseId": STRING,
            "limner": ref("Made"),
        },
        ("usageMetadata", "modelVersion", "responseId"),
    ),
    "GooglePredictions": _some_of(
        {"predictions": array({"type": "object"}), "limner": ref("Made")},
        ("predictions",),
    ),
}


def _post(body: Docs, answers: Docs, *parameters: Docs, drawn: bool = True) -> dict[str, Any]:
    done = {"200": {**answers, "headers": JOB_HEADERS}} if drawn else {"200": answers}
    later = {"202": {**reply("The job, which goes on", ref("Job")), "headers": JOB_HEADERS}} if drawn else {}
    return {
        "parameters": [*(MANNERS if drawn else ()), *parameters],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {**done, **later, **_DRAWING},
    }


def _or_estimate(name: str) -> Docs:
    return {"anyOf": [ref(name), ref("Estimate")]}


_EVENT: Final = obj({"data": {"type": "string", "contentMediaType": "application/json"}})
_STREAMED: Final[Docs] = {
    "description": "An object a picture, tokens with the last; or what it would cost",
    "content": {
        "text/event-stream": {"schema": _EVENT},
        "application/json": {"schema": {"anyOf": [array({"type": "object"}), ref("Estimate")]}},
    },
}
GENERATE: Final = _post(
    _GENERATION, reply("A candidate a picture, or what it would cost", _or_estimate("GoogleContents"))
)
STREAM: Final = _post(_GENERATION, _STREAMED, query("alt", {"enum": ["json", "sse"]}, "sse: server-sent events"))
PREDICT: Final = _post(_PREDICTION, reply("The pictures, or their cost", _or_estimate("GooglePredictions")))
COUNT: Final = _post(
    {"anyOf": [_GENERATION, obj({"generateContentRequest": _GENERATION})]},
    reply("How many tokens it would be counted as", ref("GoogleTokens")),
    drawn=False,
)
_PAGE: Final = [
    query("pageSize", {"type": "integer", "minimum": 0}, "models on a page; 50 by default, at most 1000"),
    query("pageToken", STRING, "nextPageToken of the page before"),
]
MODELS: Final[dict[str, Any]] = {
    "parameters": _PAGE,
    "responses": {"200": reply("The served models", ref("GoogleModels")), **_ASKING, **_refusals(400)},
}
MODEL: Final[dict[str, Any]] = {"responses": {"200": reply("The model", ref("GoogleModel")), **_ASKING}}
