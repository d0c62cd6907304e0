"""Clients that mean it: they send an ask with the same Idempotency-Key until a server answers with a job.

Owns sending, retrying, following and cancelling over HTTP; what they were told ends up in a `Told`.
"""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson

from chaos.asks import Ask, Told

OVER = ("finished", "failed", "cancelled")
RETRIED = (408, 429, 499)  # and 5xx
PATIENCE_S = 120.0
BREATH_S = 0.1


class Unreachable(Exception):
    """The connection could not be made, or it broke."""


@dataclass(slots=True)
class Crowd:
    """Clients of the servers at ``ports``, each with ``secrets[account]``; ``told`` grows with every ask. Webhooks are
    to go to ``hook_url``.

    `live` is what a task does until ``stop`` is set.
    """

    ports: Sequence[int]
    secrets: Mapping[str, str]
    http: httpx2.AsyncClient
    rng: random.Random
    hook_url: str = ""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    told: list[Told] = field(default_factory=list)

    async def live(self, asks: Iterator[Ask]) -> None:
        """Ask one thing after another. What is begun when ``stop`` is set is still brought to its end."""
        while not self.stop.is_set():
            told = Told(next(asks))
            self.told.append(told)
            await self.carry_out(told)
            await asyncio.sleep(self.rng.uniform(0, 2 * BREATH_S))

    async def carry_out(self, told: Told) -> None:
        """Send one ask until it is accepted or refused, then do what the client does next."""
        await self._until_named(told)
        if not told.accepted or told.final in OVER:
            return
        (job_id, *_) = told.job_ids
        match told.ask.then:
            case "cancel":
                await asyncio.sleep(told.ask.after_s)
                await self._insist(told, "DELETE", f"/v1/jobs/{job_id}")
            case "events":
                await self._follow(told, job_id)
            case "again":
                await asyncio.sleep(told.ask.after_s)
                await self._until_named(told)
            case "forget" | "leave":
                return
            case "wait":
                pass
        await self.wait(told, job_id)

    async def wait(self, told: Told, job_id: str) -> None:
        """Ask for the job until it is over."""
        while told.final not in OVER:
            job = await self._insist(told, "GET", f"/v1/jobs/{job_id}?wait=10")
            if job is None:
                return
            if job.get("status") in OVER:
                told.final = job["status"]

    async def _until_named(self, told: Told) -> None:
        """Post until there is an answer that settles it. A client that leaves says what it has to say only once."""
        while True:
            told.tries += 1
            try:
                settled = await self._post(told)
            except Unreachable:
                settled = False
            if settled or told.ask.then == "leave":
                return
            await asyncio.sleep(self.rng.uniform(BREATH_S, 4 * BREATH_S))

    async def _post(self, told: Told) -> bool:
        ask = told.ask
        leaves_after_s = ask.after_s + 0.02 if ask.then == "leave" else None
        headers = {**self._headers(ask), "Idempotency-Key": ask.key, "Content-Type": "application/json"}
        if ask.manner == "async":
            headers["Prefer"] = "respond-async"
        try:
            async with (
                asyncio.timeout(leaves_after_s),
                self.http.stream(
                    "POST", self._url(ask.path), content=orjson.dumps(ask.body(self.hook_url)), headers=headers
                ) as reply,
            ):
                _note_name(told, reply.headers.get("x-limner-job"))
                return _judge(told, reply, await reply.aread())
        except TimeoutError:
            return True
        except httpx2.TransportError as error:
            raise Unreachable from error

    async def _follow(self, told: Told, job_id: str) -> None:
        """The job's events to the last one, resumed where a connection broke."""
        last_id: str | None = None
        while True:
            headers = self._headers(told.ask) | ({} if last_id is None else {"Last-Event-ID": last_id})
            try:
                async with self.http.stream("GET", self._url(f"/v1/jobs/{job_id}/events"), headers=headers) as reply:
                    if reply.status_code != 200:
                        await reply.aread()
                        if not _worth_retrying(reply.status_code):
                            told.wrong.append(f"events answered {reply.status_code}: {reply.text[:200]}")
                            return
                    else:
                        async for line in reply.aiter_lines():
                            if line.startswith("id:"):
                                last_id = line.removeprefix("id:").strip()
                            elif (name := line.removeprefix("event:").strip()) in OVER and name != line:
                                told.final = name
                                return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(BREATH_S)

    async def _insist(self, told: Told, method: str, path: str) -> dict[str, Any] | None:
        """The JSON answer, however often it takes; None when the answer is a refusal, which is noted as wrong."""
        while True:
            try:
                reply = await self.http.request(method, self._url(path), headers=self._headers(told.ask))
            except httpx2.TransportError:
                await asyncio.sleep(2 * BREATH_S)
                continue
            if reply.is_success:
                return dict(orjson.loads(reply.content or b"{}"))
            if not _worth_retrying(reply.status_code):
                told.wrong.append(f"{method} {path} answered {reply.status_code}: {reply.text[:200]}")
                return None
            await asyncio.sleep(2 * BREATH_S)

    def _headers(self, ask: Ask) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets[ask.account]}"}

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.rng.choice(self.ports)}{path}"


def _worth_retrying(status: int) -> bool:
    return status in RETRIED or status >= 500


def _note_name(told: Told, job_id: str | None) -> None:
    if job_id:
        told.job_ids.add(job_id)


def _judge(told: Told, reply: httpx2.Response, body: bytes) -> bool:
    """Whether this answer settles the ask; takes down the job that it names."""
    said = _object(body)
    if said.get("object") == "job":
        _note_name(told, said.get("id"))
        if said.get("status") in OVER:
            told.final = said["status"]
    if reply.is_success:
        if not told.accepted:
            told.wrong.append(f"answered {reply.status_code} and named no job: {body[:200]!r}")
        _check_pictures(told, reply, said, body)
        return True
    if reply.status_code == 402:
        told.refused = "402"
        return True
    if _worth_retrying(reply.status_code):
        return told.accepted
    told.wrong.append(f"answered {reply.status_code}: {body[:200]!r}")
    return True


def _check_pictures(told: Told, reply: httpx2.Response, said: Mapping[str, Any], body: bytes) -> None:
    """A synchronous answer and a stream carry as many pictures as were asked for, or say why not."""
    wanted = told.ask.fields["n"]
    if reply.headers.get("content-type", "").startswith("text/event-stream"):
        if b"event: error" not in body and body.count(b".completed\n") != wanted:
            told.wrong.append(f"its stream ended with {body.count(b'.completed')} of {wanted} pictures")
    elif reply.status_code == 200 and told.ask.manner == "sync":
        if len(said.get("data", ())) != wanted:
            told.wrong.append(f"it brought {len(said.get('data', ()))} of {wanted} pictures")
        told.final = "finished"


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
