"""Clients keep at it until a server has named a job, always under the same key, and note what they were told."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from chaos import clients
from chaos.asks import Ask, Told
from chaos.clients import Crowd

Answer = Callable[[httpx2.Request], httpx2.Response]
JOB = {"object": "job", "id": "job_1", "status": "queued"}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "BREATH_S", 0.001)


@dataclass
class Script:
    """Gives its answers one after another, the last one for ever; None breaks the connection."""

    answers: list[httpx2.Response | None]
    asked: list[httpx2.Request] = field(default_factory=list)

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise httpx2.ReadError("cut off")
        return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)


def reply(status: int, body: dict[str, Any] | None = None, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, json=body or {}, headers=named)


def job(status: str) -> httpx2.Response:
    return reply(200, {**JOB, "status": status})


async def carry_out(script: Script, **ask: Any) -> Told:
    defaults = {"manner": "job", "operation": "generate", "fields": {"n": 1}, "then": "forget"}
    told = Told(Ask("key", "free", **(defaults | ask)))
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(script)) as http:
        async with asyncio.timeout(5):
            await Crowd([1], {"free": "secret"}, http, random.Random(0)).carry_out(told)
    return told


async def test_an_ask_is_repeated_with_its_key_until_a_job_is_named() -> None:
    script = Script([None, reply(503), reply(429), None, reply(202, JOB)])
    told = await carry_out(script)
    assert (told.job_ids, told.tries, told.wrong) == ({"job_1"}, 5, [])
    assert {request.headers["idempotency-key"] for request in script.asked} == {"key"}
    assert {request.headers["authorization"] for request in script.asked} == {"Bearer secret"}
    assert len({request.content for request in script.asked}) == 1


async def test_a_failure_that_names_its_job_settles_it() -> None:
    told = await carry_out(Script([reply(500, X_Limner_Job="job_2")]), manner="sync", then="forget")
    assert (told.job_ids, told.tries) == ({"job_2"}, 1)


async def test_no_credits_is_a_refusal() -> None:
    told = await carry_out(Script([reply(402)]))
    assert (told.refused, told.accepted, told.wrong) == ("402", False, [])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
async def test_any_other_refusal_is_wrong(status: int) -> None:
    told = await carry_out(Script([reply(status)]))
    assert len(told.wrong) == 1
    assert str(status) in told.wrong[0]


async def test_an_acceptance_without_a_job_is_wrong() -> None:
    assert (await carry_out(Script([reply(202, {})]))).wrong


async def test_waiting_goes_on_over_broken_connections() -> None:
    script = Script([reply(202, JOB), None, job("running"), reply(500), job("finished")])
    told = await carry_out(script, then="wait")
    assert (told.final, told.wrong) == ("finished", [])
    assert [request.method for request in script.asked] == ["POST", "GET", "GET", "GET", "GET"]


async def test_a_job_that_has_vanished_is_wrong() -> None:
    assert (await carry_out(Script([reply(202, JOB), reply(404)]), then="wait")).wrong


async def test_cancelling_is_insisted_on() -> None:
    script = Script([reply(202, JOB), None, job("cancelled")])
    told = await carry_out(script, then="cancel")
    assert told.final == "cancelled"
    assert [request.method for request in script.asked] == ["POST", "DELETE", "DELETE", "GET"]


async def test_asking_again_may_bring_another_job_to_light() -> None:
    script = Script([reply(202, JOB), reply(202, {**JOB, "id": "job_2"}), job("finished")])
    assert (await carry_out(script, then="again")).job_ids == {"job_1", "job_2"}


async def test_whoever_hangs_up_asks_once() -> None:
    told = await carry_out(Script([None]), manner="sync", then="leave")
    assert (told.tries, told.accepted) == (1, False)


@pytest.mark.parametrize(("pictures", "wrong"), [(2, False), (1, True)])
async def test_a_synchronous_answer_has_as_many_pictures_as_were_asked_for(pictures: int, wrong: bool) -> None:
    answer = reply(200, {"data": [{"b64_json": ""}] * pictures}, X_Limner_Job="job_1")
    told = await carry_out(Script([answer]), manner="sync", fields={"n": 2})
    assert bool(told.wrong) == wrong
    assert told.final == "finished"


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b"event: image_generation.completed\ndata: {}\n\n", False),
        (b"event: error\ndata: {}\n\n", False),
        (b": keep-alive\n\n", True),
    ],
)
async def test_a_stream_ends_with_its_pictures_or_an_error(body: bytes, wrong: bool) -> None:
    headers = {"content-type": "text/event-stream", "x-limner-job": "job_1"}
    told = await carry_out(Script([httpx2.Response(200, headers=headers, content=body)]), manner="stream")
    assert bool(told.wrong) == wrong


async def test_events_are_taken_up_where_they_broke_off() -> None:
    class Broken(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"id: 1-4\nevent: progress\ndata: {}\n\n"
            raise httpx2.ReadError("cut off")

    asked: list[httpx2.Request] = []

    async def serve(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        if request.method == "POST":
            return reply(202, JOB)
        assert request.url.path == "/v1/jobs/job_1/events"
        if "last-event-id" not in request.headers:
            return httpx2.Response(200, stream=Broken())
        return httpx2.Response(200, content=b"id: end\nevent: finished\ndata: {}\n\n")

    told = Told(Ask("key", "free", "job", "generate", {"n": 1}, then="events"))
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(serve)) as http, asyncio.timeout(5):
        await Crowd([1], {"free": "secret"}, http, random.Random(0)).carry_out(told)
    assert [request.headers.get("last-event-id") for request in asked] == [None, None, "1-4"]
    assert told.final == "finished"
