"""Deliveries from a store in memory to a server on loopback, under a clock that stands until it is moved."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable, Sequence

import orjson
import pytest

from limner.errors import NotFound, NotReady
from limner.webhooks import Outcome, Postman, parse_secret, secret_text
from limner.webhooks.postman import LEASE_S, MAX_AT_ONCE, MAX_AT_ONCE_PER_HOST, MAX_HELD, PAUSE_S
from limner.webhooks.sender import TRY_TIMEOUT_S, Sender
from tests.fakes import until
from tests.webhooks.receiver import NOW_S, Clock, Drawer, Receiver, Seen, delivery, receiving, reply, sender_to

SERVER_SECRET = bytes(range(32))


async def job_as_shown(job_id: str) -> bytes:
    return orjson.dumps({"id": job_id, "object": "job", "status": "finished"})


async def to_loopback(host: str, port: int) -> Sequence[str]:
    return ("127.0.0.1",)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def drawer() -> Drawer:
    return Drawer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


Working = Callable[..., contextlib.AbstractAsyncContextManager[Postman]]


@pytest.fixture
def working(drawer: Drawer, clock: Clock) -> Working:
    """A postman at work for as long as the block runs."""

    @contextlib.asynccontextmanager
    async def work(sender: Sender | None = None, **options: object) -> AsyncIterator[Postman]:
        arguments: dict[str, object] = {
            "payload_of": job_as_shown,
            "secret": SERVER_SECRET,
            "clock": clock,
            "chance": lambda: 0.0,
        }
        postman = Postman(
            drawer,
            sender or sender_to("127.0.0.0/8", resolver=to_loopback),
            **(arguments | options),  # type: ignore[arg-type]
        )
        running = asyncio.create_task(postman.run())
        try:
            yield postman
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    return work


def verified(seen: Seen, secret: bytes) -> bool:
    signed = f"{seen.headers['webhook-id']}.{seen.headers['webhook-timestamp']}.".encode() + seen.body
    expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return seen.headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("own", [None, secret_text(b"s" * 24)], ids=["the server's", "the job's own"])
async def test_a_delivery_is_signed_and_settled(
    working: Working, receiver: Receiver, drawer: Drawer, own: str | None
) -> None:
    drawer.put(delivery(receiver.url, secret=own))
    async with working():
        await until(lambda: drawer.done == ["msg_1"])
    (seen,) = receiver.seen
    assert verified(seen, SERVER_SECRET if own is None else parse_secret(own))
    assert seen.headers["webhook-id"] == "msg_1"
    assert seen.headers["webhook-timestamp"] == str(int(NOW_S))
    assert orjson.loads(seen.body) == {
        "type": "job.finished",
        "created_at": int(NOW_S),
        "data": {"id": "job_1", "object": "job", "status": "finished"},
    }


@pytest.mark.parametrize("status", ["finished", "failed", "cancelled"])
async def test_the_event_is_named_by_how_the_job_ended(
    working: Working, receiver: Receiver, drawer: Drawer, status: str
) -> None:
    async def ended(job_id: str) -> bytes:
        return orjson.dumps({"status": status})

    drawer.put(delivery(receiver.url))
    async with working(payload_of=ended):
        await until(lambda: bool(drawer.done))
    assert orjson.loads(receiver.seen[0].body)["type"] == f"job.{status}"


async def test_failures_are_retried_later_under_the_same_id(
    working: Working, receiver: Receiver, drawer: Drawer, clock: Clock
) -> None:
    receiver.answers = [reply("500 No"), reply("302 Found", "Location: http://127.0.0.1/"), reply("204 Yes")]
    drawer.put(delivery(receiver.url))
    outcomes: list[Outcome] = []
    async with working(observe=outcomes.append) as postman:
        for tries, wait_s in enumerate((5, 30), 1):
            await until(lambda tries=tries: len(drawer.retries) == tries)  # type: ignore[misc]
            assert drawer.retries[-1][1] == clock.now_s + wait_s
            clock.now_s += wait_s
            postman.wake()
        await until(lambda: drawer.done == ["msg_1"])
    assert [error for _, _, error in drawer.retries] == ["it answered 500", "it answered 302"]
    assert {seen.headers["webhook-id"] for seen in receiver.seen} == {"msg_1"}
    assert [int(seen.headers["webhook-timestamp"]) - int(NOW_S) for seen in receiver.seen] == [0, 5, 35]
    assert all(verified(seen, SERVER_SECRET) for seen in receiver.seen)
    assert outcomes == ["postponed", "postponed", "delivered"]


async def test_nothing_is_tried_before_its_time(working: Working, receiver: Receiver, drawer: Drawer) -> None:
    receiver.answers = [reply("500 No")]
    drawer.put(delivery(receiver.url))
    async with working() as postman:
        await until(lambda: bool(drawer.retries))
        postman.wake()
        await asyncio.sleep(0.05)
    assert len(receiver.seen) == 1


async def test_one_that_was_delivered_but_not_recorded_comes_again_under_its_id(
    working: Working, receiver: Receiver, drawer: Drawer, clock: Clock
) -> None:
    drawer.put(delivery(receiver.url))
    receiver.delay_s = 0.1
    async with working() as postman:
        await until(lambda: bool(receiver.seen))
        drawer.fail_next = NotReady("the database is away")  # the answer is on its way; recording it fails
        await until(drawer.settled.is_set)
        assert not drawer.done
        clock.now_s += LEASE_S
        postman.wake()
        await until(lambda: drawer.done == ["msg_1"])
    assert [seen.headers["webhook-id"] for seen in receiver.seen] == ["msg_1", "msg_1"]


async def test_a_process_that_dies_leaves_its_deliveries_to_the_next(
    working: Working, receiver: Receiver, drawer: Drawer, clock: Clock
) -> None:
    drawer.put(delivery(receiver.url))
    receiver.delay_s = 30
    async with working(sender_to("127.0.0.0/8", timeout_s=30)):
        await until(lambda: bool(receiver.seen))
    receiver.delay_s = 0
    async with working() as postman:
        await asyncio.sleep(0.05)
        assert len(receiver.seen) == 1  # the lease still runs
        clock.now_s += LEASE_S
        postman.wake()
        await until(lambda: drawer.done == ["msg_1"])
    assert [seen.headers["webhook-id"] for seen in receiver.seen] == ["msg_1", "msg_1"]


async def test_410_ends_it_at_once(working: Working, receiver: Receiver, drawer: Drawer) -> None:
    receiver.answers = [reply("410 Gone")]
    drawer.put(delivery(receiver.url))
    async with working():
        await until(lambda: drawer.given_up == {"msg_1": "it answered 410"})
    assert not drawer.retries


async def test_after_a_day_it_is_given_up(working: Working, receiver: Receiver, drawer: Drawer, clock: Clock) -> None:
    receiver.answers = [reply("500 No")] * 100
    drawer.put(delivery(receiver.url))
    async with working() as postman:
        while not drawer.given_up:
            tried = len(receiver.seen)
            postman.wake()
            await until(lambda tried=tried: len(receiver.seen) > tried)  # type: ignore[misc]
            await until(lambda: drawer.given_up != {} or len(drawer.retries) == len(receiver.seen))
            if drawer.retries:
                clock.now_s = drawer.retries[-1][1]
    assert drawer.given_up == {"msg_1": "it answered 500"}
    assert 6 <= len(receiver.seen) <= 12


async def test_a_job_that_is_gone_is_not_told_of(working: Working, receiver: Receiver, drawer: Drawer) -> None:
    async def gone(job_id: str) -> bytes:
        raise NotFound("no such job")

    drawer.put(delivery(receiver.url))
    async with working(payload_of=gone):
        await until(lambda: drawer.given_up == {"msg_1": "the job is gone"})
    assert receiver.seen == []


async def test_an_error_of_ours_goes_by_the_schedule(
    working: Working, receiver: Receiver, drawer: Drawer, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(job_id: str) -> bytes:
        raise ZeroDivisionError

    drawer.put(delivery(receiver.url))
    async with working(payload_of=broken):
        await until(lambda: drawer.retries == [("msg_1", NOW_S + 5, "an internal error")])
    assert any(record.exc_info for record in caplog.records)


async def test_refusals_say_nothing_of_the_network(
    working: Working, drawer: Drawer, caplog: pytest.LogCaptureFixture
) -> None:
    async def inward(host: str, port: int) -> Sequence[str]:
        return ("10.9.8.7",)

    drawer.put(delivery("http://a.test/"), delivery("http://127.0.0.1:1/", 2))
    with caplog.at_level(logging.INFO):
        async with working(sender_to(resolver=inward)):
            await until(lambda: len(drawer.retries) == 2)
    assert {error for _, _, error in drawer.retries} == {"it could not be reached"}
    assert "10.9.8.7" in caplog.text  # the owner does learn why


async def test_a_host_gets_few_at_once(working: Working, receiver: Receiver, drawer: Drawer) -> None:
    receiver.delay_s = 0.05
    drawer.put(*(delivery(receiver.url, number) for number in range(MAX_HELD + 8)))
    async with working():
        await until(lambda: len(drawer.done) == MAX_HELD + 8)
    assert receiver.most_at_once == MAX_AT_ONCE_PER_HOST


async def test_all_hosts_together_get_a_bounded_number(working: Working, receiver: Receiver, drawer: Drawer) -> None:
    receiver.delay_s = 0.05
    hosts = [f"http://h{number}.test:{receiver.port}/" for number in range(MAX_HELD)]
    drawer.put(*(delivery(url, number) for number, url in enumerate(hosts)))
    async with working():
        await until(lambda: len(drawer.done) == MAX_HELD)
    assert receiver.most_at_once == MAX_AT_ONCE


async def test_a_silent_host_is_left_alone_and_holds_up_nobody(working: Working, drawer: Drawer, clock: Clock) -> None:
    async with receiving() as silent, receiving() as lively:
        silent.delay_s = 30
        drawer.put(*(delivery(f"http://silent.test:{silent.port}/", number) for number in range(2 * MAX_HELD)))
        drawer.put(delivery(f"http://lively.test:{lively.port}/", 999))
        async with working(sender_to("127.0.0.0/8", timeout_s=0.3, resolver=to_loopback)):
            await until(lambda: drawer.done == ["msg_999"])
            await until(lambda: len(drawer.retries) + len(drawer.put_off) == 2 * MAX_HELD)
        assert len(silent.seen) <= 2 * MAX_AT_ONCE_PER_HOST
        assert {next_at_s - clock.now_s for _, next_at_s, _ in drawer.retries} == {5.0}
        assert {next_at_s - clock.now_s for _, next_at_s in drawer.put_off} == {PAUSE_S}
        assert {drawer.open[id].attempts for id, _ in drawer.put_off} == {0}  # tries that were not made do not count


async def test_a_database_that_is_away_comes_back(working: Working, receiver: Receiver, drawer: Drawer) -> None:
    drawer.put(delivery(receiver.url))
    drawer.fail_next = NotReady("the database is away")
    async with working() as postman:
        await until(drawer.settled.is_set)
        postman.wake()
        await until(lambda: drawer.done == ["msg_1"])


async def test_waking_finds_what_has_just_become_due(working: Working, receiver: Receiver, drawer: Drawer) -> None:
    async with working() as postman:
        await asyncio.sleep(0.05)
        drawer.put(delivery(receiver.url))
        postman.wake()
        await until(lambda: drawer.done == ["msg_1"], timeout_s=2)


def test_a_lease_outlasts_the_slowest_round() -> None:
    assert LEASE_S > MAX_HELD / MAX_AT_ONCE_PER_HOST * TRY_TIMEOUT_S
