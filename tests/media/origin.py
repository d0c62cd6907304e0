"""A real server on loopback addresses, of which only ALLOWED may be reached; names resolve by a table."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from limner.media.fetch import Fetcher
from limner.media.guarded import SystemResolver

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
    "nowhere.test": (),
    "xn--bcher-kva.test": (ALLOWED,),
}


def reply(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = (f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(lines).encode() + body


def answers(port: int) -> dict[str, bytes]:
    """What the server says to a path, once."""
    good = f"http://good.test:{port}"
    return {
        "/ok": reply("200 OK", body=b"picture"),
        "/html": reply("200 OK", "Content-Type: text/html", body=b"<html>"),
        "/chunked": CHUNKED + b"7\r\npicture\r\n0\r\n\r\n",
        "/until-close": b"HTTP/1.1 200 OK\r\n\r\npicture",
        "/exactly": reply("200 OK", body=bytes(LIMIT_BYTES)),
        "/continued": b"HTTP/1.1 100 Continue\r\n\r\n" + reply("200 OK", body=b"picture"),
        "/longer-than-declared": reply("200 OK", body=b"picture") + b" and more",
        **{f"/{status}": reply(f"{status} Because", body=b"pic") for status in (203, 206, 300, 401, 404, 500, 503)},
        "/101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + bytes(999),
        "/204": b"HTTP/1.1 204 No Content\r\n\r\n",
        "/304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
        "/gzip": reply("200 OK", "Content-Encoding: gzip", body=b"\x1f\x8b"),
        "/deflate": reply("200 OK", "Content-Encoding: deflate", body=b"x"),
        "/zstd": reply("200 OK", "Content-Encoding: ZSTD", body=b"x"),
        "/br": reply("200 OK", "Content-Encoding: identity, br", body=b"x"),
        "/encoded-twice": reply("200 OK", "Content-Encoding: identity", "Content-Encoding: gzip", body=b"x"),
        "/transfer-gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "/declares-too-much": f"HTTP/1.1 200 OK\r\nContent-Length: {10**12}\r\n\r\n".encode(),
        "/streams-too-much": CHUNKED + (b"4000\r\n" + bytes(0x4000) + b"\r\n") * 9,
        "/closes-too-late": b"HTTP/1.1 200 OK\r\n\r\n" + bytes(LIMIT_BYTES + 1),
        "/negative": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "/no-number": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        "/two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "/cut-short": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nabc",
        "/chunk-cut-short": CHUNKED + b"500\r\nabc",
        "/huge-chunk": CHUNKED + b"F" * 40 + b"\r\nabc",
        "/no-chunk": CHUNKED + b"-7\r\npicture\r\n0\r\n\r\n",
        "/not-http": b"220 mail.example ESMTP\r\n",
        "/http-0.9": b"picture",
        "/http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "/nothing": b"",
        "/long-header": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 300_000 + b"\r\n\r\n",
        "/many-headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 60_000 + b"\r\n",
        "/long-trailers": CHUNKED + b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * 60_000,
        "/long-chunk-extension": CHUNKED + b"3;" + b"x" * 300_000 + b"\r\nabc\r\n0\r\n\r\n",
        "/bare-redirect": reply("302 Found"),
        **{
            path: reply("302 Found", f"Location: {to}")
            for path, to in {
                "/to-ok": "/ok",
                "/to-good": f"{good}/ok",
                "/to-metadata": "http://169.254.169.254/latest/meta-data/",
                "/to-file": "file:///etc/passwd",
                "/to-ftp": "ftp://good.test/x",
                "/to-data": "data:image/png;base64,AAAA",
                "/to-nothing": "",
                "/to-user": f"http://a:b@good.test:{port}/ok",
                "/to-port": "http://good.test:22/",
                "/to-other-host": f"//bad.test:{port}/ok",
                "/to-backslashes": f"\\\\bad.test:{port}\\ok",
                "/to-mapped": f"http://[::ffff:127.0.0.1]:{port}/ok",
                "/to-octal": f"http://0177.0.0.1:{port}/ok",
                "/to-tls": f"https://bad.test:{port}/ok",
                "/to-rebind": f"http://rebind.test:{port}/ok",
                "/to-unicode": "/\u00e4",
                "/loop": "/loop",
                "/hop0": "/hop1",
                "/hop1": "/hop2",
                "/hop2": "/hop3",
                "/hop3": "/ok",
            }.items()
        },
        **{
            f"/forbidden-by-{status}": reply(f"{status} Moved", f"Location: http://{FORBIDDEN}:{port}/ok")
            for status in (301, 302, 303, 307, 308)
        },
    }


# What is said first, and then for ever, every 10 ms.
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "/silent": (b"", b""),
    "/drip": (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x"),
    "/drip-of-headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "/drip-of-status": (b"HTTP/1.1 200 O", b"K"),
    "/drip-of-chunks": (CHUNKED, b"1\r\nx\r\n"),
    "/continue-for-ever": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "/trailers-for-ever": (CHUNKED + b"0\r\n", b"X: y\r\n"),
}


@dataclass
class Origin:
    """The server, and what it has seen."""

    port: int = 0
    requests: list[str] = field(default_factory=list)
    lookups: list[str] = field(default_factory=list)
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    system: SystemResolver = field(default_factory=SystemResolver)

    async def lookup(self, host: str, port: int) -> Sequence[str]:
        self.lookups.append(host)
        if host == "rebind.test":
            return (ALLOWED,) if self.lookups.count(host) == 1 else (FORBIDDEN,)
        if host == "slow.test":
            await asyncio.sleep(60)
        return NAMES[host] if host in NAMES else await self.system(host, port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            self.asked.set()
            path = head.split()[1]
            if path in ENDLESS:
                await _drip(writer, *ENDLESS[path])
            writer.write(answers(self.port).get(path, reply("200 OK", body=path.encode())))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _drip(writer: asyncio.StreamWriter, first: bytes, then: bytes) -> None:
    writer.write(first)
    while True:
        writer.write(then)
        await writer.drain()
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Origin]:
    """The origin on ALLOWED and, on the same port, on FORBIDDEN."""
    origin = Origin()
    server = await asyncio.start_server(origin.serve, ALLOWED, 0)
    origin.port = server.sockets[0].getsockname()[1]
    forbidden = await asyncio.start_server(origin.serve, FORBIDDEN, origin.port)
    try:
        yield origin
    finally:
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
