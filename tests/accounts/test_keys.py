"""How keys look, what is taken for one, and how an operator names one."""

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.accounts import NewKey
from limner.accounts.keys import KEY, digest_of, find_key, new_prefix, new_secret, prefix_of
from limner.errors import Conflict, InvalidRequest, NotFound
from limner.store.rows import KeyRow


def row(name: str, prefix: str = "abcdefgh", revoked_at_s: float | None = None) -> KeyRow:
    made = NewKey(name).row(prefix, b"digest", 1.0)
    return made if revoked_at_s is None else KeyRow(**{**_fields(made), "revoked_at_s": revoked_at_s})


def _fields(made: KeyRow) -> dict[str, Any]:
    return {name: getattr(made, name) for name in KeyRow.__slots__}


def test_a_key_is_a_prefix_and_256_bits() -> None:
    prefix = new_prefix()
    secret = new_secret(prefix)
    assert KEY.fullmatch(secret)
    assert prefix_of(secret) == prefix
    assert len(secret) == len("lim_") + 8 + 1 + 43
    assert len({new_secret(prefix) for _ in range(100)}) == 100


@given(st.text())
def test_any_text_has_a_digest_and_hardly_any_is_a_key(text: str) -> None:
    assert len(digest_of(text, bytes(32))) == 32
    assert prefix_of(text) is None


@given(st.from_regex(KEY, fullmatch=True), st.integers(0, 55), st.characters())
def test_what_has_the_shape_has_a_prefix_whatever_else_is_wrong(secret: str, place: int, character: str) -> None:
    assert prefix_of(secret) == secret[4:12]
    changed = secret[:place] + character + secret[place + 1 :]
    assert digest_of(changed, bytes(32)) != digest_of(secret, bytes(32)) or changed == secret
    assert prefix_of(secret + character) is None


def test_the_digest_is_hmac_sha256_under_the_pepper() -> None:
    assert digest_of("lim_x", b"pepper") == hmac.new(b"pepper", b"lim_x", hashlib.sha256).digest()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "name ''"),
        ({"name": " alice"}, "name ' alice'"),
        ({"name": "a\nb"}, r"name 'a\\nb'"),
        ({"name": "\udcff"}, r"name '\\udcff'"),
        ({"name": "x" * 101}, "1 to 100"),
        ({"scopes": frozenset()}, "scopes: none at all; .*generate, read, admin"),
        ({"scopes": frozenset(("read", "write"))}, "scopes: 'write'; .*generate, read, admin"),
        ({"models": ("sketch", "")}, "'' is no model's name"),
        ({"jobs_per_minute": 0}, "jobs_per_minute 0 .*from 1"),
        ({"concurrency": 0}, "concurrency 0 .*from 1"),
        ({"credits_micro": -1}, "credits_micro -1 .*from 0"),
        ({"priority": 101}, "priority 101 .*from -100 to 100"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused_by_its_field(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        NewKey(**{"name": "alice", **fields})
    assert caught.value.param in fields


@pytest.mark.parametrize("text", ["bob", "lim_bbbbbbbb", "bbbbbbbb", f"lim_bbbbbbbb_{'x' * 43}", "ID"])
def test_a_key_is_found_by_id_prefix_text_or_name(text: str) -> None:
    alice, bob = row("alice", "aaaaaaaa"), row("bob", "bbbbbbbb")
    assert find_key([alice, bob], bob.id if text == "ID" else text) is bob


def test_of_one_name_the_key_that_still_works_is_meant() -> None:
    old, new = row("alice", "aaaaaaaa", revoked_at_s=5.0), row("alice", "bbbbbbbb")
    assert find_key([old, new], "alice") is new
    assert find_key([old], "alice") is old
    third = row("alice", "cccccccc")
    with pytest.raises(Conflict, match=f"2 keys are named 'alice'.*{new.id}, {third.id}"):
        find_key([old, new, third], "alice")


def test_a_key_that_is_not_there_is_named_but_not_its_secret() -> None:
    with pytest.raises(NotFound, match="'carol'"):
        find_key([], "carol")
    with pytest.raises(NotFound, match="'lim_bbbbbbbb'") as caught:
        find_key([], f"lim_bbbbbbbb_{'x' * 43}")
    assert "xxx" not in caught.value.message
