"""Who dies when: kills of servers at random moments, and how long what they were doing then lay still."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx2

from chaos.servers import Server
from chaos.snapshot import Database

WHILE_STARTING = 0.2  # share of kills that do not wait until the server is ready
DRAINED = 0.2  # share of ends by SIGTERM, which do not count as kills
LIFE_S = 4.0  # the longest that a server which is ready has left
POLL_S = 0.3
# A job that waits in the queue again has not recovered yet; its attempt is still the one that was interrupted.
UNFINISHED = "SELECT id, attempt FROM jobs WHERE ended_at_s IS NULL"
RUNNING = "SELECT id, attempt, worker FROM jobs WHERE status = 'running'"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a job by one process."""

    job_id: str
    number: int


@dataclass(slots=True)
class Reaper:
    """Kills ``servers`` until there were ``kills``, and starts each of them again.

    ``recoveries_s`` are the times from a kill until a job that it interrupted ran again, or was over.
    """

    servers: Sequence[Server]
    database: Database
    http: httpx2.AsyncClient
    rng: random.Random
    kills: int
    killed: Counter[str] = field(default_factory=Counter)  # by the server's kind
    drained: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    _interrupted: dict[Attempt, float] = field(default_factory=dict)  # -> when it was killed

    async def revive(self) -> None:
        """Have every server run and be ready. Raises Trouble."""
        for server in self.servers:
            if not server.running:
                server.start()
        await asyncio.gather(*(server.ready(self.http) for server in self.servers))

    async def reap(self) -> None:
        """Until all kills are done, shared out evenly. Raises Trouble when a server ends without being killed."""
        shares = [(self.kills + index) // len(self.servers) for index in range(len(self.servers))]
        try:
            async with asyncio.TaskGroup() as group:
                for server, share in zip(self.servers, shares, strict=True):
                    group.create_task(self._haunt(server, share))
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from None

    async def watch(self) -> None:
        """Take the time of recoveries, until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            await self._look()

    async def _haunt(self, server: Server, kills: int) -> None:
        """Let it live for a while, end it, start it again."""
        while kills:
            await self._live(server)
            if self.rng.random() < DRAINED:
                self.drained += 1
                await server.stop()
            else:
                kills -= 1
                await self._kill(server)
            server.start()

    async def _live(self, server: Server) -> None:
        if self.rng.random() < WHILE_STARTING:
            await asyncio.sleep(self.rng.uniform(0.2, 3.0))
            return
        await server.ready(self.http)
        await asyncio.sleep(self.rng.uniform(0.1, LIFE_S))

    async def _kill(self, server: Server) -> None:
        self.killed[server.kind] += 1
        worker = server.worker()
        server.kill()
        at_s = time.monotonic()
        for row in await self.database.query(RUNNING):
            if row["worker"] == worker:
                self._interrupted[Attempt(row["id"], row["attempt"])] = at_s

    async def _look(self) -> None:
        if not self._interrupted:
            return
        still = {Attempt(row["id"], row["attempt"]) for row in await self.database.query(UNFINISHED)}
        for attempt in self._interrupted.keys() - still:
            self.recoveries_s.append(time.monotonic() - self._interrupted.pop(attempt))
