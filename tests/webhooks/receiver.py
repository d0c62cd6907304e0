"""The other side of a webhook: a server on loopback that answers as told, and a store of deliveries in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from email.utils import formatdate

from limner.media.addresses import parse_networks
from limner.media.guarded import Guard, Resolver, SystemResolver
from limner.store.rows import Delivery
from limner.webhooks.sender import Sender

NOW_S = 1_800_000_000.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived."""

    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers with ``answers`` in turn, then 200; ``seen`` are the requests, ``most_at_once`` what ran together."""

    port: int = 0
    answers: list[bytes] = field(default_factory=list)
    delay_s: float = 0.0
    seen: list[Seen] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
            body = await reader.readexactly(int(headers["content-length"]))
            self.seen.append(Seen(head[0], headers, body))
            await asyncio.sleep(self.delay_s)
            answer = self.answers.pop(0) if self.answers else reply("200 OK")
            writer.write(answer)
            while answer.endswith(b"..."):  # an endless body
                writer.write(b"x" * 1000)
                await writer.drain()
                await asyncio.sleep(0.001)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.at_once -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def reply(status: str, *headers: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "", "")).encode()


def http_date(at_s: float) -> str:
    return formatdate(at_s, usegmt=True)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


def sender_to(*networks: str, timeout_s: float = 10.0, resolver: Resolver | None = None) -> Sender:
    guard = Guard(parse_networks(networks), free_ports=True, resolver=resolver or SystemResolver())
    return Sender(guard, timeout_s=timeout_s, clock=lambda: NOW_S)


def delivery(url: str, number: int = 1, *, secret: str | None = None, created_at_s: float = NOW_S) -> Delivery:
    return Delivery(f"msg_{number}", f"job_{number}", url, secret, 0, created_at_s, created_at_s)


@dataclass
class Clock:
    now_s: float = NOW_S

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Drawer:
    """A store's deliveries, with the store's promises: a claim leases and counts, a settled one is gone."""

    open: dict[str, Delivery] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    given_up: dict[str, str] = field(default_factory=dict)
    retries: list[tuple[str, float, str]] = field(default_factory=list)
    put_off: list[tuple[str, float]] = field(default_factory=list)
    fail_next: Exception | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, *deliveries: Delivery) -> None:
        self.open |= {each.id: each for each in deliveries}

    async def due_deliveries(self, now_s: float, *, lease_until_s: float, limit: int) -> tuple[Delivery, ...]:
        self._maybe_fail()
        due = [each for each in self.open.values() if each.next_at_s <= now_s][:limit]
        self.put(*(replace(each, attempts=each.attempts + 1, next_at_s=lease_until_s) for each in due))
        return tuple(due)

    async def delivered(self, delivery_id: str, now_s: float) -> None:
        self._maybe_fail()
        del self.open[delivery_id]
        self.done.append(delivery_id)
        self.settled.set()

    async def retry_delivery(self, delivery_id: str, next_at_s: float, error: str) -> None:
        self.put(replace(self.open[delivery_id], next_at_s=next_at_s))
        self.retries.append((delivery_id, next_at_s, error))
        self.settled.set()

    async def put_off_delivery(self, delivery_id: str, next_at_s: float, error: str) -> None:
        taken = self.open[delivery_id]
        self.put(replace(taken, next_at_s=next_at_s, attempts=taken.attempts - 1))
        self.put_off.append((delivery_id, next_at_s))
        self.settled.set()

    async def give_up_delivery(self, delivery_id: str, error: str, now_s: float) -> None:
        del self.open[delivery_id]
        self.given_up[delivery_id] = error
        self.settled.set()

    def _maybe_fail(self) -> None:
        error, self.fail_next = self.fail_next, None
        if error is not None:
            self.settled.set()
            raise error
