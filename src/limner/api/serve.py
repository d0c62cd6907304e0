"""Running the app under uvicorn.

Owns what happens around it, in this order: the data directory and the address are claimed before anything heavy, the
port is announced, and the server leaves when told to or when it has no model to serve with.
"""

import asyncio
import errno
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from limner import logs
from limner.accounts import Door
from limner.api.app import create_app
from limner.api.gateway import Gateway
from limner.config import Settings
from limner.errors import InvalidRequest, LimnerError, NotReady
from limner.memory import keep_objects, limit_arenas
from limner.runtime import find_models, open_service

Announce = Callable[[int, Door], None]
BACKLOG = 2048
TELL_S = 5  # how long clients may take to hear that the drain is over
# A host may stand for addresses that this machine lacks, as localhost does where there is no IPv6.
NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class _Terse:
    """The app, saying of a start that failed for a known reason only that it did: the reason is told once, without the
    traceback that Starlette makes of it."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""

        async def tersely(message: Message) -> None:
            known = message["type"] == "lifespan.startup.failed" and hasattr(self._app.state, "failure")
            await send({**message, "message": ""} if known else message)

        await self._app(scope, receive, tersely if scope["type"] == "lifespan" else send)


class _Server(uvicorn.Server):
    """Tells its port once it listens, refuses new jobs once it is told to leave, and leaves if no model loads:
    ``failure`` is then the first one's."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, announce: Announce, drain_s: float) -> None:
        super().__init__(config)
        self._drain_s = drain_s
        self.failure: LimnerError | None = None
        self._app = app
        self._announce = announce
        self._watch: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce(self.servers[0].sockets[0].getsockname()[1], self._app.state.door)
        self._watch = asyncio.create_task(self._settle())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        assert self._watch is not None, "only a server that has started is shut down"
        self._watch.cancel()
        self._gateway.service.stop_accepting()
        draining = asyncio.create_task(self._gateway.service.drain(self._drain_s))
        await super().shutdown(sockets)  # waits for connections, whose clients hear of the drain's end
        draining.cancel()
        self._captured_signals.clear()  # they were heeded: the process ends as told, not by them
        if any(model.state == "loading" for model in self._gateway.service.roster):
            _end()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, a second one of any kind ends the process at once."""
        if self.should_exit:
            os._exit(128 + sig)  # like kill -9, after which nothing is lost: whatever is tidier takes longer
        super().handle_exit(sig, frame)

    @property
    def _gateway(self) -> Gateway:
        gateway = self._app.state.gateway
        assert isinstance(gateway, Gateway)
        return gateway

    async def _settle(self) -> None:
        """Wait until the models are loaded; leave if none could be."""
        service = self._gateway.service
        try:
            await service.ready()
        except LimnerError as error:
            if all(model.error is not None for model in service.roster):
                self.failure = error
                self.should_exit = True
        keep_objects()


def _end() -> None:
    """Everything is closed but a thread that loads a model, for which Python would wait."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def serve(settings: Settings, announce: Announce) -> int:
    """Serve until SIGINT or SIGTERM; returns the process's exit code (0, or 3 when it could not start).

    ``announce`` is told the port, and whether API keys are needed, once the server listens; models may still be loading
    then. Raises InvalidRequest for a data directory that cannot be written or a model that does not exist, NotReady for
    an address that cannot be listened on, a database or picture store that cannot be opened, or when not one model
    could be loaded.
    """
    logs.configure(settings)
    limit_arenas()
    make_writable(settings.data)
    with ExitStack() as closing:
        sockets = [closing.enter_context(listener) for listener in listen(settings.host, settings.port)]
        specs = find_models(settings)
        chosen = settings.model_copy(update={"port": sockets[0].getsockname()[1]})  # links begin with it
        app = create_app(chosen, lambda opened: open_service(opened, specs))
        config = uvicorn.Config(
            _Terse(app),
            log_config=None,
            log_level=settings.log_level,
            access_log=settings.log_level == "debug",
            timeout_graceful_shutdown=settings.drain_s + TELL_S,
            server_header=False,
        )
        server = _Server(config, app, announce, settings.drain_s)
        try:
            server.run(sockets)
        except SystemExit:  # uvicorn leaves so when the app does not start
            if isinstance(failure := getattr(app.state, "failure", None), LimnerError):
                raise failure from None
            return 3  # and has logged why
    if server.failure is not None:
        raise NotReady(f"no model could be loaded: {server.failure.message}")
    return 0


def make_writable(directory: Path) -> None:
    """Create ``directory`` if it is missing. Raises InvalidRequest when that, or writing there, is not possible."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # prompts and pictures lie in it
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise InvalidRequest(
            f"cannot write to the data directory {str(directory)!r}: {reason}", param="data"
        ) from error


def listen(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on every address of ``host``, on one port: with 0 on one that the system chooses.

    Raises NotReady naming the address and the reason.
    """
    try:
        return _listeners(host, port)
    except (OSError, UnicodeError) as error:
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        reason = error.strerror if isinstance(error, OSError) else "this is no host name"
        raise NotReady(f"cannot listen on {shown}: {reason}") from error


def _listeners(host: str, port: int) -> list[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    with ExitStack() as closing:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            chosen = sockets[0].getsockname()[1] if sockets else port
            try:
                sockets.append(closing.enter_context(_listener(family, (address[0], chosen, *address[2:]))))
            except OSError as error:
                if error.errno not in NOT_HERE:
                    raise
                absent = error
        if absent is not None and not sockets:
            raise absent
        closing.pop_all()
    return sockets


def _listener(family: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
