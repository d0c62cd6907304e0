"""Finished pictures: ``/v1/files``. Under a signed, expiring link for anybody, and under an API key for their owner.

Owns finding a picture for whoever asks, and sending it whole, in part or smaller; what made it is `records`' business.
"""

import re

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse

from limner.api import server_docs
from limner.api.doorkeeper import caller_of
from limner.api.envelope import error_body
from limner.api.gateway import Gateway, gateway_of
from limner.api.paths import FILE_ID
from limner.api.queries import MAX_PAGE, whole_number
from limner.api.ranges import Unsatisfiable, is_known, requested_extent
from limner.api.replies import Links
from limner.catalogue.values import shown
from limner.core import Size
from limner.errors import InvalidRequest, NotFound, UnknownParameter
from limner.media.thumbnail import thumbnail_size
from limner.records import recipe_of
from limner.service.publishing import FORMATS, picture_of
from limner.store.rows import ImageRow

router = APIRouter(tags=["Files"])
MIN_WIDTH_PX, MAX_WIDTH_PX = 16, 2048
_NAME = re.compile(rf"({FILE_ID})(?:\.(png|jpeg|jpg|webp))?", re.ASCII)


@router.get("/v1/files", openapi_extra=server_docs.FILES)
async def list_files(http: HttpRequest, limit: str | None = None, after: str | None = None) -> Response:
    """The caller's pictures, newest first; an admin's are everybody's. ``after`` is the last id of the page before."""
    gateway, caller = gateway_of(http), caller_of(http)
    caller.require("read")
    for name in http.query_params:
        if name not in ("limit", "after"):
            raise UnknownParameter(f"unknown parameter {shown(name)}; allowed: limit, after", param=name[:64])
    count = whole_number(http, "limit", 20, 1, MAX_PAGE)
    owner = None if caller.sees_all else caller.key_id
    rows = await gateway.service.store.images(owner, limit=count + 1, before=after)
    links = gateway.links(http)
    page = [_entry(row, links) for row in rows[:count]]
    body = {"object": "list", "data": page, "has_more": len(rows) > count}
    return Response(orjson.dumps(body), media_type="application/json")


def _entry(row: ImageRow, links: Links) -> dict[str, object]:
    return {
        "id": row.id,
        "object": "file",
        "url": links.to(picture_of(row)),
        "job_id": row.job_id,
        "media_type": row.media_type,
        "width": row.width_px,
        "height": row.height_px,
        "bytes": row.size_bytes,
        "seed": row.seed,
        "created_at": int(row.created_at_s),
        "expires_at": int(row.expires_at_s),
    }


@router.head("/v1/files/{id}", include_in_schema=False)
@router.get("/v1/files/{id}", openapi_extra=server_docs.FILE, response_class=Response)
async def show(
    http: HttpRequest, id: str, expires: str | None = None, signature: str | None = None, w: str | None = None
) -> Response:
    """A picture, under a signed link or for its owner; ``w`` is the width in pixels of a smaller one."""
    gateway = gateway_of(http)
    width_px = whole_number(http, "w", MAX_WIDTH_PX, MIN_WIDTH_PX, MAX_WIDTH_PX)
    image_id = _image_id(id)
    if signature is None:
        image = await owned_image(http, id)
    else:
        gateway.blobs.verify(image_id, expires or "", signature)
        image = await gateway.service.store.image(image_id)
        _check_extension(id, image)
    smaller = thumbnail_size(Size(image.width_px, image.height_px), width_px) if w is not None else None
    if smaller is not None:
        return await _send_smaller(http, gateway, image, smaller)
    return await _send(http, gateway, image)


@router.get("/v1/files/{id}/recipe", openapi_extra=server_docs.RECIPE)
async def recipe(http: HttpRequest, id: str) -> Response:
    """Everything that made a picture: model and revision, prompt, parameters, its seed, adapters, versions, times."""
    image = await owned_image(http, id)
    job = await gateway_of(http).service.store.get(image.job_id)
    headers = {"Cache-Control": "private, no-cache"}
    return Response(orjson.dumps(recipe_of(job, image)), media_type="application/json", headers=headers)


