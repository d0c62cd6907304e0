"""The task that delivers what the store says is due.

Owns how many deliveries run at once, in all and per host, and the turn of one: claim, build the body, sign, send,
record. A delivery is recorded after it was made, so one whose process dies in between is made again under the same
``webhook-id``; receivers tell repeats by it.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import orjson

from limner.errors import NotFound
from limner.store.rows import DONE, Delivery
from limner.webhooks.schedule import Again, Decision, Delivered, GiveUp, decide
from limner.webhooks.sender import Answer, Sender, Unreachable
from limner.webhooks.signing import parse_secret, signed_headers

logger = logging.getLogger(__name__)

POLL_S = 5.0
MAX_HELD = 32  # claimed and not yet settled
MAX_AT_ONCE = 16
MAX_AT_ONCE_PER_HOST = 4
PAUSE_S = 30.0  # for which a host that did not answer is asked nothing more
# Longer than MAX_HELD deliveries to one silent host can take, so that no other process claims them meanwhile.
LEASE_S = 120.0

Outcome: TypeAlias = Literal["delivered", "postponed", "given_up"]


class Mailbox(Protocol):
    """What of the store a Postman needs; see `limner.store.Store`."""

    async def due_deliveries(self, now_s: float, *, lease_until_s: float, limit: int) -> tuple[Delivery, ...]: ...

    async def delivered(self, delivery_id: str, now_s: float) -> None: ...

    async def retry_delivery(self, delivery_id: str, next_at_s: float, error: str) -> None: ...

    async def put_off_delivery(self, delivery_id: str, next_at_s: float, error: str) -> None: ...

    async def give_up_delivery(self, delivery_id: str, error: str, now_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class NotTried:
    """Nothing was sent, as the host is paused; to be tried at ``at_s`` (unix seconds)."""

    at_s: float
    reason: str


class Postman:
    """Delivers until `run` is cancelled.

    ``payload_of`` gives a job as its JSON, ``secret`` signs where a job has none of its own, ``observe`` is told of
    every outcome; ``clock`` gives unix seconds.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        sender: Sender,
        payload_of: Callable[[str], Awaitable[bytes]],
        *,
        secret: bytes,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        observe: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        self._mailbox, self._sender, self._payload_of = mailbox, sender, payload_of
        self._secret, self._clock, self._chance, self._observe = secret, clock, chance, observe
        self._held = 0
        self._at_once = asyncio.Semaphore(MAX_AT_ONCE)
        self._hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # of those somebody holds
        self._paused_until_s: dict[str, float] = {}
        self._stirred = asyncio.Event()

    def wake(self) -> None:
        """Look for due deliveries now: called when a job with a hook has ended."""
        self._stirred.set()

    async def run(self) -> None:
        """Deliver for ever. What is under way when it is cancelled is due again once its lease is over."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._stirred.clear()
                if not await self._start_due(tasks):
                    # Not wait_for: up to Python 3.11 it loses a cancellation that comes together with the event.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POLL_S):
                            await self._stirred.wait()

    async def _start_due(self, tasks: asyncio.TaskGroup) -> bool:
        """Claim what there is room for; whether there may be more."""
        room = MAX_HELD - self._held
        if not room:
            return False
        now_s = self._clock()
        try:
            due = await self._mailbox.due_deliveries(now_s, lease_until_s=now_s + LEASE_S, limit=room)
        except Exception:  # this task's root: a database that is away comes back
            logger.exception("could not look for due webhooks; trying again in %g s", POLL_S)
            return False
        self._held += len(due)
        for delivery in due:
            tasks.create_task(self._settle(delivery, now_s + LEASE_S))
        return len(due) == room

    async def _settle(self, delivery: Delivery, lease_until_s: float) -> None:
        try:
            host = urlsplit(delivery.url).hostname or ""
            turn = self._hosts.setdefault(host, asyncio.Semaphore(MAX_AT_ONCE_PER_HOST))
            async with turn, self._at_once:
                if self._clock() + self._sender.timeout_s < lease_until_s:
                    await self._record(delivery, host, await self._try(delivery, host))
        except Exception:  # a delivery's root: what could not be recorded is due again after its lease
            logger.exception("webhook %s of %s could not be recorded", delivery.id, delivery.job_id)
        finally:
            if self._held == MAX_HELD:
                self._stirred.set()  # there is room again
            self._held -= 1

    async def _try(self, delivery: Delivery, host: str) -> Decision | NotTried:
        now_s = self._clock()
        paused_until_s = self._paused_until_s.get(host, 0.0)
        if paused_until_s > now_s:
            return NotTried(paused_until_s + PAUSE_S * self._chance(), "it did not answer others a moment ago")
        try:
            return self._decide(delivery, await self._send(delivery, int(now_s)))
        except Unreachable:
            self._pause(host)
            return self._decide(delivery, "it could not be reached")
        except NotFound:
            return GiveUp("the job is gone")
        except Exception:  # a delivery's root: one that always fails must end by the schedule as well
            logger.exception("webhook %s of %s failed", delivery.id, delivery.job_id)
            return self._decide(delivery, "an internal error")

    async def _send(self, delivery: Delivery, sent_at: int) -> Answer:
        body = await self._body(delivery)
        secret = self._secret if delivery.secret is None else parse_secret(delivery.secret)
        return await self._sender.post(delivery.url, signed_headers(secret, delivery.id, sent_at, body), body)

    async def _body(self, delivery: Delivery) -> bytes:
        """The event around the job's JSON, whose bytes stay as they are."""
        job = await self._payload_of(delivery.job_id)
        status = orjson.loads(job)["status"]
        assert status in DONE, "deliveries are made for jobs that have ended"
        return b'{"type":"job.%s","created_at":%d,"data":%s}' % (status.encode(), int(delivery.created_at_s), job)

    def _decide(self, delivery: Delivery, answer: Answer | str) -> Decision:
        return decide(
            answer,
            attempts=delivery.attempts,
            created_at_s=delivery.created_at_s,
            now_s=self._clock(),
            chance=self._chance(),
        )

    def _pause(self, host: str) -> None:
        now_s = self._clock()
        self._paused_until_s = {name: until_s for name, until_s in self._paused_until_s.items() if until_s > now_s}
        self._paused_until_s[host] = now_s + PAUSE_S

    async def _record(self, delivery: Delivery, host: str, decision: Decision | NotTried) -> None:
        match decision:
            case Delivered():
                await self._mailbox.delivered(delivery.id, self._clock())
                self._observe("delivered")
                logger.info("webhook %s of %s delivered to %s", delivery.id, delivery.job_id, host)
            case Again(at_s, reason):
                await self._mailbox.retry_delivery(delivery.id, at_s, reason)
                self._observe("postponed")
                logger.info("webhook %s of %s to %s: %s; again later", delivery.id, delivery.job_id, host, reason)
            case NotTried(at_s, reason):
                await self._mailbox.put_off_delivery(delivery.id, at_s, reason)
                self._observe("postponed")
                logger.info("webhook %s of %s to %s: %s; not tried", delivery.id, delivery.job_id, host, reason)
            case GiveUp(reason):
                await self._mailbox.give_up_delivery(delivery.id, reason, self._clock())
                self._observe("given_up")
                logger.warning("webhook %s of %s to %s given up: %s", delivery.id, delivery.job_id, host, reason)
