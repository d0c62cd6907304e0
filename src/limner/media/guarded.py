"""Connections to URLs that a client names, without becoming its proxy into the owner's network.

The check sits where the socket is opened: a name is resolved once, every address it resolves to must be allowed, and
the connection goes to one of those addresses, so odd spellings and rebinding meet the same gate. Host and SNI stay the
URL's own. One request is one connection; no redirect is followed here, and no proxy is ever used.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv6Address
from ssl import SSLContext
from typing import TypeAlias
from urllib.parse import SplitResult, quote, urlsplit

import httpcore2

from limner.media.addresses import Network, lies_in, may_connect

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_URL_CHARACTERS = 8192
MAX_ADDRESSES_TRIED = 4
CONNECT_TIMEOUT_S = 5.0  # for each of them
WEB_PORTS = (80, 443)

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?\.?")


class Refused(Exception):
    """Why a URL is not asked, or its answer not taken; for the log only, since it may tell of the owner's network."""


# What asking a URL can end in. OSError covers the resolver's, ValueError what urllib, ipaddress and the codecs say of
# malformed URLs and headers.
FAILURES = (
    Refused,
    TimeoutError,
    OSError,
    ValueError,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
)


class SystemResolver:
    """The system's resolver in threads of its own: a name whose servers never answer holds one for as long as the
    system is patient, whatever the caller's deadline, and must not hold up the server's other threads."""

    def __init__(self, *, workers: int = 16) -> None:
        self._threads = ThreadPoolExecutor(workers, "limner-names")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of ``host``, without duplicates, in the system's order of preference. Raises OSError."""
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


@dataclass(frozen=True, slots=True)
class Guard:
    """Which URLs may be asked: those of public addresses, and of ``allowed`` private networks, on ``ports``.

    ``free_ports`` opens every port of the allowed networks. ``resolver`` replaces the system's in tests.
    """

    allowed: tuple[Network, ...] = ()
    ports: tuple[int, ...] = WEB_PORTS
    free_ports: bool = False
    resolver: Resolver = field(default_factory=SystemResolver)

    def parse(self, url: str) -> httpcore2.URL:
        """Take a URL apart once; what is connected to is built from these parts, never parsed again.

        Raises Refused or ValueError for a URL that no address could make good.
        """
        if len(url) > MAX_URL_CHARACTERS or any(character <= " " or character == "\x7f" for character in url):
            raise Refused("overlong, or with spaces or control characters")
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS:
            raise Refused(f"scheme {parts.scheme!r}")
        if "@" in parts.netloc:
            raise Refused("user information")
        port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
        if port not in self.ports and not (self.free_ports and self.allowed):
            raise Refused(f"port {port}")
        return httpcore2.URL(scheme=parts.scheme, host=_host(parts), port=port, target=_target(parts))

    def may_connect(self, address: str, port: int) -> bool:
        """Whether a socket may be opened to ``address``, as a resolver gave it."""
        if port not in self.ports:
            return self.free_ports and lies_in(address, self.allowed)
        return may_connect(address, self.allowed)


class GuardedTransport:
    """Sends requests under a Guard."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._ssl_context: SSLContext | None = None

    @asynccontextmanager
    async def stream(
        self, method: str, target: httpcore2.URL, *, headers: Mapping[str, str], body: bytes = b""
    ) -> AsyncIterator[httpcore2.Response]:
        """The answer to one request, its body still unread; raises one of FAILURES. The caller sets the deadline."""
        self._ssl_context = self._ssl_context or httpcore2.default_ssl_context()
        backend = _GuardedBackend(self._guard)
        pool = httpcore2.AsyncConnectionPool(
            ssl_context=self._ssl_context,
            max_connections=1,
            max_keepalive_connections=0,  # no connection outlives the check that opened it
            retries=0,
            network_backend=backend,
        )
        sent: list[tuple[bytes | str, bytes | str]] = [*_common_headers(target).items(), *headers.items()]
        if body:
            sent.append(("Content-Length", str(len(body))))
        try:
            async with pool, pool.stream(method, target, headers=sent, content=body or None) as response:
                yield response
        finally:
            await backend.aclose()


def lower_headers(response: httpcore2.Response) -> dict[bytes, bytes]:
    """The response's headers by their name in lower case; of repeated ones the last."""
    return {name.lower(): value for name, value in response.headers}


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if ":" in host:
        return str(IPv6Address(host))
    if not host.isascii():
        host = host.encode("idna").decode("ascii").lower()
    if not _HOST_NAME.fullmatch(host):
        raise Refused(f"host {host!r}")
    return host.removesuffix(".")


def _target(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    return f"{path}?{quote(parts.query, safe='/?%:@!$&()*+,;=~')}" if parts.query else path


def _common_headers(target: httpcore2.URL) -> dict[str, str]:
    host, scheme = target.host.decode("ascii"), target.scheme.decode("ascii")
    literal = f"[{host}]" if ":" in host else host
    return {
        "Host": literal if target.port == _DEFAULT_PORTS[scheme] else f"{literal}:{target.port}",
        "Accept-Encoding": "identity",
        "User-Agent": "limner",
        "Connection": "close",
    }


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens one request's sockets, to allowed addresses only, whatever the name and whoever asked."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._inner = httpcore2.AnyIOBackend()
        self._opened: list[httpcore2.AsyncNetworkStream] = []

    async def aclose(self) -> None:
        """Close what is still open: the library leaves a socket behind when a TLS handshake is cancelled."""
        for stream in self._opened:
            await stream.aclose()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address that answers; raises Refused unless every one of them is allowed."""
        addresses = await self._guard.resolver(host, port)
        refused = [address for address in addresses if not self._guard.may_connect(address, port)]
        if refused or not addresses:
            raise Refused(f"{host} resolves to {', '.join(refused) or 'nothing'}")
        last: Exception | None = None
        for address in addresses[:MAX_ADDRESSES_TRIED]:
            try:
                stream = await self._inner.connect_tcp(address, port, timeout=CONNECT_TIMEOUT_S)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                last = error
            else:
                self._opened.append(stream)
                return stream
        raise Refused(f"{host} does not answer") from last

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Never."""
        raise Refused("a unix socket")

    async def sleep(self, seconds: float) -> None:
        """Wait; only the library's retries would, and there are none."""
        await asyncio.sleep(seconds)
