"""One run: a database, servers on it, clients that ask, a reaper that kills, and at the end the audit.

Owns the order of things and the time they may take.
"""

import asyncio
import os
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from chaos.asks import asks
from chaos.audit import Fault, audit
from chaos.clients import PATIENCE_S, Crowd
from chaos.figures import figures
from chaos.layouts import MAX_CRASHES, Layout
from chaos.reaper import Reaper
from chaos.receiver import Receiver, receiving
from chaos.rerun import Visitor, levels, other_pictures, sample
from chaos.servers import Server, run_command
from chaos.snapshot import Database, Snapshot

CLIENTS = 10
SETTLE_S = 120.0
SWEEP_S = 20.0
LOOK_EVERY_S = 0.5
DAY_S = 86_400.0
ACCOUNTS: Mapping[str, tuple[str, ...]] = {"metered": ("--credits", "100000"), "poor": ("--credits", "3"), "free": ()}
ASKING = ("metered", "metered", "free", "free", "poor")  # how often each
SECRET = re.compile(r"\blim_[A-Za-z0-9]+_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done: until there were ``kills``, but no longer than ``seconds``."""

    kills: int
    seconds: float
    seed: int


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a run."""

    figures: Mapping[str, str]
    faults: tuple[Fault, ...]


async def run(layout: Layout, plan: Plan, directory: Path) -> Found:
    """Everything, in ``directory``. Raises Trouble when a server does not do its part."""
    with layout.database(directory) as url:
        async with _Run.prepared(layout, plan, directory, url) as prepared:
            return await prepared.carry_out()


@dataclass(slots=True)
class _Run:
    """What a run works with."""

    plan: Plan
    database: Database
    servers: list[Server]
    files: Path
    http: httpx2.AsyncClient
    crowd: Crowd
    reaper: Reaper
    receiver: Receiver
    faults: list[Fault] = field(default_factory=list)
    havoc_s: float = 0.0

    @classmethod
    @asynccontextmanager
    async def prepared(cls, layout: Layout, plan: Plan, directory: Path, url: str) -> AsyncIterator["_Run"]:
        """With its servers running; none is left afterwards."""
        servers = layout.servers(directory, url)
        secrets = {name: await _create_key(servers[0], name, options) for name, options in ACCOUNTS.items()}
        answering = [server.port for server, role in zip(servers, layout.roles, strict=True) if role.answers]
        database, rng = Database(url), random.Random(plan.seed)
        timeout = httpx2.Timeout(PATIENCE_S, connect=5.0)
        async with httpx2.AsyncClient(timeout=timeout, trust_env=False) as http, receiving() as receiver:
            crowd = Crowd(answering, secrets, http, random.Random(rng.random()), receiver.url)
            reaper = Reaper(servers, database, http, random.Random(rng.random()), plan.kills)
            try:
                for server in servers:
                    server.start()
                yield cls(plan, database, servers, directory / "data" / "files", http, crowd, reaper, receiver)
            finally:
                for server in servers:
                    server.close()

    async def carry_out(self) -> Found:
        """Havoc, peace, audit."""
        await self.reaper.revive()
        watching = asyncio.create_task(self.reaper.watch())
        try:
            await self._havoc()
            await self._settle()
        finally:
            watching.cancel()
        await asyncio.wait({watching})
        if not watching.cancelled():
            watching.result()  # its failure: what it has not seen would show as recovered at once
        await self._look_for_inputs()
        snapshot = await self.database.snapshot()
        self.faults += await asyncio.to_thread(
            audit, self.crowd.told, snapshot, self.read_blob, self.receiver.came, max_crashes=MAX_CRASHES
        )
        apart = await self._visit(snapshot)
        return Found({**figures(self.crowd.told, snapshot, self.faults), **self._more(apart)}, tuple(self.faults))

    async def _havoc(self) -> None:
        """Clients ask while servers die; then the clients bring to an end what they have begun."""
        started_s = time.monotonic()
        stream = asks(self.plan.seed, ASKING)
        clients = [asyncio.create_task(self.crowd.live(stream)) for _ in range(CLIENTS)]
        try:
            await self._kill()
            self.havoc_s = time.monotonic() - started_s
            self.crowd.stop.set()
            ended, waiting = await asyncio.wait(clients, timeout=SETTLE_S)
        finally:
            for client in clients:
                client.cancel()
        if waiting:
            self.faults.append(
                Fault("no answer", "the run", f"{len(waiting)} clients still waited after {SETTLE_S:g} s")
            )
        await asyncio.gather(*ended)

    async def _kill(self) -> None:
        try:
            async with asyncio.timeout(self.plan.seconds):
                await self.reaper.reap()
        except TimeoutError:
            killed = f"{self.reaper.killed.total()} of {self.plan.kills}"
            self.faults.append(Fault("too few kills", "the run", f"{killed} within {self.plan.seconds:g} s"))
        await self.reaper.revive()

    async def _settle(self) -> None:
        """Wait until every job is over; the audit names those that are not."""
        for _ in range(round(SETTLE_S / LOOK_EVERY_S)):
            if not await self.database.unfinished():
                break
            await asyncio.sleep(LOOK_EVERY_S)
        await asyncio.sleep(2 * LOOK_EVERY_S)  # until the reaper's watch has seen it, too

    async def _look_for_inputs(self) -> None:
        """Inputs go with their jobs; what is left behind goes, once it is old, with the sweep at a start."""
        inputs = self.files / "inputs"
        if left := await asyncio.to_thread(_grow_old, inputs):
            await self.servers[0].stop()
            await self.reaper.revive()
        for _ in range(round(SWEEP_S / LOOK_EVERY_S)):
            if not (left := await asyncio.to_thread(_files_in, inputs)):
                return
            await asyncio.sleep(LOOK_EVERY_S)
        self.faults.append(Fault("inputs left", "blobs", f"{len(left)} files, such as {left[0]}"))

    async def _visit(self, snapshot: Snapshot) -> list[int]:
        """Ask for a sample of what was drawn and draw it again; gives how far each job's pictures are apart."""
        pairs = sample(self.crowd.told, snapshot, random.Random(self.plan.seed))
        visitor = Visitor(self.crowd.ports[0], self.crowd.secrets, self.http, snapshot, self.read_blob)
        self.faults += [fault async for fault in visitor.wrong_links(pairs)]
        again = await visitor.redraw(pairs)
        later = await self.database.snapshot()
        found = [
            await asyncio.to_thread(levels, later, job.id, again_id, self.read_blob)
            for (_, job), again_id in zip(pairs, again, strict=True)
        ]
        self.faults += other_pictures(pairs, found)
        return found

    def read_blob(self, key: str) -> bytes | None:
        """A file of the directory that pictures lie in."""
        path = self.files / key
        return path.read_bytes() if path.is_file() else None

    def _more(self, apart: list[int]) -> dict[str, str]:
        came = self.receiver.came
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.reaper.killed.items())
        return {
            "kills": f"{self.reaper.killed.total()} ({kinds})",
            "drained with SIGTERM": str(self.reaper.drained),
            "attempts cut off by a kill": str(len(self.reaper.recoveries_s)),
            "longest until it went on, s": f"{max(self.reaper.recoveries_s, default=0.0):.1f}",
            "webhooks": f"{len(came)} came, {came.total() - len(came)} of them again",
            "drawn again in peace": f"{len(apart)}, at most {max(apart, default=0)} of 255 apart",
            "seconds of havoc": f"{self.havoc_s:.0f}",
            "faults": str(len(self.faults)),
        }


async def _create_key(server: Server, name: str, options: tuple[str, ...]) -> str:
    """The secret of a new API key."""
    printed = await asyncio.to_thread(run_command, server.settings, "keys", "create", name, *options)
    match = SECRET.search(printed)
    assert match is not None, f"limner keys create printed no key: {printed!r}"
    return match[0]


def _files_in(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _grow_old(directory: Path) -> list[Path]:
    """Make every file two days older; gives them."""
    files = _files_in(directory)
    for path in files:
        os.utime(path, (time.time() - 2 * DAY_S,) * 2)
    return files
