import hashlib
import hmac
from pathlib import Path

import pytest

from limner.blobs import Blobs
from limner.blobs.links import LinkSigner
from limner.errors import Forbidden
from tests.blobs.conftest import NOON, Clock

GOOD = "img_0123456789abcdef_0"


def query_of(query: str) -> tuple[str, str]:
    expires, signature = query.split("&")
    return expires.removeprefix("expires="), signature.removeprefix("signature=")


def test_a_signed_link_opens_until_it_expires(blobs: Blobs, clock: Clock) -> None:
    expires, signature = query_of(blobs.sign(GOOD, NOON + 60.9))
    assert expires == str(int(NOON) + 60)
    blobs.verify(GOOD, expires, signature)
    clock.now_s += 60
    with pytest.raises(Forbidden, match="expired"):
        blobs.verify(GOOD, expires, signature)


@pytest.mark.parametrize(
    ("key", "expires", "signature"),
    [
        (GOOD.replace("a", "b"), None, None),
        (GOOD + "\n", None, None),
        (GOOD, "99999999999", None),
        (GOOD, "", None),
        (GOOD, "-1", None),
        (GOOD, "soon", None),
        (GOOD, f"+{int(NOON) + 60}", None),
        (GOOD, f"{int(NOON) + 60}.0", None),
        (GOOD, None, ""),
        (GOOD, None, "0" * 64),
        (GOOD, None, "\u00e4" * 64),
        (GOOD, None, "\udc80"),
    ],
)
def test_a_changed_link_is_forbidden(blobs: Blobs, key: str, expires: str | None, signature: str | None) -> None:
    good_expires, good_signature = query_of(blobs.sign(GOOD, NOON + 60))
    with pytest.raises(Forbidden, match="signature"):
        blobs.verify(
            key,
            good_expires if expires is None else expires,
            good_signature if signature is None else signature,
        )


def test_links_outlive_the_process_and_no_other_server_signs_them(tmp_path: Path, clock: Clock) -> None:
    query = query_of(Blobs(tmp_path / "a", clock=clock).sign(GOOD, NOON + 60))
    Blobs(tmp_path / "a", clock=clock).verify(GOOD, *query)
    with pytest.raises(Forbidden):
        Blobs(tmp_path / "b", clock=clock).verify(GOOD, *query)


def test_a_signature_is_hmac_sha256_over_key_and_expiry() -> None:
    expected = hmac.new(bytes(32), b"k\n7", hashlib.sha256).hexdigest()
    assert LinkSigner(bytes(32)).sign("k", 7) == f"expires=7&signature={expected}"
