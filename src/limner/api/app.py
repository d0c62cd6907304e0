"""The ASGI application: routes, errors and start-up put together."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
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
DIALECTS = (openai_images.router, meta.router, files.router)


def create_app(settings: Settings, open_service: OpenService) -> FastAPI:
    """The server as an ASGI app; ``open_service`` is entered at start-up and left at shutdown."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_service(settings) as service:
            gateway = app.state.gateway = _gateway(settings, service)
            try:
                yield
            finally:
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
        case HTTPException():
            return InvalidRequest(error.detail)  # Starlette raises 400 for a malformed form
        case _:
            raise error
