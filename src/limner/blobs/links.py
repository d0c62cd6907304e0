"""Signed, expiring links to stored files.

Owns the secret and the signature; knows neither the files nor HTTP. A link's query is ``expires=<unix seconds>&
signature=<HMAC-SHA256>`` over key and expiry, so a link can neither be guessed nor prolonged.
"""

import hashlib
import hmac
import time
from collections.abc import Callable

from limner.errors import Forbidden
from limner.secrets_file import SECRET_BYTES


class LinkSigner:
    """Signs and verifies with one secret of SECRET_BYTES bytes; ``clock`` gives unix seconds."""

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        assert len(secret) == SECRET_BYTES, "not a link secret"
        self._secret = secret
        self._clock = clock

    def sign(self, key: str, expires_at: int) -> str:
        """The query string that opens ``key`` until ``expires_at`` (unix seconds)."""
        return f"expires={expires_at}&signature={self._signature(key, str(expires_at))}"

    def verify(self, key: str, expires: str, signature: str) -> None:
        """Return for a link that is genuine and still good; raises Forbidden, wrong before expired, otherwise."""
        expected = self._signature(key, expires)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            raise Forbidden("This link's signature is wrong: use the link exactly as it was given.", param="signature")
        if int(expires) <= self._clock():  # signed, so it is a number we wrote
            raise Forbidden("This link has expired: ask for the job's result again.", param="expires")

    def _signature(self, key: str, expires: str) -> str:
        message = f"{key}\n{expires}".encode("utf-8", "replace")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()
