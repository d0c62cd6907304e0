"""limner's real app with a backend that has its picture at once: what is left is limner itself.

``--returns file`` answers with a finished PNG, as hosted wires do; ``pixels`` with raw pixels that must be encoded.
``--returns constant`` is no limner at all: a Starlette route that answers with the same bytes, the floor under both.
"""

import argparse
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pybase64
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from benchmarks.drawings import MODEL
from benchmarks.pictures import as_png, photograph
from limner.api.app import create_app
from limner.api.doorkeeper import caller_of
from limner.api.gateway import gateway_of
from limner.catalogue import Catalogue
from limner.config import Settings, load_settings
from limner.core import EncodedPicture, Event, Finished, Operation, Picture, Request
from limner.jobs import Submission
from limner.memory import keep_objects, limit_arenas
from limner.roster import Roster, ServedModel
from limner.service import Service, open_tools

SERVICE = "/service"  # a route that no dialect has: the service called directly


@dataclass(frozen=True, slots=True)
class InstantBackend:
    """Answers every request with the same picture, whatever was asked."""

    picture: Picture | EncodedPicture

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Finish at once."""
        yield Finished((self.picture,) * request.n, "instant")

    @property
    def healthy(self) -> bool:
        """Always."""
        return True

    async def aclose(self) -> None:
        """Nothing to free."""


def limner_app(picture: Picture | EncodedPicture, data: Path) -> ASGIApp:
    """The real app around an InstantBackend."""

    @asynccontextmanager
    async def open_service(settings: Settings) -> AsyncIterator[Service]:
        roster = Roster()
        model = ServedModel(Catalogue.builtin().get(MODEL), InstantBackend(picture))
        roster.add(model)
        model.loaded()
        roster.settle()
        async with open_tools(settings) as tools:
            service = Service(roster, settings, tools)
            await service.start()
            keep_objects()  # as `limner serve` does
            try:
                yield service
            finally:
                await service.aclose()

    app = create_app(load_settings(None, {"data": data, "log_level": "warning"}), open_service)
    app.add_api_route(SERVICE, service_call, methods=["POST"])
    return app


async def service_call(http: HttpRequest) -> Response:
    """Draw without any dialect: how long the service takes from a Request to the picture's file."""
    given = orjson.loads(await http.body())
    request = Request(Operation.GENERATE, MODEL, given["prompt"], seed=given["seed"])
    service = gateway_of(http).service
    started_s = time.perf_counter()
    with service.seat(caller_of(http)) as seat:
        job = await seat.submit(request, Submission())
    outcome = await job.result()
    await service.data_of(outcome.pictures[0])
    return Response(orjson.dumps({"seconds": time.perf_counter() - started_s}), media_type="application/json")


def constant_app(picture: EncodedPicture) -> ASGIApp:
    """Reads the request and answers with a body made beforehand."""
    body = b'{"data":[{"b64_json":"' + pybase64.b64encode(picture.data) + b'"}]}'

    async def answer(request: HttpRequest) -> Response:
        await request.body()
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/health", answer), Route("/v1/images/generations", answer, methods=["POST"])])


def main() -> None:
    """Serve on a local port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--returns", choices=("file", "pixels", "constant"), required=True)
    parser.add_argument("--side-px", type=int, default=1024)
    options = parser.parse_args()
    picture = photograph(options.side_px)
    limit_arenas()  # as `limner serve` does
    with tempfile.TemporaryDirectory() as data:
        match options.returns:
            case "file":
                app = limner_app(as_png(picture), Path(data))
            case "pixels":
                app = limner_app(picture, Path(data))
            case _:
                app = constant_app(as_png(picture))
        uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", server_header=False)


if __name__ == "__main__":
    main()
