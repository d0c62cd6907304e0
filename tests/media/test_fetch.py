"""A real server on loopback addresses, of which only 127.0.0.5 is allowed; names resolve by a table."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from limner.errors import InvalidRequest, TooLarge
from limner.media.fetch import Fetcher, resolve

ALLOWED, FORBIDDEN = "127.0.0.5", "127.0.0.1"
LIMIT_BYTES = 100_000
TIMEOUT_S = 0.5
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

NAMES: dict[str, tuple[str, ...]] = {
    "good.test": (ALLOWED,),
    "bad.test": (FORBIDDEN,),
    "mixed.test": (ALLOWED, FORBIDDEN),
    "mixed-metadata.test": ("169.254.169.254", ALLOWED),
    "mixed-v6.test": (ALLOWED, "::1"),
    "second.test": ("127.0.0.5", "127.0.0.5"),
    "nowhere.test": (),
    "metadata.test": ("169.254.169.254",),
    "mapped.test": ("::ffff:127.0.0.1",),
    "nat64.test": ("64:ff9b::7f00:1",),
    "zone.test": ("fe80::1%1",),
    "xn--bcher-kva.test": (ALLOWED,),
}


@dataclass
class Origin:
    """The server: what it answers by path, and what it has seen."""

    port: int = 0
    requests: list[str] = field(default_factory=list)
    lookups: list[str] = field(default_factory=list)
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def lookup(self, host: str, port: int) -> Sequence[str]:
        self.lookups.append(host)
        if host == "rebind.test":
            return (ALLOWED,) if self.lookups.count(host) == 1 else (FORBIDDEN,)
        if host == "slow.test":
            await asyncio.sleep(60)
        return NAMES[host] if host in NAMES else await resolve(host, port)

    def answer(self, path: str) -> bytes:
        to = f"http://good.test:{self.port}"
        redirects = {
            "/to-ok": "/ok",
            "/to-good": f"{to}/ok",
            "/to-forbidden": f"http://{FORBIDDEN}:{self.port}/ok",
            "/to-metadata": "http://169.254.169.254/latest/meta-data/",
            "/to-file": "file:///etc/passwd",
            "/to-ftp": "ftp://good.test/x",
            "/to-user": f"http://a:b@good.test:{self.port}/ok",
            "/to-port": "http://good.test:22/",
            "/to-relative-host": f"//bad.test:{self.port}/ok",
            "/to-rebind": f"http://rebind.test:{self.port}/ok",
            "/loop": "/loop",
            "/hop1": "/hop2",
            "/hop2": "/hop3",
            "/hop3": "/ok",
            "/hop0": "/hop1",
            "/to-unicode": "/\u00e4",
        }
        if path in redirects:
            return reply("302 Found", f"Location: {redirects[path]}")
        return {
            "/ok": reply("200 OK", body=b"picture"),
            "/html": reply("200 OK", "Content-Type: text/html", body=b"<html>"),
            "/chunked": CHUNKED + b"7\r\npicture\r\n0\r\n\r\n",
            "/until-close": b"HTTP/1.1 200 OK\r\n\r\npicture",
            "/404": reply("404 Not Found"),
            "/500": reply("500 Internal Server Error"),
            "/204": reply("204 No Content"),
            "/206": reply("206 Partial Content", body=b"pic"),
            "/gzip": reply("200 OK", "Content-Encoding: gzip", body=b"\x1f\x8b"),
            "/br": reply("200 OK", "Content-Encoding: identity, br", body=b"x"),
            "/transfer-gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "/declares-too-much": f"HTTP/1.1 200 OK\r\nContent-Length: {10**12}\r\n\r\n".encode(),
            "/negative": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "/not-http": b"220 mail.example ESMTP\r\n",
            "/many-headers": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 300_000 + b"\r\n\r\n",
            "/cut-short": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nabc",
            "/bare-redirect": reply("302 Found"),
            "/big": CHUNKED + (b"4000\r\n" + bytes(0x4000) + b"\r\n") * 9,
            "/exactly": reply("200 OK", body=bytes(LIMIT_BYTES)),
        }.get(path, reply("200 OK", body=path.encode()))  # fmt: skip

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            self.asked.set()
            path = head.split()[1]
            if path == "/drip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
                while True:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            if path == "/silent":
                await asyncio.sleep(60)
            writer.write(self.answer(path))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def reply(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = (f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(lines).encode() + body


@pytest_asyncio.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    server = await asyncio.start_server(origin.serve, ALLOWED, 0)
    origin.port = server.sockets[0].getsockname()[1]
    forbidden = await asyncio.start_server(origin.serve, FORBIDDEN, origin.port)
    yield origin
    for listening in (server, forbidden):
        listening.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


def fetcher_for(origin: Origin, **options: object) -> Fetcher:
    arguments: dict[str, object] = {
        "allow": (f"{ALLOWED}/32",),
        "ports": (80, 443, origin.port),
        "max_bytes": LIMIT_BYTES,
        "timeout_s": TIMEOUT_S,
        "resolver": origin.lookup,
    }
    return Fetcher(**(arguments | options))  # type: ignore[arg-type]


HOSTILE = [
    # what a name resolves to
    "http://bad.test:PORT/ok",
    "http://mixed.test:PORT/ok",
    "http://mixed-metadata.test:PORT/ok",
    "http://mixed-v6.test:PORT/ok",
    "http://nowhere.test:PORT/ok",
    "http://metadata.test/latest/meta-data/",
    "http://mapped.test:PORT/ok",
    "http://nat64.test:PORT/ok",
    "http://zone.test:PORT/ok",
    # spellings of 127.0.0.1 and its like
    "http://127.0.0.1:PORT/ok",
    "http://127.0.0.1.:PORT/ok",
    "http://localhost:PORT/ok",
    "http://LOCALHOST.:PORT/ok",
    "http://2130706433:PORT/ok",
    "http://0x7f000001:PORT/ok",
    "http://0x7f.1:PORT/ok",
    "http://0177.0.0.1:PORT/ok",
    "http://127.1:PORT/ok",
    "http://0:PORT/ok",
    "http://0.0.0.0:PORT/ok",
    "http://[::1]:PORT/ok",
    "http://[::]:PORT/ok",
    "http://[::ffff:127.0.0.1]:PORT/ok",
    "http://[::ffff:7f00:1]:PORT/ok",
    "http://[64:ff9b::7f00:1]:PORT/ok",
    "http://[fe80::1%25lo]:PORT/ok",
    "http://[::1%lo]:PORT/ok",
    "http://127\u30020\u30020\u30021:PORT/ok",
    "http://\uff11\uff12\uff17.0.0.1:PORT/ok",
    "http://\u2460\u2461\u2466.0.0.1:PORT/ok",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/",
    "http://10.0.0.1/",
    # URLs that parsers disagree on
    "http://good.test:PORT\\@127.0.0.1:PORT/ok",
    "http://127.0.0.1:PORT\\@good.test:PORT/ok",
    "http://user:secret@good.test:PORT/ok",
    "http://@good.test:PORT/ok",
    "http://good.test:PORT@127.0.0.1:PORT/ok",
    "http://good.test%00.evil:PORT/ok",
    "http://good.test%2f:PORT/ok",
    "http://go od.test:PORT/ok",
    "http://good.test:PORT/ok\r\nHost: evil",
    "\thttp://good.test:PORT/ok",
    "http://good.test:99999/ok",
    "http://good.test:-1/ok",
    "http://good.test:x/ok",
    "http://:PORT/ok",
    "http:///ok",
    "http://[good.test]:PORT/ok",
    "http://[::1/ok",
    "http://" + "a" * 64 + ".test:PORT/ok",
    "http://good.test:PORT/" + "a" * 9000,
    "",
    # ports and schemes
    "http://good.test:22/",
    "http://good.test:6379/",
    "file:///etc/passwd",
    "ftp://good.test/x",
    "gopher://good.test:PORT/_x",
    "unix:/run/docker.sock",
    "//good.test:PORT/ok",
    # redirects
    "http://good.test:PORT/to-forbidden",
    "http://good.test:PORT/to-metadata",
    "http://good.test:PORT/to-file",
    "http://good.test:PORT/to-ftp",
    "http://good.test:PORT/to-user",
    "http://good.test:PORT/to-port",
    "http://good.test:PORT/to-relative-host",
    "http://good.test:PORT/to-unicode",
    "http://rebind.test:PORT/to-rebind",
    "http://good.test:PORT/loop",
    "http://good.test:PORT/hop0",
    "http://good.test:PORT/bare-redirect",
    # answers
    "http://good.test:PORT/404",
    "http://good.test:PORT/500",
    "http://good.test:PORT/204",
    "http://good.test:PORT/206",
    "http://good.test:PORT/gzip",
    "http://good.test:PORT/br",
    "http://good.test:PORT/transfer-gzip",
    "http://good.test:PORT/negative",
    "http://good.test:PORT/not-http",
    "http://good.test:PORT/many-headers",
    "http://good.test:PORT/cut-short",
    "http://good.test:PORT/drip",
    "http://good.test:PORT/silent",
    "http://slow.test:PORT/ok",
    "https://good.test:PORT/ok",
]


@pytest.mark.parametrize("url", HOSTILE, ids=lambda url: url.encode("unicode_escape").decode()[:60])
async def test_hostile_urls_all_meet_the_same_refusal(origin: Origin, url: str) -> None:
    started = time.monotonic()
    with pytest.raises(InvalidRequest) as caught:
        await fetcher_for(origin).fetch(url.replace("PORT", str(origin.port)), "image_url")
    assert time.monotonic() - started < TIMEOUT_S + 1
    assert caught.value.param == "image_url"
    assert caught.value.message == (
        f"Could not fetch the URL in image_url. It must be a public http or https address on port 80 or 443 or "
        f"{origin.port} that answers 200 with the picture itself, uncompressed and within 0.5 s and 3 redirects. "
        f"Or send the file or a data URL."
    )
    assert not any("Host: 127.0.0.1" in request or "Host: bad.test" in request for request in origin.requests)


@pytest.mark.parametrize("url", ["http://bad.test:PORT/ok", "http://mixed.test:PORT/ok", "http://127.1:PORT/ok"])
async def test_a_refused_address_is_never_connected_to(origin: Origin, url: str) -> None:
    with pytest.raises(InvalidRequest):
        await fetcher_for(origin).fetch(url.replace("PORT", str(origin.port)), "image")
    assert origin.connections == 0


@pytest.mark.parametrize("path", ["/ok", "/to-ok", "/to-good", "/chunked", "/until-close", "/hop1"])
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
        ("http://127.0.0.5:PORT/x", "127.0.0.5:PORT", "/x"),
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


@pytest.mark.parametrize("path", ["/declares-too-much", "/big"])
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


async def test_sni_carries_the_name_and_not_the_address() -> None:
    hello = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.set_result(await reader.read(4096))
        writer.close()

    async def lookup(host: str, port: int) -> Sequence[str]:
        return (ALLOWED,)

    async with await asyncio.start_server(listen, ALLOWED, 0) as server:
        port = server.sockets[0].getsockname()[1]
        fetcher = Fetcher(allow=(ALLOWED,), ports=(port,), timeout_s=2, resolver=lookup)
        with pytest.raises(InvalidRequest):
            await fetcher.fetch(f"https://pictures.test:{port}/", "image")
    assert b"pictures.test" in hello.result()


async def test_switched_off_it_looks_nothing_up(origin: Origin) -> None:
    with pytest.raises(InvalidRequest, match="data URL") as caught:
        await fetcher_for(origin, enabled=False).fetch(f"http://good.test:{origin.port}/ok", "image")
    assert caught.value.param == "image"
    assert not origin.lookups


async def test_proxy_variables_are_ignored(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{FORBIDDEN}:9")
    assert await fetcher_for(origin).fetch(f"http://good.test:{origin.port}/ok", "image") == b"picture"


async def test_leaving_stops_the_fetch(origin: Origin) -> None:
    fetcher = fetcher_for(origin, timeout_s=30)
    task = asyncio.create_task(fetcher.fetch(f"http://good.test:{origin.port}/drip", "image"))
    await asyncio.wait_for(origin.asked.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
