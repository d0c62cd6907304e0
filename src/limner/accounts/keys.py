"""API keys: how one looks, how it is made, and how an operator names one.

Owns the text and its digest. A key is ``lim_<prefix>_<secret>``: the prefix (8 of a-z0-9) is shown and looked up, the
secret is 256 random bits in 43 characters. Only an HMAC-SHA256 of the whole under the server's pepper is kept: with 256
bits there is nothing to guess, so a slow hash would only cost time.
"""

import hashlib
import hmac
import re
import secrets
import string
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from limner.accounts.caller import SCOPES
from limner.errors import Conflict, InvalidRequest, NotFound
from limner.store.rows import KeyRow

KEY = re.compile(r"lim_([a-z0-9]{8})_[A-Za-z0-9_-]{43}", re.ASCII)
PREFIX_LETTERS = string.ascii_lowercase + string.digits
MAX_NAME_CHARS = 100
MAX_PRIORITY = 100
MAX_COUNT = 1_000_000
MAX_MICRO = 10**15  # a thousand million credits; sums stay far inside 64 bits


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key about to be made; raises InvalidRequest naming a value that is not allowed.

    ``models`` are names or globs (empty: all). ``credits_micro`` None means that nothing is metered.
    """

    name: str
    scopes: frozenset[str] = frozenset(("generate", "read"))
    models: tuple[str, ...] = ()
    local_only: bool = False
    jobs_per_minute: int | None = None
    concurrency: int | None = None
    credits_micro: int | None = None
    priority: int = 0

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= MAX_NAME_CHARS or self.name != self.name.strip() or not self.name.isprintable():
            raise InvalidRequest(
                f"name {self.name!r} is not allowed: 1 to {MAX_NAME_CHARS} printable characters, no space at the ends",
                param="name",
            )
        wrong = ", ".join(map(repr, sorted(self.scopes - frozenset(SCOPES)))) or "none at all"
        if not self.scopes or not self.scopes <= frozenset(SCOPES):
            raise InvalidRequest(f"scopes: {wrong}; allowed is one or more of {', '.join(SCOPES)}", param="scopes")
        for name in self.models:
            if not name or name != name.strip() or not name.isprintable():
                raise InvalidRequest(
                    f"{name!r} is no model's name or pattern, such as 'sketch' or 'Qwen/*'", param="models"
                )
        _check_range("jobs_per_minute", self.jobs_per_minute, 1, MAX_COUNT)
        _check_range("concurrency", self.concurrency, 1, MAX_COUNT)
        _check_range("credits_micro", self.credits_micro, 0, MAX_MICRO)
        _check_range("priority", self.priority, -MAX_PRIORITY, MAX_PRIORITY)

    def row(self, prefix: str, digest: bytes, now_s: float) -> KeyRow:
        """The key as it is stored, made at ``now_s`` (unix seconds)."""
        return KeyRow(
            id=f"key_{uuid.uuid4().hex}",
            name=self.name,
            prefix=prefix,
            digest=digest,
            scopes=self.scopes,
            models=self.models,
            local_only=self.local_only,
            priority=self.priority,
            jobs_per_minute=self.jobs_per_minute,
            concurrency=self.concurrency,
            balance_micro=self.credits_micro,
            reserved_micro=0,
            created_at_s=now_s,
            revoked_at_s=None,
            last_used_at_s=None,
        )


def _check_range(param: str, value: int | None, lowest: int, highest: int) -> None:
    if value is not None and not lowest <= value <= highest:
        raise InvalidRequest(f"{param} {value} is not allowed; it is from {lowest} to {highest}", param=param)


def new_prefix() -> str:
    """A prefix that is new with a chance of all but one in 10^12; the store has the last word."""
    return "".join(secrets.choice(PREFIX_LETTERS) for _ in range(8))


def new_secret(prefix: str) -> str:
    """The whole text of a new key."""
    return f"lim_{prefix}_{secrets.token_urlsafe(32)}"


def prefix_of(text: str) -> str | None:
    """The prefix of a text that has a key's shape, None for any other text."""
    found = KEY.fullmatch(text)
    return found[1] if found else None


def digest_of(text: str, pepper: bytes) -> bytes:
    """What is kept of a key: 32 bytes."""
    return hmac.new(pepper, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def find_key(rows: Iterable[KeyRow], text: str) -> KeyRow:
    """The key that an operator means by its id, its prefix (with or without ``lim_``), the key itself or its name.

    Of keys of one name those that are not revoked are meant. Raises NotFound, and Conflict where several are meant.
    """
    rows = tuple(rows)
    prefix = prefix_of(text) or text.removeprefix("lim_")
    for row in rows:
        if row.id == text or row.prefix == prefix:
            return row
    named = [row for row in rows if row.name == text]
    meant = [row for row in named if row.revoked_at_s is None] or named
    if not meant:
        shown = f"lim_{prefix}" if prefix_of(text) else text
        raise NotFound(f"no such key: {shown!r}; name it by its id, its prefix or its name", param="key")
    if len(meant) > 1:
        ids = ", ".join(row.id for row in meant)
        raise Conflict(f"{len(meant)} keys are named {text!r}: use one of their ids, {ids}", param="key")
    return meant[0]
