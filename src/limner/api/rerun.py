"""Drawing a picture again: ``POST /v1/files/{id}/rerun``.

Owns how the request that made a picture and a body of changes become a new request; from there on it is an images
request like any other.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.asking import IMAGE_FIELDS, Asked, Body, from_json, read_object
from limner.api.doorkeeper import caller_of
from limner.api.files import owned_image
from limner.api.gateway import gateway_of
from limner.api.openai import docs as openai_docs
from limner.api.openai.fields import flatten
from limner.api.openai.routes import answer
from limner.catalogue.spec import ModelSpec
from limner.core import Operation, Request, Warning
from limner.errors import Conflict
from limner.records import pixels_sha256
from limner.roster import Roster

router = APIRouter(tags=["Files"])


@router.post("/v1/files/{id}/rerun", openapi_extra=openai_docs.RERUN)
async def rerun(http: HttpRequest, id: str) -> Response:
    """Draw a picture again, exactly or with changes: any parameter, null for the model's own default."""
    caller_of(http).require("generate")
    gateway = gateway_of(http)
    image = await owned_image(http, id)
    record = (await gateway.service.store.get(image.job_id)).request
    settings = gateway.settings
    changes = await _changes(http, settings.max_body_bytes if record["inputs"] else settings.max_json_bytes)
    return await answer(http, _asked(record, *_changed(record, image.seed, changes, gateway.service.roster)))


async def _changes(http: HttpRequest, limit_bytes: int) -> dict[str, Any]:
    """The body, which may be missing."""
    if http.headers.get("content-length", "0") == "0" and "transfer-encoding" not in http.headers:
        return {}
    return await read_object(http, limit_bytes)


def _asked(record: Mapping[str, Any], fields: dict[str, Any], warnings: tuple[Warning, ...]) -> Asked:
    """``warnings`` are told with those about the pictures."""
    operation = Operation(record["operation"])
    if operation is Operation.GENERATE:
        return replace(Asked.of(operation, Body(fields)), compare=(lambda _: warnings) if warnings else None)
    body, compare = from_json(fields), _comparison(record)
    _require_pictures(record, body)
    return replace(Asked.of(operation, body), compare=lambda request: (*warnings, *compare(request)))


def _changed(
    record: Mapping[str, Any], seed: int, changes: Mapping[str, Any], roster: Roster
) -> tuple[dict[str, Any], tuple[Warning, ...]]:
    """The recorded request with ``changes``, and a warning for each parameter that another model does not take over,
    for it lacks it. Raises ModelNotFound."""
    reset, given = {name for name, value in changes.items() if value is None}, flatten(changes)
    recorded = {name: value for name, value in _recorded(record, seed).items() if name not in reset | given.keys()}
    other = _other_model(record, given.get("model", "" if "model" in reset else record["model"]), roster)
    if other is None:
        return recorded | given, ()
    lacked = sorted(recorded.keys() & record["params"].keys() - other.params.keys())
    why = f"was left out: the picture was made with it, and {other.id} does not have it"
    told = tuple(Warning(name, "ignored", f"{name!r} {why}") for name in lacked)
    return {name: value for name, value in recorded.items() if name not in lacked} | given, told


def _other_model(record: Mapping[str, Any], name: object, roster: Roster) -> ModelSpec | None:
    """The model that is to draw instead of the recorded one, if another is. Raises ModelNotFound."""
    if not isinstance(name, str) or name == record["model"]:
        return None
    spec = roster.route(name, Operation(record["operation"]), has_images=bool(record["inputs"])).spec
    return None if spec.id == record["model"] else spec


def _recorded(record: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The request as it was carried out, in the fields of the images API; it resolves to itself. Of pictures nothing is
    left, not even how many there were."""
    output, params = record["output"], record["params"]
    fields = {
        "model": record["model"],
        "prompt": record["prompt"],
        "size": record["size"],
        "seed": seed,
        "output_format": output["format"],
        "output_compression": output["compression"],
        "background": output["background"],
        **{name: value for name, value in params.items() if name not in IMAGE_FIELDS},
    }
    return {name: value for name, value in fields.items() if value is not None}


def _require_pictures(record: Mapping[str, Any], body: Body) -> None:
    missing = [] if body.images else [f"'image' ({len(record['inputs'])} in their order)"]
    if record["mask"] and body.mask is None:
        missing.append("'mask'")
    if missing:
        raise Conflict(
            "this picture was made from others, which are not kept for this: "
            f"send {' and '.join(missing)} again, as data: or http(s) URLs",
            param="mask" if body.images else "image",
        )


def _comparison(record: Mapping[str, Any]) -> Callable[[Request], tuple[Warning, ...]]:
    """Says which pictures of a request are not those that the recorded one had."""

    def compare(request: Request) -> tuple[Warning, ...]:
        pairs = [("image", record["inputs"], list(request.inputs))]
        if record["mask"]:
            pairs.append(("mask", [record["mask"]], [] if request.mask is None else [request.mask]))
        return tuple(
            Warning(param, "unverified", f"{param!r} is not what the picture was made from before")
            for param, before, now in pairs
            if [stored["sha256"] for stored in before] != [pixels_sha256(picture) for picture in now]
        )

    return compare
