"""Running the app under uvicorn."""

import logging

import uvicorn

from limner.api.app import create_app
from limner.config import Settings
from limner.runtime import find_models, open_service

GRACE_S = 30  # how long running exchanges may go on after SIGTERM


def serve(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; returns the process's exit code (0, or 3 when it could not start).

    Raises LimnerError, before it listens, when a model that was named does not exist.
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
    server = uvicorn.Server(config)
    server.run()
    return 0 if server.started else 3