@router.delete("/v1/files/{id}", openapi_extra=server_docs.DELETE, status_code=204, response_class=Response)
async def delete(http: HttpRequest, id: str) -> Response:
    """Remove a picture before its time; its links are void at once."""
    gateway = gateway_of(http)
    caller_of(http).require("generate")
    image = await owned_image(http, id)
    await gateway.service.forget(image.id)
    return Response(status_code=204)


async def owned_image(http: HttpRequest, name: str) -> ImageRow:
    """The picture that ``name`` (an id, perhaps with its extension) means to the caller. Raises Forbidden without the
    scope ``read``, NotFound for one that is unknown, gone or somebody else's."""
    caller = caller_of(http)
    caller.require("read")
    image = await gateway_of(http).service.store.image(_image_id(name))
    if not caller.sees_all and image.owner != caller.key_id:
        raise _no_such(name)
    _check_extension(name, image)
    return image


def _image_id(name: str) -> str:
    match = _NAME.fullmatch(name)
    if match is None:
        raise _no_such(name)
    return match[1]


def _check_extension(name: str, image: ImageRow) -> None:
    extension = name.partition(".")[2].replace("jpg", "jpeg")
    if extension not in ("", FORMATS[image.media_type]):
        raise _no_such(name)


def _no_such(name: str) -> NotFound:
    return NotFound(f"no such file: {shown(name)}", param="id")


async def _send(http: HttpRequest, gateway: Gateway, image: ImageRow) -> Response:
    """The file as it is stored, or the part of it that is asked for, in chunks."""
    etag, size = f'"{_digest(image)}"', image.size_bytes
    headers = {**_headers(image, etag), "Accept-Ranges": "bytes"}
    if is_known(http.headers, etag):
        return Response(status_code=304, headers=headers)
    if http.method == "HEAD":
        size = await gateway.blobs.size(image.key)
        return Response(media_type=image.media_type, headers={**headers, "Content-Length": str(size)})
    try:
        extent = requested_extent(http.headers, etag, size)
    except Unsatisfiable:
        return _unsatisfiable(http.headers.get("range", ""), size)
    start, end = extent or (0, size)
    headers["Content-Length"] = str(end - start)
    if extent is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    chunks = await gateway.blobs.stream(image.key, start, end)
    return StreamingResponse(chunks, 200 if extent is None else 206, headers, image.media_type)


async def _send_smaller(http: HttpRequest, gateway: Gateway, image: ImageRow, size: Size) -> Response:
    """Made anew whenever it is asked for: browsers keep it, and nothing outlives the picture on the server."""
    etag = f'"{_digest(image)}-w{size.width_px}"'
    headers = _headers(image, etag)
    if is_known(http.headers, etag):
        return Response(status_code=304, headers=headers)
    data = await gateway.media.thumbnail(lambda: gateway.blobs.get(image.key), FORMATS[image.media_type], size)
    return Response(data, headers=headers, media_type=image.media_type)


def _headers(image: ImageRow, etag: str) -> dict[str, str]:
    return {
        "ETag": etag,
        "Cache-Control": "private, max-age=86400, immutable",
        "Content-Disposition": f'inline; filename="{image.id}.{FORMATS[image.media_type]}"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
    }


def _digest(image: ImageRow) -> str:
    """The content's SHA-256, by which its blob is named."""
    return image.key.rpartition("/")[2].partition(".")[0]


def _unsatisfiable(asked: str, size: int) -> Response:
    error = InvalidRequest(f"the range {shown(asked)} lies outside the file's {size} bytes", param="Range")
    headers = {"Content-Range": f"bytes */{size}"}
    return Response(orjson.dumps(error_body(error)), 416, headers, "application/json")
