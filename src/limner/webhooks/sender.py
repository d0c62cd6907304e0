"""One POST to a client's server, and what came of it.

Owns the deadline and what is read of an answer; knows nothing of retries.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpcore2

from limner.media.guarded import FAILURES, Guard, GuardedTransport, lower_headers

logger = logging.getLogger(__name__)

TRY_TIMEOUT_S = 10.0
MAX_REPLY_BYTES = 4096  # of the body, which nobody looks at: enough for the other side to end its answer in peace


class Unreachable(Exception):
    """There was no answer. Why is in the log alone: it may tell of the owner's network."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The status of an answer, and how long it asked us to wait before the next try."""

    status: int
    retry_after_s: float | None = None


class Sender:
    """Posts JSON under ``guard``; ``timeout_s`` bounds one try, name resolution included."""

    def __init__(
        self, guard: Guard, *, timeout_s: float = TRY_TIMEOUT_S, clock: Callable[[], float] = time.time
    ) -> None:
        self.timeout_s = timeout_s
        self._guard = guard
        self._transport = GuardedTransport(guard)
        self._clock = clock

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send ``body`` as JSON with ``headers``; redirects are answers like any other. Raises Unreachable."""
        answer: Answer | None = None
        sent = {"Content-Type": "application/json", **headers}
        try:
            async with asyncio.timeout(self.timeout_s):
                target = self._guard.parse(url)
                async with self._transport.stream("POST", target, headers=sent, body=body) as response:
                    answer = Answer(response.status, self._retry_after_s(response))
                    await _skim(response)
        except FAILURES as error:
            if answer is None:
                logger.info("a webhook did not get through: %s: %s", type(error).__name__, error)
                raise Unreachable from error
        assert answer is not None
        return answer

    def _retry_after_s(self, response: httpcore2.Response) -> float | None:
        """Seconds or a date (RFC 9110, section 10.2.3); None for neither."""
        text = lower_headers(response).get(b"retry-after", b"").decode("latin-1").strip()
        if text.isascii() and text.isdigit():
            return float(text[:10])
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - self._clock())


async def _skim(response: httpcore2.Response) -> None:
    seen_bytes = 0
    async for part in response.aiter_stream():
        seen_bytes += len(part)
        if seen_bytes > MAX_REPLY_BYTES:
            return
