"""Fetching a client's URL without becoming its proxy into the owner's network.

The check sits where the socket is opened: a name is resolved once, every address it resolves to must be allowed, and
the connection goes to one of those addresses, so odd spellings, rebinding and redirects all meet the same gate. Host
and SNI stay the URL's own. Redirects are followed here, never by the client library; no proxy is ever used.
"""

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from ipaddress import IPv6Address
from ssl import SSLContext
from typing import TypeAlias
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import httpcore2

from limner.errors import InvalidRequest, LimnerError, TooLarge
from limner.media.addresses import Network, may_connect, parse_networks

logger = logging.getLogger(__name__)

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_URL_CHARACTERS = 8192
MAX_REDIRECTS = 3
MAX_ADDRESSES_TRIED = 4
CONNECT_TIMEOUT_S = 5.0  # for each of them

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?\.?")


class _Refused(Exception):
    """Why a fetch was given up; for the log only, since the reason may tell of the owner's network."""


# OSError covers the resolver's, ValueError what urllib, ipaddress and the codecs say of malformed URLs.
_FAILURES = (
    _Refused,
    TimeoutError,
    OSError,
    ValueError,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
)


async def resolve(host: str, port: int) -> Sequence[str]:
    """The system resolver's addresses for ``host``, without duplicates, in its order of preference."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Fetcher:
    """Fetches pictures by URL.

    ``allow`` are private networks (CIDR) that may be reached all the same, ``max_bytes`` bounds one body, and
    ``timeout_s`` the whole fetch, name resolution and redirects included. ``resolver`` replaces the system's in tests.
    Raises ValueError for an ``allow`` that is no network.
    """

    def __init__(
        self,
        *,
        enabled: bool = True,
        allow: Sequence[str] = (),
        ports: Sequence[int] = (80, 443),
        max_bytes: int = 50 * 1024 * 1024,
        timeout_s: float = 15.0,
        resolver: Resolver = resolve,
    ) -> None:
        self._enabled = enabled
        self._ports = tuple(ports)
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._allowed = parse_networks(allow)
        self._resolver = resolver
        self._ssl_context: SSLContext | None = None

    async def fetch(self, url: str, param: str) -> bytes:
        """The body at ``url``; ``param`` is named in errors.

        Raises TooLarge for a body beyond ``max_bytes``, and InvalidRequest with one and the same message for
        everything else, so that nothing is learnt about hosts that must not be reached.
        """
        if not self._enabled:
            raise InvalidRequest(
                f"{param} is a URL, and this server fetches none: send the file or a data URL.", param=param
            )
        backend = _GuardedBackend(self._allowed, self._resolver)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(url, backend, param)
        except _FAILURES as error:
            logger.info("not fetched for %s: %s: %s", param, type(error).__name__, error)
            raise self._unfetched(param) from error
        finally:
            await backend.aclose()

    def _unfetched(self, param: str) -> LimnerError:
        return InvalidRequest(
            f"Could not fetch the URL in {param}. It must be a public http or https address on port "
            f"{' or '.join(map(str, self._ports))} that answers 200 with the picture itself, uncompressed and "
            f"within {self._timeout_s:g} s and {MAX_REDIRECTS} redirects. Or send the file or a data URL.",
            param=param,
        )

    async def _follow(self, url: str, backend: "_GuardedBackend", param: str) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            target = _parse(url, self._ports)
            async with self._pool(backend) as pool, pool.stream("GET", target, headers=_headers(target)) as response:
                headers = {name.lower(): value for name, value in response.headers}
                if response.status in _REDIRECTS and b"location" in headers:
                    url = urljoin(url, headers[b"location"].decode("ascii"))
                    continue
                _check_reply(response.status, headers)
                return await self._body(response, headers, param)
        raise _Refused(f"more than {MAX_REDIRECTS} redirects")

    def _pool(self, backend: "_GuardedBackend") -> httpcore2.AsyncConnectionPool:
        # A pool per hop: no connection outlives the check that opened it.
        self._ssl_context = self._ssl_context or httpcore2.default_ssl_context()
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._ssl_context,
            max_connections=1,
            max_keepalive_connections=0,
            retries=0,
            network_backend=backend,
        )

    async def _body(self, response: httpcore2.Response, headers: Mapping[bytes, bytes], param: str) -> bytes:
        limit = self._max_bytes
        too_large = TooLarge(f"The URL in {param} gives more than {limit} bytes, the most that is read.", param=param)
        if int(headers.get(b"content-length", b"0")) > limit:
            raise too_large
        body = bytearray()
        async for part in response.aiter_stream():
            body += part
            if len(body) > limit:
                raise too_large
        return bytes(body)


def _parse(url: str, ports: Sequence[int]) -> httpcore2.URL:
    """Take a URL apart once; what is connected to is built from these parts, never parsed again."""
    if len(url) > MAX_URL_CHARACTERS or any(character <= " " or character == "\x7f" for character in url):
        raise _Refused("overlong, or with spaces or control characters")
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise _Refused(f"scheme {parts.scheme!r}")
    if "@" in parts.netloc:
        raise _Refused("user information")
    port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    if port not in ports:
        raise _Refused(f"port {port}")
    return httpcore2.URL(scheme=parts.scheme, host=_host(parts), port=port, target=_target(parts))


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if ":" in host:
        return str(IPv6Address(host))
    if not host.isascii():
        host = host.encode("idna").decode("ascii").lower()
    if not _HOST_NAME.fullmatch(host):
        raise _Refused(f"host {host!r}")
    return host.removesuffix(".")


def _target(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    return f"{path}?{quote(parts.query, safe='/?%:@!$&()*+,;=~')}" if parts.query else path


def _headers(target: httpcore2.URL) -> list[tuple[bytes | str, bytes | str]]:
    host, scheme = target.host.decode("ascii"), target.scheme.decode("ascii")
    literal = f"[{host}]" if ":" in host else host
    return [
        ("Host", literal if target.port == _DEFAULT_PORTS[scheme] else f"{literal}:{target.port}"),
        ("Accept", "image/*"),
        ("Accept-Encoding", "identity"),
        ("User-Agent", "limner"),
        ("Connection", "close"),
    ]


def _check_reply(status: int, headers: Mapping[bytes, bytes]) -> None:
    if status != 200:
        raise _Refused(f"status {status}")
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b""):
        raise _Refused("a compressed body")


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens one fetch's sockets, to allowed addresses only, whatever the name and whoever asked."""

    def __init__(self, allowed: Sequence[Network], resolver: Resolver) -> None:
        self._allowed = allowed
        self._resolver = resolver
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
        """Connect to the first address that answers; raises _Refused unless every one of them is allowed."""
        addresses = await self._resolver(host, port)
        refused = [address for address in addresses if not may_connect(address, self._allowed)]
        if refused or not addresses:
            raise _Refused(f"{host} resolves to {', '.join(refused) or 'nothing'}")
        last: Exception | None = None
        for address in addresses[:MAX_ADDRESSES_TRIED]:
            try:
                stream = await self._inner.connect_tcp(address, port, timeout=CONNECT_TIMEOUT_S)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                last = error
            else:
                self._opened.append(stream)
                return stream
        raise _Refused(f"{host} does not answer") from last

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Never."""
        raise _Refused("a unix socket")

    async def sleep(self, seconds: float) -> None:
        """Wait; only the library's retries would, and there are none."""
        await asyncio.sleep(seconds)
