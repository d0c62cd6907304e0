"""The commands that work on the server's database itself: no server needs to run, and one that runs sees the change."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from limner.config import Settings, load_settings
from limner.errors import InvalidRequest, NotFound
from limner.store import Store, open_store

T = TypeVar("T")


def on_database(
    config: Path | None, data: str | None, work: Callable[[Store, Settings], Awaitable[T]], *, create: bool = False
) -> T:
    """What ``work`` makes of the settings' database; ``create`` makes one where there is none. Raises LimnerError,
    among them NotFound for a file that is not there, and OSError."""
    settings = load_settings(config, {"data": data})
    if settings.database_url == "sqlite://":
        raise InvalidRequest(
            "the setting database is sqlite://, which lives in the server's memory: only a file or PostgreSQL can be "
            "reached from here",
            param="database",
        )
    path = Path(unquote(settings.database_url.removeprefix("sqlite:///").partition("?")[0]))
    if settings.database_url.startswith("sqlite:") and not create and not path.exists():
        raise NotFound(f"there is no database at {path}; name the server's own with --data or --config")
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return asyncio.run(_run(settings, work))


async def _run(settings: Settings, work: Callable[[Store, Settings], Awaitable[T]]) -> T:
    async with open_store(settings.database_url) as store:
        return await work(store, settings)
