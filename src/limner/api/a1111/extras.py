"""What is done with pictures that exist: enlarging them, reading what made them, describing them.

Owns these routes. Resampling is no job; a model that enlarges is one like any other.
"""

import asyncio
from typing import Any, TypeVar

import orjson
import pybase64
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.a1111 import docs
from limner.api.a1111.fields import parse
from limner.api.a1111.mount import state_of
from limner.api.a1111.planning import read_picture
from limner.api.a1111.upscaling import (
    ExtraFields,
    ExtraImage,
    ExtraImages,
    Target,
    blended,
    check_faces,
    enlarging,
    is_blended,
    resampled,
    target,
    upscaler,
)
from limner.api.asking import read_object
from limner.api.calls import Call, Wire, conduct, timeout_s_of
from limner.api.gateway import Gateway, gateway_of
from limner.core import Operation, Output, Picture, Request, Warning
from limner.errors import InvalidRequest
from limner.media.decode import read_base64
from limner.media.infotext import parsed
from limner.media.picture_text import read_text
from limner.media.recipe_text import INFOTEXT_KEYWORD
from limner.roster import ServedModel

F = TypeVar("F", bound=BaseModel)


class InfoFields(BaseModel):
    """The body of ``/png-info`` and ``/interrogate``."""

    model_config = ConfigDict(frozen=True, extra="allow")

    image: str = Field(min_length=1)
    model: str = "clip"


def add_to(router: APIRouter) -> None:
    """Add these routes."""
    router.add_api_route("/extra-single-image", extra_single, methods=["POST"], openapi_extra=docs.EXTRA_SINGLE)
    router.add_api_route("/extra-batch-images", extra_batch, methods=["POST"], openapi_extra=docs.EXTRA_BATCH)
    router.add_api_route("/png-info", png_info, methods=["POST"], openapi_extra=docs.PNG_INFO)
    router.add_api_route("/interrogate", interrogate, methods=["POST"], openapi_extra=docs.INTERROGATE)


async def _read(http: HttpRequest, kind: type[F]) -> F:
    return parse(kind, await read_object(http, gateway_of(http).settings.max_body_bytes))


async def extra_single(http: HttpRequest) -> Response:
    """Enlarge a picture."""
    gateway, fields = gateway_of(http), await _read(http, ExtraImage)
    check_faces(fields)
    model = upscaler(fields.upscaler_1, gateway.service.roster, "upscaler_1")
    _require_resampler(gateway, fields, "upscaler_2")
    if model is not None:
        return await _by_model(http, gateway, fields, model)
    data = await _enlarged(http, gateway, fields, fields.image, "image")
    return _shown(fields, {"image": pybase64.b64encode_as_string(data)}, {"image": None}, f"by {fields.upscaler_1}")


async def extra_batch(http: HttpRequest) -> Response:
    """Enlarge several pictures by resampling them."""
    gateway, fields = gateway_of(http), await _read(http, ExtraImages)
    check_faces(fields)
    for name in ("upscaler_1", "upscaler_2"):
        _require_resampler(gateway, fields, name)
    gateway.pictures.check_count(len(fields.imageList), gateway.settings.max_images, "a batch", "imageList")
    files = [await _enlarged(http, gateway, fields, one.data, "imageList") for one in fields.imageList]
    made = {"images": [pybase64.b64encode_as_string(file) for file in files]}
    return _shown(fields, made, {"images": []}, f"by {fields.upscaler_1}")


async def png_info(http: HttpRequest) -> Response:
    """What a picture's file says about how it was made."""
    gateway, fields = gateway_of(http), await _read(http, InfoFields)
    data = await asyncio.to_thread(read_base64, fields.image, gateway.media.limits, param="image")
    return _json(await asyncio.to_thread(_said_in, data))


def _said_in(data: bytes) -> dict[str, Any]:
    texts = read_text(data, param="image")
    info = texts.pop(INFOTEXT_KEYWORD, "")
    return {"info": info, "items": texts, "parameters": parsed(info) if info.strip() else {}}


async def interrogate(http: HttpRequest) -> Response:
    """Say what is in a picture. Raises ModelNotFound where no served model can."""
    gateway, fields = gateway_of(http), await _read(http, InfoFields)
    model = gateway.service.roster.route("", Operation.DESCRIBE, has_images=True)

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        picture = await read_picture(gateway, fields.image, "image")
        timeout_s = timeout_s_of(http, None)
        return Request(Operation.DESCRIBE, model.spec.id, "", inputs=(picture,), timeout_s=timeout_s), ()

    async def reply(call: Call) -> Response:
        return _json({"caption": (await call.outcome()).text}, call.headers)

    return await conduct(http, model.spec.id, read, Wire(reply=reply))


def _require_resampler(gateway: Gateway, fields: ExtraFields, name: str) -> None:
    chosen = getattr(fields, name)
    if upscaler(chosen, gateway.service.roster, name) is not None:
        raise InvalidRequest(
            f"{chosen!r} enlarges one picture at a time: ask /extra-single-image with it as upscaler_1", param=name
        )


async def _enlarged(http: HttpRequest, gateway: Gateway, fields: ExtraFields, source: str, param: str) -> bytes:
    async with state_of(http).resampling:
        picture = await read_picture(gateway, source, param)
        wanted = target(fields, picture.size)
        large = await asyncio.to_thread(resampled, picture, fields.upscaler_1, wanted.size)
        large = await asyncio.to_thread(blended, large, picture, wanted, fields)
        return await gateway.media.encode(large, Output())


async def _by_model(http: HttpRequest, gateway: Gateway, fields: ExtraImage, model: ServedModel) -> Response:
    """A job, whose picture is then brought to the size that was asked for and blended with the other upscaler's."""
    given: list[tuple[Picture, Target]] = []

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        picture = await read_picture(gateway, fields.image, "image")
        wanted = target(fields, picture.size)
        given.append((picture, wanted))
        timeout_s = timeout_s_of(http, None)
        return enlarging(model.spec, picture, wanted.size, timeout_s=timeout_s, param="upscaler_1"), ()

    async def reply(call: Call) -> Response:
        ((original, wanted),) = given
        (picture,) = (await call.outcome()).pictures
        if picture.size != wanted.size or wanted.crop is not None or is_blended(fields):
            large = await gateway.service.decoded(picture)
            whole = await asyncio.to_thread(blended, large, original, wanted, fields)
            data = await gateway.media.encode(whole, Output())
        else:
            data = await gateway.service.data_of(picture)
        made = {"image": pybase64.b64encode_as_string(data)}
        return _shown(fields, made, {"image": None}, f"by {call.job.model}", call.headers)

    return await conduct(http, model.spec.id, read, Wire(reply=reply))


def _shown(
    fields: ExtraFields,
    made: dict[str, Any],
    hidden: dict[str, Any],
    how: str,
    headers: dict[str, str] | None = None,
) -> Response:
    body = {"html_info": f"enlarged {how}", **(made if fields.show_extras_results else hidden)}
    return _json(body, headers)


def _json(value: object, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), media_type="application/json", headers=headers)
