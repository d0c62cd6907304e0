"""Signed, expiring links to stored files.

Owns the secret and the signature; knows neither the files nor HTTP. A link's query is ``expires=<unix seconds>&
signature=<HMAC-SHA256>`` over key and expiry, so a link can neither be guessed nor prolonged.
"""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from limner.errors import Forbidden

SECRET_BYTES = 32


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


def load_secret(path: Path) -> bytes:
    """The secret in ``path``, created with mode 0600 on first use; processes that race all get the same one.

    Raises ValueError where the file holds something else.
    """
    if not path.exists():
        _create_secret(path)
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"{path} does not hold {SECRET_BYTES} bytes: remove it to have a new link secret made")
    return secret


def _create_secret(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link appears whole and never replaces: the first process wins and the others read its secret.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
