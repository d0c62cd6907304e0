"""What A1111's clients ask to fill their menus: models, samplers, upscalers, memory and the like.

Owns these lists. What does not exist here is an empty list, which is what clients expect of a server without any.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.a1111 import docs
from limner.api.a1111.samplers import listed, schedules
from limner.api.a1111.upscaling import upscalers
from limner.api.gateway import gateway_of
from limner.core import Operation
from limner.roster import ServedModel

# Path -> a list that is always the same.
FIXED: Mapping[str, Any] = {
    "/latent-upscale-modes": [],
    "/sd-vae": [],
    "/loras": [],
    "/embeddings": {"loaded": {}, "skipped": {}},
    "/hypernetworks": [],
    "/face-restorers": [],
    "/realesrgan-models": [],
    "/prompt-styles": [],
    "/scripts": {"txt2img": [], "img2img": []},
    "/script-info": [],
    "/extensions": [],
    "/cmd-flags": {"api": True, "nowebui": True},
}
# Rereading folders: here the models are those that the server was started with.
REFRESHED = ("/refresh-checkpoints", "/refresh-vae", "/refresh-loras", "/refresh-embeddings")

DRAWN = frozenset({Operation.GENERATE, Operation.EDIT, Operation.INPAINT})


def add_to(router: APIRouter) -> None:
    """Add these routes."""
    for path, value in FIXED.items():
        _add_fixed(router, path, value, "GET", docs.listing(value))
    for path in REFRESHED:
        _add_fixed(router, path, None, "POST", docs.EMPTY)
    router.add_api_route("/sd-models", sd_models, methods=["GET"], openapi_extra=docs.SD_MODELS)
    router.add_api_route("/samplers", samplers, methods=["GET"], openapi_extra=docs.SAMPLERS)
    router.add_api_route("/schedulers", schedulers, methods=["GET"], openapi_extra=docs.SCHEDULERS)
    router.add_api_route("/upscalers", upscalers_list, methods=["GET"], openapi_extra=docs.UPSCALERS)
    router.add_api_route("/memory", memory, methods=["GET"], openapi_extra=docs.MEMORY)


def _add_fixed(router: APIRouter, path: str, value: object, method: str, page: dict[str, Any]) -> None:
    async def answer() -> Response:
        return _json(value)

    name = path.strip("/").replace("-", "_")
    summary = "What does not exist here" if method == "GET" else "Nothing: what is served was named at the start"
    router.add_api_route(path, answer, methods=[method], name=name, summary=summary, openapi_extra=page)


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


async def sd_models(http: HttpRequest) -> Response:
    """The served models that draw, as checkpoints."""
    drawing = (model for model in gateway_of(http).service.roster if model.spec.operations & DRAWN)
    return _json([_checkpoint(model) for model in drawing])


def _checkpoint(model: ServedModel) -> dict[str, Any]:
    spec = model.spec
    return {
        "title": spec.id,
        "model_name": spec.title,
        "hash": None,
        "sha256": None,
        "filename": spec.routes[0].source,
        "config": None,
    }


async def samplers(http: HttpRequest) -> Response:
    """The samplers that the served models can be drawn with."""
    return _json(listed(model.spec for model in gateway_of(http).service.roster))


async def schedulers() -> Response:
    """The noise schedules."""
    return _json(schedules())


async def upscalers_list(http: HttpRequest) -> Response:
    """What ``/extra-single-image`` can enlarge with."""
    return _json(upscalers(gateway_of(http).service.roster))


async def memory() -> Response:
    """This machine's memory in bytes; devices are told by ``/metrics``."""
    told = "device memory is told by /metrics"
    return _json({"ram": _ram(), "cuda": {"error": told}})


def _ram() -> dict[str, Any]:
    try:
        page, total = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
        free = os.sysconf("SC_AVPHYS_PAGES")
        used = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError):
        return {"error": "this system does not tell"}
    return {"free": free * page, "used": used * page, "total": total * page}
