"""Serving stored pictures under signed, expiring links."""

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.gateway import gateway_of

router = APIRouter(tags=["Files"])
_MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp"}


@router.get("/files/{key:path}")
async def file(http: HttpRequest, key: str, expires: str = "", signature: str = "") -> Response:
    """The file under ``key``; 403 for a wrong or expired signature, 404 once it is gone."""
    blobs = gateway_of(http).blobs
    blobs.verify(key, expires, signature)
    data = await blobs.get(key)
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=86400, immutable",
    }
    media_type = _MEDIA_TYPES.get(key.rpartition(".")[2], "application/octet-stream")
    return Response(data, media_type=media_type, headers=headers)
