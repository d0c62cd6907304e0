"""A bell between the processes of one PostgreSQL database: jobs were queued. Over LISTEN and NOTIFY.

Owns one connection of the pool, made when first needed and made again when it breaks. Nothing relies on it: who hears
nothing asks the database now and then. It is rung after a commit and not in its transaction, since PostgreSQL lets
transactions that notify commit one at a time only.
"""

import asyncio
import logging

from sqlalchemy.ext.asyncio import AsyncEngine

logger = logging.getLogger(__name__)
CHANNEL = "limner_queued"
AGAIN_S = 5.0  # until a connection that broke is made anew


class Bell:
    """Heard by every process but the one that rings."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._to_ring, self._heard = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """Tell the others, soon; several rings at once may be one."""
        self._to_ring.set()
        self._start()

    async def heard(self) -> None:
        """Return once another process has rung since the last time, or may have while nothing could be heard."""
        self._start()
        await self._heard.wait()
        self._heard.clear()

    async def aclose(self) -> None:
        """Let go of the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._hang_for_ever())

    async def _hang_for_ever(self) -> None:
        while True:
            try:
                await self._hang()
            except Exception as error:  # noqa: BLE001 - the task's root: without it jobs are only found later
                logger.warning("processes cannot tell each other of jobs: %s; trying again", str(error) or repr(error))
            await asyncio.sleep(AGAIN_S)

    async def _hang(self) -> None:
        """Ring and hear until the connection breaks."""
        async with self._engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None, "a connection has a driver's"
            try:
                driver.add_termination_listener(lambda _: self._to_ring.set())
                await driver.add_listener(CHANNEL, lambda _, pid, *__: self._hear(pid != driver.get_server_pid()))
                self._heard.set()
                while True:
                    await self._to_ring.wait()
                    self._to_ring.clear()
                    await driver.execute(f"NOTIFY {CHANNEL}")  # raises when it was the connection's end
            finally:
                await connection.invalidate()  # others are not to get one that listens

    def _hear(self, from_another: bool) -> None:
        if from_another:
            self._heard.set()
