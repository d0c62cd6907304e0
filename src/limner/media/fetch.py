"""Fetching a client's URL as an input picture.

Owns redirects, which are followed here so that each hop meets the guard anew, the bounds of a body, and the one
message that every refusal gives. Where sockets may lead is ``guarded``'s business.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from urllib.parse import urljoin

import httpcore2

from limner.errors import InvalidRequest, LimnerError, TooLarge
from limner.media.addresses import parse_networks
from limner.media.guarded import (
    FAILURES,
    WEB_PORTS,
    Guard,
    GuardedTransport,
    Refused,
    Resolver,
    SystemResolver,
    lower_headers,
)

logger = logging.getLogger(__name__)

MAX_REDIRECTS = 3
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


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
        ports: Sequence[int] = WEB_PORTS,
        max_bytes: int = 50 * 1024 * 1024,
        timeout_s: float = 15.0,
        resolver: Resolver | None = None,
    ) -> None:
        self._enabled = enabled
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._guard = Guard(parse_networks(allow), tuple(ports), resolver=resolver or SystemResolver())
        self._transport = GuardedTransport(self._guard)

    async def fetch(self, url: str, param: str) -> bytes:
        """The body at ``url``; ``param`` is named in errors.

        Raises TooLarge for a body beyond ``max_bytes``, and InvalidRequest with one and the same message for
        everything else, so that nothing is learnt about hosts that must not be reached.
        """
        if not self._enabled:
            raise InvalidRequest(
                f"{param} is a URL, and this server fetches none: send the file or a data URL.", param=param
            )
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(url, param)
        except FAILURES as error:
            logger.info("not fetched for %s: %s: %s", param, type(error).__name__, error)
            raise self._unfetched(param) from error

    def _unfetched(self, param: str) -> LimnerError:
        return InvalidRequest(
            f"Could not fetch the URL in {param}. It must be a public http or https address on port "
            f"{' or '.join(map(str, self._guard.ports))} that answers 200 with the picture itself, uncompressed and "
            f"within {self._timeout_s:g} s and {MAX_REDIRECTS} redirects. Or send the file or a data URL.",
            param=param,
        )

    async def _follow(self, url: str, param: str) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            target = self._guard.parse(url)
            async with self._transport.stream("GET", target, headers={"Accept": "image/*"}) as response:
                headers = lower_headers(response)
                if response.status in _REDIRECTS and b"location" in headers:
                    url = urljoin(url, headers[b"location"].decode("ascii"))
                    continue
                _check_reply(response.status, headers)
                return await self._body(response, headers, param)
        raise Refused(f"more than {MAX_REDIRECTS} redirects")

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


def _check_reply(status: int, headers: Mapping[bytes, bytes]) -> None:
    if status != 200:
        raise Refused(f"status {status}")
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b""):
        raise Refused("a compressed body")
