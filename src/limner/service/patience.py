"""Trying again while the database or the picture store is away, so that an outage costs time and no work."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from limner.errors import NotReady

T = TypeVar("T")
RETRY_S = 1.0


async def patiently(attempt: Callable[[], Awaitable[T]], limit_s: float) -> T:
    """What ``attempt`` gives, which is made again and again while it raises NotReady; after ``limit_s`` that is
    raised."""
    give_up_s = time.monotonic() + limit_s
    while True:
        try:
            return await attempt()
        except NotReady:
            if time.monotonic() > give_up_s:
                raise
            await asyncio.sleep(RETRY_S)
