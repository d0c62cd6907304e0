"""The keys of a running server: who brings which, and whether one is needed at all.

Owns the look-up from a key's text to its caller, with a memory of a few seconds so that neither right nor wrong keys
cost a query each, and remembers which keys were used. Whether keys are demanded is set by `limner.accounts.door`.
"""

import hmac
import logging
import time
from collections.abc import Callable
from typing import Literal

from limner.accounts.caller import Caller
from limner.accounts.keys import NewKey, digest_of, new_prefix, new_secret, prefix_of
from limner.errors import Unauthorized
from limner.store import Store
from limner.store.rows import KeyRow

Demand = Literal["always", "never", "once made"]
logger = logging.getLogger(__name__)

REFRESH_S = 3.0  # how old what is remembered of a key may be: a revocation elsewhere takes this long at most
TOUCH_EVERY_S = 30.0
MAX_HITS = 10_000
MAX_MISSES = 10_000
_NO_DIGEST = bytes(32)


class Keyring:
    """Recognises keys and makes them. ``clock`` gives unix seconds.

    ``demand`` says whether a key is needed: always (until somebody decides otherwise), never, or once one was made.
    """

    def __init__(self, store: Store, pepper: bytes, clock: Callable[[], float] = time.time) -> None:
        self.demand: Demand = "always"
        self._store = store
        self._pepper = pepper
        self._clock = clock
        self._hits = _Memory(MAX_HITS, clock)
        self._misses = _Memory(MAX_MISSES, clock)  # apart, so that a flood of wrong keys drives out no right one
        self._changes = 0
        self._any_made = False
        self._used: set[str] = set()
        self._touched_at_s = clock()

    @property
    def required(self) -> bool:
        """Whether a request needs a key; as fresh as the last `refresh`."""
        return self.demand == "always" or (self.demand == "once made" and self._any_made)

    async def authenticate(self, secret: str) -> Caller:
        """The caller whose key ``secret`` is. Raises Unauthorized, never repeating the secret."""
        prefix = prefix_of(secret)
        if prefix is None:
            raise Unauthorized("this is no limner API key: one is lim_, 8 characters, _ and 43 characters")
        row = await self._row(prefix)
        kept = _NO_DIGEST if row is None else row.digest
        if not hmac.compare_digest(kept, digest_of(secret, self._pepper)) or row is None:
            if row is not None:
                logger.info("lim_%s_... was refused: mistyped, or made under another secret than this one's", prefix)
            raise Unauthorized(f"the API key lim_{prefix}_... is not known here")
        if row.revoked_at_s is not None:
            raise Unauthorized(f"the API key lim_{prefix}_... has been revoked")
        self._used.add(row.id)
        return Caller.of(row)

    async def create(self, new: NewKey) -> tuple[str, KeyRow]:
        """Make a key; its text is returned this once and kept nowhere."""
        prefix = new_prefix()
        while await self._store.key_by_prefix(prefix) is not None:
            prefix = new_prefix()
        secret = new_secret(prefix)
        row = new.row(prefix, digest_of(secret, self._pepper), self._clock())
        await self._store.add_key(row)
        self._forget(prefix)
        self._any_made = True
        return secret, row

    async def revoke(self, key_id: str) -> KeyRow:
        """End a key: here at once, in other processes within REFRESH_S. Raises NotFound."""
        row = await self._store.revoke_key(key_id, self._clock())
        self._forget(row.prefix)
        return row

    async def refresh(self) -> None:
        """See whether keys have been made elsewhere, and now and then write down which were used."""
        # A revoked key counts: revoking the last one must not open the server to whom it was taken from.
        if self.demand == "once made" and not self._any_made:
            self._any_made = await self._store.has_keys() or bool(await self._store.keys())
        if self._clock() >= self._touched_at_s + TOUCH_EVERY_S:
            await self.write_uses()

    async def write_uses(self) -> None:
        """Write down which keys were used since the last time, in one statement."""
        used, self._used = self._used, set()
        self._touched_at_s = self._clock()
        if used:
            await self._store.touch_keys(used, self._touched_at_s)

    def _forget(self, prefix: str) -> None:
        self._changes += 1
        self._hits.forget(prefix)
        self._misses.forget(prefix)

    async def _row(self, prefix: str) -> KeyRow | None:
        for memory in (self._hits, self._misses):
            if memory.knows(prefix):
                return memory.recall(prefix)
        while True:
            changes, asked_at_s = self._changes, self._clock()
            row = await self._store.key_by_prefix(prefix)
            if changes == self._changes:  # otherwise what was read may be older than a revocation
                (self._misses if row is None else self._hits).keep(prefix, row, asked_at_s)
                return row


class _Memory:
    """At most ``limit`` look-ups by prefix, the oldest of which makes room; each is good for REFRESH_S."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._kept: dict[str, tuple[float, KeyRow | None]] = {}

    def knows(self, prefix: str) -> bool:
        """Whether something fresh is kept; a clock that was set back makes it stale."""
        kept = self._kept.get(prefix)
        return kept is not None and 0 <= self._clock() - kept[0] < REFRESH_S

    def recall(self, prefix: str) -> KeyRow | None:
        """What is kept under a prefix that it knows."""
        return self._kept[prefix][1]

    def keep(self, prefix: str, row: KeyRow | None, asked_at_s: float) -> None:
        """Remember a look-up that was begun at ``asked_at_s``."""
        self._kept.pop(prefix, None)
        self._kept[prefix] = (asked_at_s, row)
        while len(self._kept) > self._limit:
            self._kept.pop(next(iter(self._kept)))

    def forget(self, prefix: str) -> None:
        """Look it up again next time."""
        self._kept.pop(prefix, None)
