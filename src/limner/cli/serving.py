"""``limner serve``: settings from file, environment and arguments, a greeting, then the server itself."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from limner import __version__
from limner.config import Settings, load_settings

EXAMPLE = '{"prompt": "a red circle on a white background"}'


def run_server(config: Path | None, overrides: Mapping[str, object]) -> int:
    """Serve until interrupted; returns the exit code. Raises InvalidRequest for wrong settings."""
    settings = load_settings(config, overrides)
    from limner.api.serve import serve

    def announce(port: int) -> None:
        print(greeting(settings.model_copy(update={"port": port})), file=sys.stderr, flush=True)

    try:
        return serve(settings, announce)
    except KeyboardInterrupt:
        return 0  # the way a server in a terminal is meant to be stopped


def greeting(settings: Settings) -> str:
    """The address, and a command that draws a first picture with nothing but curl and coreutils.

    The retries let it be pasted while the model is still loading and the server answers 503.
    """
    address = url_of(settings)
    request = f"{address}/v1/images/generations -H 'Content-Type: application/json' -d {shlex.quote(EXAMPLE)}"
    extract = 'sed \'s/.*"b64_json":"\\([^"]*\\)".*/\\1/\' | base64 -d'
    command = f"curl -sSf --retry 9 {request} | {extract} > circle.png"
    models = ", ".join(settings.models) or "sketch, the small embedded model"
    return f"limner {__version__} at {address} serves {models}\n\nA first picture:\n\n  {command}\n"


def url_of(settings: Settings) -> str:
    """The address to type: a wildcard address is reached by the loopback one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{settings.port}"
