"""What a service works with, opened from the settings: the store, the blobs and the threads for pictures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from limner.blobs import Blobs
from limner.config import Settings
from limner.media.decode import DecodeLimits
from limner.media.threads import MediaThreads
from limner.metrics import Metrics
from limner.store import Store, open_store
from limner.tracing import Tracing, open_tracing

MEMORY = "sqlite://"


@dataclass(frozen=True, slots=True)
class Tools:
    """What there is for every service: see `open_tools`. ``workers`` is the directory of the workers' locks; None
    where no other process can see the store. ``on_idle`` is called in a thread when the last job has ended and none has
    come."""

    store: Store
    blobs: Blobs
    media: MediaThreads
    metrics: Metrics
    tracing: Tracing
    workers: Path | None = None
    on_idle: Callable[[], object] = lambda: None


@asynccontextmanager
async def open_tools(settings: Settings, on_idle: Callable[[], object] = lambda: None) -> AsyncIterator[Tools]:
    """Open them, migrating the database where needed; closed on leaving.

    Raises InvalidRequest naming the setting at fault, NotReady for a database that does not answer.
    """
    url = settings.database_url
    if url != MEMORY:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    metrics = Metrics()
    blobs = Blobs(settings.data, location=settings.blobs, shared_secret=settings.secret, watcher=metrics)
    media = MediaThreads(DecodeLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels))
    tracing = open_tracing(settings)
    workers = None if url == MEMORY else settings.data / "workers"
    try:
        async with open_store(url) as store:
            metrics.watch_queue(store.depth)
            yield Tools(store, blobs, media, metrics, tracing, workers, on_idle)
    finally:
        media.close()
        await asyncio.to_thread(tracing.close)
