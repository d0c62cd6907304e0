"""What a fetch gives; what it refuses is in test_ssrf."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from limner.errors import InvalidRequest, TooLarge
from tests.media.origin import ALLOWED, LIMIT_BYTES, Origin, fetcher_for, serving


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with serving() as origin:
        yield origin


HONEST = ["/ok", "/to-ok", "/to-good", "/chunked", "/until-close", "/hop1", "/continued", "/longer-than-declared"]


@pytest.mark.parametrize("path", HONEST)
async def test_honest_answers_are_fetched(origin: Origin, path: str) -> None:
    assert await fetcher_for(origin).fetch(f"http://good.test:{origin.port}{path}", "image") == b"picture"


async def test_a_page_that_is_no_picture_is_left_to_the_decoder(origin: Origin) -> None:
    assert await fetcher_for(origin).fetch(f"http://good.test:{origin.port}/html", "image") == b"<html>"


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("http://good.test:PORT/a%20b?c=d&e=%2F#fragment", "good.test:PORT", "/a%20b?c=d&e=%2F"),
        ("HTTP://GOOD.test:PORT?x", "good.test:PORT", "/?x"),
        ("http://good.test.:PORT/\u00fc/\u5186", "good.test:PORT", "/%C3%BC/%E5%86%86"),
        ("http://b\u00fccher.test:PORT/a'b", "xn--bcher-kva.test:PORT", "/a'b"),
        ("http://xn--bcher-kva.test:PORT/", "xn--bcher-kva.test:PORT", "/"),
        ("http://\uff47\uff4f\uff4f\uff44.test:PORT/", "good.test:PORT", "/"),
        ("http://127.0.0.5:PORT/x", "127.0.0.5:PORT", "/x"),
        ("http://good.test:PORT/%0d%0aHost:%20evil", "good.test:PORT", "/%0d%0aHost:%20evil"),
        ("http://good.test:PORT?@127.0.0.1/x", "good.test:PORT", "/?@127.0.0.1/x"),
        ("http://good.test:PORT#@127.0.0.1/x", "good.test:PORT", "/"),
    ],
)
async def test_the_origin_sees_the_urls_own_host_and_target(origin: Origin, url: str, host: str, target: str) -> None:
    await fetcher_for(origin).fetch(url.replace("PORT", str(origin.port)), "image")
    lines = origin.requests[0].split("\r\n")
    assert lines[0] == f"GET {target} HTTP/1.1"
    assert f"Host: {host.replace('PORT', str(origin.port))}" in lines
    assert "Accept-Encoding: identity" in lines


async def test_a_name_is_resolved_once_per_connection(origin: Origin) -> None:
    assert await fetcher_for(origin).fetch(f"http://rebind.test:{origin.port}/ok", "image") == b"picture"
    assert origin.lookups == ["rebind.test"]


@pytest.mark.parametrize("path", ["/declares-too-much", "/streams-too-much", "/closes-too-late"])
async def test_a_body_beyond_the_limit_is_too_large(origin: Origin, path: str) -> None:
    with pytest.raises(TooLarge) as caught:
        await fetcher_for(origin).fetch(f"http://good.test:{origin.port}{path}", "image")
    assert caught.value.param == "image"
    assert str(LIMIT_BYTES) in caught.value.message


async def test_a_body_of_exactly_the_limit_is_fetched(origin: Origin) -> None:
    body = await fetcher_for(origin).fetch(f"http://good.test:{origin.port}/exactly", "image")
    assert len(body) == LIMIT_BYTES


async def test_the_next_address_is_tried_when_one_does_not_answer(origin: Origin) -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        return ("127.0.0.6", ALLOWED)

    fetcher = fetcher_for(origin, allow=("127.0.0.4/30",), resolver=lookup)
    assert await fetcher.fetch(f"http://any.test:{origin.port}/ok", "image") == b"picture"


async def test_switched_off_it_looks_nothing_up(origin: Origin) -> None:
    with pytest.raises(InvalidRequest, match="data URL") as caught:
        await fetcher_for(origin, enabled=False).fetch(f"http://good.test:{origin.port}/ok", "image")
    assert caught.value.param == "image"
    assert not origin.lookups


async def test_leaving_stops_the_fetch(origin: Origin) -> None:
    fetcher = fetcher_for(origin, timeout_s=30)
    task = asyncio.create_task(fetcher.fetch(f"http://good.test:{origin.port}/drip", "image"))
    await asyncio.wait_for(origin.asked.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
