"""The OpenAPI document: what every dialect's own page of it is made from, and what all of them share.

Owns the form of errors and of parameters in the document, the schemas that several routes name, and what is true of
every route: who may ask, and what any of them can answer. The dialects' ``*_docs`` modules say the rest.
"""

from collections.abc import Mapping
from typing import Any, Final

from limner.api.doorkeeper import PUBLIC, PUBLIC_PREFIXES

Docs = dict[str, Any]

INTEGER: Final[Docs] = {"type": "integer"}
NUMBER: Final[Docs] = {"type": "number"}
STRING: Final[Docs] = {"type": "string"}
BOOLEAN: Final[Docs] = {"type": "boolean"}

ERROR: Final[Docs] = {
    "type": "object",
    "required": ["error", "detail"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": STRING,
                "type": STRING,
                "param": {"type": ["string", "null"], "description": "the parameter at fault"},
                "code": {"type": "string", "description": "stable; see docs/api.md"},
            },
        },
        "detail": {"type": "string", "description": "the message again"},
    },
}
ERRORS: Final[Mapping[int, str]] = {
    400: "A value is not allowed, missing or unknown",
    401: "No API key, or a wrong one",
    402: "The key has too few credits",
    403: "The key may not do this, or a signed link is wrong or over",
    404: "No such thing",
    408: "The job's timeout is over, or the body stopped coming",
    409: "The idempotency key belongs to another request, or what is asked for contradicts what is kept",
    413: "More bytes, parts or pixels than are taken",
    415: "Not a picture, or a body of another kind",
    416: "The range lies outside the file",
    429: "Too much at once; Retry-After says when to come back",
    500: "Our fault; the log has the reason under the X-Request-Id",
    503: "The model is loading or has failed, or the server is starting or leaving",
}
FASTAPIS = "HTTPValidationError"  # the schema of the 422 that FastAPI adds to a route with parameters
EVERYWHERE = (500, 503)
BEHIND_THE_DOOR = (401, 403)
WITH_A_BODY = (400, 408, 413, 415, 429)
ASKED_BACK: Final[Docs] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
KEYS: Final[Docs] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
NO_KEY: Final[Docs] = {}  # an open server asks for none


def ref(name: str) -> Docs:
    """The schema of that name in `complete`."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(properties: Docs, *, optional: tuple[str, ...] = (), more: bool = False) -> Docs:
    """An object whose ``properties`` are all there, but for ``optional``; with others beside them only if ``more``."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": more,
    }


def array(items: Docs) -> Docs:
    """A list."""
    return {"type": "array", "items": items}


def some(items: Docs) -> Docs:
    """A list that is not empty."""
    return {**array(items), "minItems": 1}


def nullable(schema: Docs) -> Docs:
    """The schema's values, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def page(items: Docs, more: Docs) -> Docs:
    """A list in OpenAI's manner, with ``more`` keys beside its ``data``."""
    return obj({"object": {"const": "list"}, "data": array(items), **more})


def reply(description: str, schema: Docs, kind: str = "application/json") -> Docs:
    """One status' answer."""
    return {"description": description, "content": {kind: {"schema": schema}}}


def events(description: str, *names: str) -> Docs:
    """A stream of server-sent events of these names; the schema is one event's, its data a JSON object."""
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": {"type": "object"}}
    event = obj({"event": {"enum": list(names)}, "data": data, "id": STRING}, optional=("id",))
    return {"description": description, "content": {"text/event-stream": {"schema": event}}}


def errors(*statuses: int) -> Docs:
    """Answers for ``responses``: the error's form under each status."""
    return {str(status): _error(status) for status in statuses}


def _error(status: int) -> Docs:
    told = reply(ERRORS[status], ref("Error"))
    return {**told, "headers": ASKED_BACK} if status in (429, 503) else told


def query(name: str, schema: Docs, description: str) -> Docs:
    """An optional query parameter."""
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def header(name: str, schema: Docs, description: str) -> Docs:
    """An optional header."""
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description}


def complete(document: Docs, schemas: Mapping[str, Docs]) -> None:
    """Add to FastAPI's ``document`` the shared ``schemas`` and what is true of every route.

    What a route's page says of a parameter replaces what was made of its handler's signature, and the 422 that FastAPI
    expects is taken out: here that is a 400 as well, but for dialects that have a 422 of their own and no 400.
    """
    components = document.setdefault("components", {})
    components["schemas"] = {"Error": ERROR, **schemas}
    components["securitySchemes"] = KEYS
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _complete(operation, public=path in PUBLIC or path.startswith(PUBLIC_PREFIXES), body=method == "post")


def _complete(operation: Docs, *, public: bool, body: bool) -> None:
    responses = operation["responses"]
    if FASTAPIS in str(responses.get("422")):
        del responses["422"]
    statuses = (*EVERYWHERE, *(() if public else BEHIND_THE_DOOR), *(WITH_A_BODY if body else ()))
    told = errors(*(status for status in statuses if status != 400 or "422" not in responses))
    operation["responses"] = dict(sorted({**told, **responses}.items()))
    if not public:
        operation["security"] = [NO_KEY, *({name: []} for name in KEYS)]
    if "parameters" in operation:
        operation["parameters"] = list({(one["in"], one["name"]): one for one in operation["parameters"]}.values())
