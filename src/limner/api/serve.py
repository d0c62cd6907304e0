"""Running the app under uvicorn."""

import logging
import socket
from collections.abc import Callable

import uvicorn

from limner.api.app import create_app
from limner.config import Settings
from limner.runtime import find_models, open_service

GRACE_S = 30  # how long running exchanges may go on after SIGTERM


class _Server(uvicorn.Server):
    """Tells its port once it listens: the one that was asked for, or the one that the system chose for 0."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[int], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce(self.servers[0].sockets[0].getsockname()[1])


def serve(settings: Settings, announce: Callable[[int], None]) -> int:
    """Serve until SIGINT or SIGTERM; returns the process's exit code (0, or 3 when it could not start).

    ``announce`` is told the port once the server listens; models may still be loading then. Raises LimnerError, before
    that, when a model that was named does not exist.
    """
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    specs = find_models(settings)
    app = create_app(settings, lambda chosen: open_service(chosen, specs))
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level=settings.log_level,
        access_log=settings.log_level == "debug",
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
    )
    server = _Server(config, announce)
    try:
        server.run()
    except SystemExit:  # uvicorn leaves with status 1 when the address cannot be bound, and has logged why
        return 3
    return 0 if server.started else 3
