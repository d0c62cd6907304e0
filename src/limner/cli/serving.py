"""``limner serve``: settings from file, environment and arguments, a greeting, then the server itself."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from limner import __version__
from limner.config import Settings, load_settings

if TYPE_CHECKING:
    from limner.accounts import Door

EXAMPLE = '{"prompt": "a red circle on a white background"}'
EXPOSED = (
    "no API key is needed (open = yes): everybody who can reach {host} port {port} can draw here; use --host 127.0.0.1 "
    "to serve this machine alone, or let a proxy in front ask who it is"
)
FRESH = """
Requests need an API key. There was none, so this one was made; it is shown this once:

  {key}

It may do everything. Others are made with: limner keys create NAME{where}
"""
KEYED = "\nRequests need an API key; new ones are made with: limner keys create NAME{where}\n"


def run_server(config: Path | None, overrides: Mapping[str, object]) -> int:
    """Serve until interrupted; returns the exit code. Raises InvalidRequest for wrong settings, and what
    `limner.api.serve.serve` raises."""
    settings = load_settings(config, overrides)
    from limner.accounts import Door, is_loopback
    from limner.api.serve import serve

    told = (("--config", config), ("--data", overrides.get("data")))
    where = "".join(f" {option} {shlex.quote(str(value))}" for option, value in told if value is not None)

    def announce(port: int, door: Door) -> None:
        chosen = settings.model_copy(update={"port": port})
        warning = "" if door.required or is_loopback(settings.host) else EXPOSED.format(host=settings.host, port=port)
        for line in (_as_json if settings.log_format == "json" else _as_text)(chosen, door, where, warning):
            print(line, file=sys.stderr, flush=True)

    try:
        return serve(settings, announce)
    except KeyboardInterrupt:
        return 0  # the way a server in a terminal is meant to be stopped


def _as_text(settings: Settings, door: "Door", where: str, warning: str) -> Iterator[str]:
    yield greeting(settings, door, where)
    if warning:
        yield f"limner: warning: {warning}"


def _as_json(settings: Settings, door: "Door", where: str, warning: str) -> Iterator[str]:
    """Lines as the log's, whatever its level: a key that was just made is told nowhere else."""
    from limner.logs import json_line

    address, name = url_of(settings), "limner.cli.serving"
    told = {"version": __version__, "address": address, "models": serves(settings), "needs_key": door.required}
    yield json_line("info", name, f"limner {__version__} at {address}", told)
    if door.fresh:
        made = f"an API key was made, which is shown this once; others: limner keys create NAME{where}"
        yield json_line("warning", name, made, {"api_key": door.fresh})
    if warning:
        yield json_line("warning", name, warning, {})


def greeting(settings: Settings, door: "Door", where: str = "") -> str:
    """The address, the key that was just made if one was, and a command that draws a first picture with nothing but
    curl and coreutils.

    ``where`` are the options with which other commands find the same database. The retries let the command be pasted
    while the model is still loading and the server answers 503.
    """
    address = url_of(settings)
    key = f"""-H "Authorization: Bearer {door.fresh or "$LIMNER_API_KEY"}" """ if door.required else ""
    request = f"{address}/v1/images/generations {key}-H 'Content-Type: application/json' -d {shlex.quote(EXAMPLE)}"
    extract = 'sed \'s/.*"b64_json":"\\([^"]*\\)".*/\\1/\' | base64 -d'
    command = f"curl -sSf --retry 9 {request} | {extract} > circle.png"
    keys = FRESH if door.fresh else KEYED if door.required else ""
    about_keys = keys.format(key=door.fresh, where=where)
    return (
        f"limner {__version__} at {address} serves {serves(settings)}\n{about_keys}\nA first picture:\n\n  {command}\n"
    )


def serves(settings: Settings) -> str:
    """The models in words."""
    models = ", ".join(settings.models) or settings.stand_in or "sketch, the small embedded model"
    if settings.stand_in:
        models += f"; {settings.stand_in} stands in for every other model of the catalogue"
    return models


def url_of(settings: Settings) -> str:
    """The address to type: a wildcard address is reached by the loopback one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{settings.port}"
