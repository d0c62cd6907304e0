"""The ASGI application: routes, errors and start-up put together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Match
from starlette.staticfiles import StaticFiles

from limner import __version__
from limner.accounts import Keyring, open_keyring, prepare
from limner.api import files, health, meta, model_docs, rerun, server_docs, usage
from limner.api.a1111 import docs as a1111_docs
from limner.api.a1111 import routes as a1111
from limner.api.a1111.errors import ENVELOPE as A1111S
from limner.api.chat import docs as chat_docs
from limner.api.chat import routes as chat
from limner.api.documents import complete
from limner.api.doorkeeper import Doorkeeper
from limner.api.envelope import Envelopes
from limner.api.gateway import Gateway
from limner.api.gemini import docs as gemini_docs
from limner.api.gemini import routes as gemini
from limner.api.gemini.errors import ENVELOPE as GOOGLES
from limner.api.jobs import docs as job_docs
from limner.api.jobs import routes as jobs
from limner.api.jobs.replies import job_body
from limner.api.middleware import Exchange
from limner.api.openai import docs as openai_docs
from limner.api.openai import routes as openai_images
from limner.api.openrouter import docs as openrouter_docs
from limner.api.openrouter import models as openrouter_models
from limner.api.openrouter import routes as openrouter
from limner.api.operations import docs as operations_docs
from limner.api.operations import routes as operations
from limner.api.pictures import PictureReader, PixelBudget
from limner.api.relay import docs as relay_docs
from limner.api.relay import routes as relay
from limner.api.relay.errors import ENVELOPE as RELAYS
from limner.api.responses import docs as responses_docs
from limner.api.responses import routes as responses
from limner.api.watch import Watch
from limner.config import Settings
from limner.errors import InvalidRequest, LimnerError, MethodNotAllowed, NotFound, NotReady, TooLarge
from limner.media.addresses import parse_networks
from limner.media.fetch import Fetcher
from limner.media.guarded import Guard
from limner.secrets_file import secret_for
from limner.service import Service
from limner.webhooks import Postman, Sender

OpenService = Callable[[Settings], AbstractAsyncContextManager[Service]]
logger = logging.getLogger(__name__)
SWEEP_EVERY_S = 3600.0
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
DIALECTS = (
    openai_images.router,
    operations.router,
    chat.router,
    responses.router,
    openrouter.router,
    openrouter_models.router,
    gemini.router,
    a1111.router,
    relay.router,
    jobs.router,
    files.router,
    rerun.router,
    usage.router,
    meta.router,
    health.router,
)
DOCS = (
    openai_docs,
    operations_docs,
    chat_docs,
    responses_docs,
    openrouter_docs,
    gemini_docs,
    a1111_docs,
    relay_docs,
    job_docs,
    server_docs,
)
# Dialects whose clients want errors in another shape.
ENVELOPES = Envelopes([GOOGLES, A1111S, RELAYS])


class _Server(FastAPI):
    """An app whose OpenAPI document says all that the handlers' signatures do not."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            known = {name: schema for docs in DOCS for name, schema in docs.SCHEMAS.items()}
            complete(super().openapi(), known | model_docs.schemas())
        assert self.openapi_schema is not None
        return self.openapi_schema


