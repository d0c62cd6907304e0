"""One POST, to a server on loopback that the guard's allow-list opens."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from limner.webhooks.sender import Answer, Unreachable
from tests.fakes import until
from tests.webhooks.receiver import NOW_S, Receiver, http_date, receiving, reply, sender_to

LOOPBACK = "127.0.0.0/8"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_a_body_arrives_as_json_with_its_headers(receiver: Receiver) -> None:
    assert await sender_to(LOOPBACK).post(receiver.url, {"webhook-id": "msg_1"}, b'{"a":1}') == Answer(200)
    (seen,) = receiver.seen
    assert (seen.target, seen.body) == ("POST /hook HTTP/1.1", b'{"a":1}')
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["webhook-id"] == "msg_1"
    assert seen.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    receiver.answers = [reply(f"{status} Moved", f"Location: {receiver.url}/elsewhere")]
    assert await sender_to(LOOPBACK).post(receiver.url, {}, b"{}") == Answer(status)
    assert len(receiver.seen) == 1


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (http_date(NOW_S + 90), 90.0),
        (http_date(NOW_S - 90), 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 5000, 9999999999.0),
        ("Fri, 99 Zyx 20000 99:99:99 GMT", None),
        (f"Fri, 01 Jan {'9' * 30} 00:00:00 GMT", None),
    ],
)
async def test_retry_after_is_read_in_both_forms(receiver: Receiver, value: str, expected_s: float | None) -> None:
    receiver.answers = [reply("503 Busy", f"Retry-After: {value}")]
    assert await sender_to(LOOPBACK).post(receiver.url, {}, b"{}") == Answer(503, expected_s)


async def test_an_endless_reply_is_cut_off_and_counts(receiver: Receiver) -> None:
    receiver.answers = [b"HTTP/1.1 200 OK\r\n\r\n..."]
    began = time.monotonic()
    assert await sender_to(LOOPBACK, timeout_s=5).post(receiver.url, {}, b"{}") == Answer(200)
    assert time.monotonic() - began < 2


async def test_a_reply_whose_body_never_ends_coming_counts(receiver: Receiver) -> None:
    receiver.answers = [b"HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\n"]
    assert await sender_to(LOOPBACK).post(receiver.url, {}, b"{}") == Answer(202)


@pytest.mark.parametrize(
    "answer", [b"", b"220 mail ESMTP\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000], ids=["none", "mail", "headers"]
)
async def test_what_is_no_http_is_unreachable(receiver: Receiver, answer: bytes) -> None:
    receiver.answers = [answer]
    with pytest.raises(Unreachable):
        await sender_to(LOOPBACK).post(receiver.url, {}, b"{}")


async def test_a_slow_receiver_meets_the_deadline(receiver: Receiver) -> None:
    receiver.delay_s = 30
    began = time.monotonic()
    with pytest.raises(Unreachable):
        await sender_to(LOOPBACK, timeout_s=0.2).post(receiver.url, {}, b"{}")
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("networks", [(), ("127.0.0.2/32",), ("10.0.0.0/8",)], ids=str)
async def test_private_addresses_are_not_connected_to(receiver: Receiver, networks: tuple[str, ...]) -> None:
    with pytest.raises(Unreachable):
        await sender_to(*networks).post(receiver.url, {}, b"{}")
    assert receiver.seen == []


@pytest.mark.parametrize("answers", [("127.0.0.1", "10.9.9.9"), ("10.9.9.9",), ("::ffff:10.9.9.9",), ()], ids=str)
async def test_every_address_of_a_name_must_be_allowed(receiver: Receiver, answers: tuple[str, ...]) -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return answers

    url = f"http://hooks.test:{receiver.port}/"
    with pytest.raises(Unreachable):
        await sender_to("127.0.0.0/8", resolver=resolver).post(url, {}, b"{}")
    assert receiver.seen == []


async def test_a_name_that_is_bound_anew_is_judged_anew(receiver: Receiver) -> None:
    answers = [("127.0.0.1",), ("10.9.9.9",)]

    async def resolver(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    sender, url = sender_to("127.0.0.0/8", resolver=resolver), f"http://hooks.test:{receiver.port}/"
    assert await sender.post(url, {}, b"{}") == Answer(200)
    with pytest.raises(Unreachable):
        await sender.post(url, {}, b"{}")
    assert len(receiver.seen) == 1


async def test_other_ports_are_for_allow_listed_networks_only(receiver: Receiver) -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return ("8.8.8.8",)

    began = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        await sender_to("127.0.0.0/8", resolver=resolver, timeout_s=20).post("http://a.test:9000/", {}, b"{}")
    assert "8.8.8.8" in str(caught.value.__cause__)  # refused, not tried
    assert time.monotonic() - began < 2


async def test_cancelling_stops_the_try(receiver: Receiver) -> None:
    receiver.delay_s = 30
    task = asyncio.create_task(sender_to(LOOPBACK, timeout_s=30).post(receiver.url, {}, b"{}"))
    await until(lambda: receiver.seen)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
