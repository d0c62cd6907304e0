"""How many pixels of input pictures the jobs that are taken up again may hold, all of them together.

Owns the sum and the order in which those come that wait. Knows no pictures and no jobs.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class PixelRoom:
    """Room for ``max_pixels``; what is larger has it alone."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._held_pixels = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def hold(self, pixels: int) -> AsyncIterator[None]:
        """Wait for room for so many, and keep it."""
        async with self._turn:  # one after another, or many small ones could keep a large one waiting for ever
            while self._held_pixels and self._held_pixels + pixels > self._max_pixels:
                self._freed.clear()
                await self._freed.wait()
            self._held_pixels += pixels
        try:
            yield
        finally:
            self._held_pixels -= pixels
            self._freed.set()
