"""Secrets that the server makes for itself and keeps in files of its data directory, or derives from the operator's."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from limner.errors import InvalidRequest

SECRET_BYTES = 32


def secret_for(path: Path, shared: str) -> bytes:
    """The secret that ``path`` is for: derived from the ``shared`` one (hex) that several servers were given, for which
    no file is touched; without it the file's own, as `load_secret`."""
    if not shared:
        return load_secret(path)
    return hmac.new(bytes.fromhex(shared), path.name.encode(), hashlib.sha256).digest()


def load_secret(path: Path) -> bytes:
    """The secret in ``path``, created with mode 0600 on first use; processes that race all get the same one.

    Raises InvalidRequest where the file holds something else.
    """
    if not path.exists():
        _create_secret(path)
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise InvalidRequest(
            f"{path} does not hold {SECRET_BYTES} bytes: restore it, or remove it to have a new secret made; "
            "what the old one vouched for is then void",
            param="secret",
        )
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
