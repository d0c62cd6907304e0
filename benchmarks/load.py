"""The load generator: closed loops of clients, and everyone at once."""

import asyncio
import base64
import io
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
from PIL import Image

from benchmarks.connection import Connection, Reply, connected

PATH = "/v1/images/generations"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request's end. ``status`` 0 means that the connection broke; ``body`` is empty unless it was to be kept."""

    status: int
    seconds: float
    retry_after: str | None = None
    body_bytes: int = 0
    body: bytes = field(default=b"", repr=False)

    @property
    def is_picture(self) -> bool:
        """Whether the server answered with pictures."""
        return self.status == 200


@dataclass(frozen=True, slots=True)
class Round:
    """A batch of requests, in the order given, and the seconds from the first sent to the last answered."""

    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def pictures_per_s(self) -> float:
        """Answered pictures by the wall clock."""
        return sum(outcome.is_picture for outcome in self.outcomes) / self.seconds

    @property
    def failures(self) -> int:
        """How many requests were not answered with pictures."""
        return sum(not outcome.is_picture for outcome in self.outcomes)


async def closed_loop(port: int, bodies: Sequence[bytes], *, clients: int, keep_bodies: bool = False) -> Round:
    """Send every body once; each of ``clients`` connections sends its next one when it has its reply."""
    todo = deque(enumerate(bodies))
    outcomes: list[Outcome | None] = [None] * len(bodies)

    async def client() -> None:
        async with connected(port) as connection:
            while todo:
                index, body = todo.popleft()
                outcomes[index] = await _post(connection, body, keep_body=keep_bodies)

    started_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(clients, len(bodies))):
            group.create_task(client())
    seconds = time.perf_counter() - started_s
    return Round(tuple(outcome for outcome in outcomes if outcome is not None), seconds)


async def all_at_once(port: int, bodies: Sequence[bytes], *, keep_bodies: bool = False) -> Round:
    """Send every body at the same moment, each on a connection of its own."""
    return await closed_loop(port, bodies, clients=len(bodies), keep_bodies=keep_bodies)


async def one(connection: Connection, body: bytes) -> Outcome:
    """Send one body, keep the reply and insist on a picture."""
    outcome = await _post(connection, body, keep_body=True)
    assert outcome.is_picture, f"status {outcome.status}: {outcome.body[:300]!r}"
    return outcome


def picture_of(outcome: Outcome) -> Image.Image:
    """The first picture of a kept reply, decoded, RGB."""
    assert outcome.is_picture, f"status {outcome.status}: {outcome.body[:300]!r}"
    file = base64.b64decode(orjson.loads(outcome.body)["data"][0]["b64_json"])
    return Image.open(io.BytesIO(file)).convert("RGB")


async def _post(connection: Connection, body: bytes, *, keep_body: bool) -> Outcome:
    started_s = time.perf_counter()
    try:
        reply: Reply = await connection.exchange("POST", PATH, body)
    except OSError:
        return Outcome(0, time.perf_counter() - started_s)
    return Outcome(
        reply.status,
        time.perf_counter() - started_s,
        reply.headers.get("retry-after"),
        len(reply.body),
        reply.body if keep_body else b"",
    )
