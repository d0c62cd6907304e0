"""``limner serve``: settings from file, environment and arguments, a greeting, then the server itself."""

import shlex
import sys
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from limner import __version__
from limner.config import Settings, load_settings

EXAMPLE = '{"prompt": "a red circle on a white background"}'
EXPOSED = (
    "there are no API keys yet: everybody who can reach {host} port {port} can draw here; use --host 127.0.0.1 to "
    "serve this machine alone, or let a proxy in front ask who it is"
)


def run_server(config: Path | None, overrides: Mapping[str, object]) -> int:
    """Serve until interrupted; returns the exit code. Raises InvalidRequest for wrong settings, and what
    `limner.api.serve.serve` raises."""
    settings = load_settings(config, overrides)
    from limner.api.serve import serve

    def announce(port: int) -> None:
        chosen = settings.model_copy(update={"port": port})
        print(greeting(chosen), file=sys.stderr)
        if not is_loopback(settings.host):
            print(f"limner: warning: {EXPOSED.format(host=settings.host, port=port)}", file=sys.stderr)
        sys.stderr.flush()

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


def is_loopback(host: str) -> bool:
    """Whether ``host`` is reached from this machine alone; of names only localhost is known to be."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def url_of(settings: Settings) -> str:
    """The address to type: a wildcard address is reached by the loopback one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{settings.port}"
