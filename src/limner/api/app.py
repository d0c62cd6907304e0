"""The ASGI application: routes, errors and start-up put together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from obstore.exceptions import BaseError
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner import __version__
from limner.api import files, meta, openai_images
from limner.api.envelope import error_response
from limner.api.gateway import Gateway
from limner.api.middleware import Exchange
from limner.api.pictures import PictureReader, PixelBudget
from limner.blobs import Blobs
from limner.config import Settings
from limner.errors import InvalidRequest, LimnerError, MethodNotAllowed, NotFound, TooLarge
from limner.media.decode import DecodeLimits
from limner.media.fetch import Fetcher
from limner.media.threads import MediaThreads
from limner.service import Service

OpenService = Callable[[Settings], AbstractAsyncContextManager[Service]]
logger = logging.getLogger(__name__)
SWEEP_EVERY_S = 86_400.0
DIALECTS = (openai_images.router, meta.router, files.router)


def create_app(settings: Settings, open_service: OpenService) -> FastAPI:
    """The server as an ASGI app; ``open_service`` is entered at start-up and left at shutdown."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_service(settings) as service:
            gateway = app.state.gateway = _gateway(settings, service)
            sweeping = asyncio.create_task(_sweep(gateway))
            try:
                yield
            finally:
                sweeping.cancel()
                gateway.media.close()

    app = FastAPI(title="limner", version=__version__, lifespan=lifespan, redoc_url=None)
    for router in DIALECTS:
        app.include_router(router)
    app.add_exception_handler(LimnerError, _render)
    app.add_exception_handler(HTTPException, _render)
    app.add_exception_handler(RequestValidationError, _render)
    app.add_middleware(Exchange, max_body_bytes=settings.max_body_bytes, max_bodies_bytes=settings.max_bodies_bytes)
    return app


def _gateway(settings: Settings, service: Service) -> Gateway:
    fetcher = Fetcher(
        enabled=settings.fetch,
        allow=settings.fetch_allow,
        max_bytes=settings.max_image_bytes,
        timeout_s=settings.fetch_timeout_s,
    )
    media = MediaThreads(DecodeLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels))
    return Gateway(
        settings=settings,
        service=service,
        pictures=PictureReader(
            media,
            fetcher,
            PixelBudget(settings.max_held_pixels),
            max_images=settings.max_images,
            max_image_bytes=settings.max_image_bytes,
        ),
        blobs=Blobs(settings.data),
        media=media,
    )


async def _sweep(gateway: Gateway) -> None:
    """Once a day remove the files that no link opens any more."""
    while True:
        lifetime = timedelta(seconds=gateway.settings.link_lifetime_s)
        try:
            removed = await gateway.blobs.sweep((datetime.now(UTC) - lifetime).date())
            logger.info("removed %d files older than %s", removed, lifetime)
        except (OSError, BaseError):
            logger.exception("old files could not be removed; trying again tomorrow")
        await asyncio.sleep(SWEEP_EVERY_S)


async def _render(http: HttpRequest, error: Exception) -> Response:
    return error_response(_as_limner_error(http, error))


def _as_limner_error(http: HttpRequest, error: Exception) -> LimnerError:
    match error:
        case LimnerError():
            return error
        case RequestValidationError():
            first = error.errors()[0]
            return InvalidRequest(str(first["msg"]), param=".".join(str(part) for part in first["loc"][1:]) or None)
        case HTTPException(status_code=404):
            return NotFound(f"no such path: {http.url.path}")
        case HTTPException(status_code=405):
            return MethodNotAllowed(f"{http.method} is not allowed on {http.url.path}")
        case HTTPException(status_code=413):
            return TooLarge(error.detail)
        case HTTPException() if error.detail.startswith(("Too many", "Field exceeded", "Part exceeded")):
            return TooLarge(error.detail)
        case HTTPException():
            return InvalidRequest(error.detail)  # Starlette raises 400 for a malformed form
        case _:
            raise error
