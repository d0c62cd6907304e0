"""Signatures after the Standard Webhooks scheme (standardwebhooks.com), which receivers verify with its libraries.

Owns the text form of secrets and the three headers.
"""

import base64
import binascii
import hashlib
import hmac

SECRET_PREFIX = "whsec_"  # noqa: S105
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64  # the scheme's own bounds


def secret_text(secret: bytes) -> str:
    """A secret as receivers configure it: ``whsec_`` and base64."""
    return SECRET_PREFIX + base64.b64encode(secret).decode("ascii")


def parse_secret(text: str) -> bytes:
    """The bytes of a secret's text form; raises ValueError, which says what is allowed and never shows the secret."""
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not text.startswith(SECRET_PREFIX) or not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise ValueError(
            f"a webhook secret is {SECRET_PREFIX!r} and the base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes"
        )
    return secret


def signed_headers(secret: bytes, message_id: str, sent_at: int, body: bytes) -> dict[str, str]:
    """The headers that vouch for ``body``: its id, the unix second it was sent at, and HMAC-SHA256 over all three."""
    assert "." not in message_id, "the signature separates its parts by points"
    signed = b"%s.%d.%s" % (message_id.encode("ascii"), sent_at, body)
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode('ascii')}",
    }
