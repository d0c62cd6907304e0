"""Serving stored pictures under signed, expiring links."""

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.gateway import gateway_of
from limner.blobs import media_type_of

router = APIRouter(tags=["Files"])


@router.head("/files/{key:path}", include_in_schema=False)
@router.get("/files/{key:path}")
async def file(http: HttpRequest, key: str, expires: str = "", signature: str = "") -> Response:
    """The file under ``key``; 403 for a wrong or expired signature, 404 once it is gone."""
    gateway = gateway_of(http)
    gateway.blobs.verify(key, expires, signature)
    data = await gateway.blobs.get(key)
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=86400, immutable",
    }
    return Response(data, media_type=media_type_of(key), headers=headers)