def create_app(settings: Settings, open_service: OpenService) -> FastAPI:
    """The server as an ASGI app; ``open_service`` is entered at start-up and left at shutdown."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as opened:
            try:
                service = await opened.enter_async_context(open_service(settings))
                keyring = await opened.enter_async_context(open_keyring(service.store, settings))
                app.state.door = await prepare(service.store, keyring, settings)
                gateway = app.state.gateway = _gateway(settings, service, keyring)
                postman = _postman(gateway)
            except LimnerError as error:
                app.state.failure = error
                raise
            service.on_job_end.append(lambda ended: postman.wake() if ended.hooked else None)
            errands = [asyncio.create_task(_sweep(service)), asyncio.create_task(postman.run())]
            try:
                yield
            finally:
                for errand in errands:
                    errand.cancel()
                await asyncio.wait(errands)

    app = _Server(
        title="limner",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # Watch tells all of it, in our words
    )
    app.mount(f"/{meta.PAGE_FILES}", StaticFiles(packages=[meta.PAGE_PACKAGE]))
    for router in DIALECTS:
        app.router.routes.extend(router.routes)  # an included router would be searched twice for every request
    app.add_exception_handler(LimnerError, _render)
    app.add_exception_handler(HTTPException, _render)
    app.add_exception_handler(RequestValidationError, _render)
    app.add_middleware(
        Doorkeeper,
        keyring_of=lambda: _started(app).keyring,
        envelopes=ENVELOPES,
        public_url=settings.public_url,
    )
    app.add_middleware(
        Exchange,
        max_body_bytes=settings.max_body_bytes,
        max_bodies_bytes=settings.max_bodies_bytes,
        envelopes=ENVELOPES,
    )
    app.add_middleware(
        Watch,
        metrics_of=lambda: gateway.service.metrics if (gateway := _gateway_or_none(app)) else None,
        tracing_of=lambda: gateway.service.tracing if (gateway := _gateway_or_none(app)) else None,
    )
    return app


def _gateway_or_none(app: FastAPI) -> Gateway | None:
    gateway = getattr(app.state, "gateway", None)
    assert gateway is None or isinstance(gateway, Gateway)
    return gateway


def _started(app: FastAPI) -> Gateway:
    """The app's gateway. Raises NotReady before it has started."""
    gateway = _gateway_or_none(app)
    if gateway is None:
        raise NotReady("the server is starting", retry_after_s=2)
    return gateway


def _gateway(settings: Settings, service: Service, keyring: Keyring) -> Gateway:
    fetcher = Fetcher(
        enabled=settings.fetch,
        allow=settings.fetch_allow,
        max_bytes=settings.max_image_bytes,
        timeout_s=settings.fetch_timeout_s,
    )
    reader = PictureReader(
        service.media,
        fetcher,
        PixelBudget(settings.max_held_pixels),
        max_images=settings.max_images,
        max_image_bytes=settings.max_image_bytes,
    )
    return Gateway(settings, service, reader, keyring)


def _postman(gateway: Gateway) -> Postman:
    settings = gateway.settings
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    links = gateway.links_under(settings.public_url or f"http://{host}:{settings.port}")

    async def payload_of(job_id: str) -> bytes:
        return await job_body(gateway, await gateway.service.find(job_id), links, inline=False)

    guard = Guard(parse_networks(settings.webhook_allow), free_ports=True)
    secret = secret_for(settings.data / "webhook-secret", settings.secret)
    metrics = gateway.service.metrics
    return Postman(gateway.service.store, Sender(guard), payload_of, secret=secret, observe=metrics.webhook)


async def _sweep(service: Service) -> None:
    """Every hour remove what is past its time."""
    while True:
        try:
            removed = await service.sweep()
            if removed:
                logger.info("removed %d files that were past their time", removed)
        except Exception:  # the task's root: whatever is away for a while must not end it
            logger.exception("old files could not be removed; trying again in an hour")
        await asyncio.sleep(SWEEP_EVERY_S)


async def _render(http: HttpRequest, error: Exception) -> Response:
    known = _as_limner_error(http, error)
    headers = dict(getattr(http.state, "headers", {}))
    if isinstance(known, MethodNotAllowed):
        headers["Allow"] = _methods_of(http)
    return ENVELOPES.response(http.url.path, known, headers)


def _methods_of(http: HttpRequest) -> str:
    """The methods that the path has, from whichever route."""
    routes = http.app.router.routes
    asked = {method: {**http.scope, "method": method} for method in METHODS}
    return ", ".join(
        method for method, scope in asked.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)
    )


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
