"""Recognising keys: right and wrong ones, what is remembered, and how fast a revocation counts."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace

import pytest

from limner.accounts import Caller, Keyring, NewKey
from limner.accounts import keyring as module
from limner.accounts.keyring import REFRESH_S, TOUCH_EVERY_S
from limner.errors import NotFound, Unauthorized
from limner.store import KeyRow, Quota, Store
from tests.accounts.conftest import PEPPER, Clock
from tests.fakes import until


@dataclass
class CountingStore:
    """The store, counting what it is asked; ``pause`` holds a look-up back after it has read."""

    store: Store
    looked_up: int = 0
    written: int = 0
    pause: asyncio.Event | None = None

    async def key_by_prefix(self, prefix: str) -> KeyRow | None:
        self.looked_up += 1
        found = await self.store.key_by_prefix(prefix)
        if self.pause is not None and self.looked_up == 1:
            await self.pause.wait()
        return found

    async def touch_keys(self, ids: Collection[str], now_s: float) -> None:
        self.written += 1
        await self.store.touch_keys(ids, now_s)

    async def revoke_key(self, id: str, now_s: float) -> KeyRow:
        return await self.store.revoke_key(id, now_s)


@pytest.fixture
def counting(store: Store) -> CountingStore:
    return CountingStore(store)


@pytest.fixture
def other(counting: CountingStore, clock: Clock) -> Keyring:
    """The keyring of another process on the same database."""
    return Keyring(counting, PEPPER, clock)  # type: ignore[arg-type]


WHOLE = NewKey(
    "alice",
    scopes=frozenset(("read", "admin")),
    models=("sketch", "Qwen/*"),
    local_only=True,
    jobs_per_minute=7,
    concurrency=2,
    credits_micro=5,
    priority=-3,
)


async def test_a_key_is_its_caller_in_every_process(keyring: Keyring, other: Keyring, clock: Clock) -> None:
    secret, row = await keyring.create(WHOLE)
    for ring in (keyring, other):
        assert await ring.authenticate(secret) == Caller(
            key_id=row.id,
            name="alice",
            scopes=frozenset(("read", "admin")),
            models=("sketch", "Qwen/*"),
            local_only=True,
            priority=-3,
            quota=Quota(7, 2),
            metered=True,
        )
    assert row.created_at_s == clock.now_s
    assert secret.encode() not in row.digest
    assert secret not in repr(row)


async def test_a_key_without_limits_has_none(keyring: Keyring) -> None:
    secret, row = await keyring.create(NewKey("bob"))
    assert await keyring.authenticate(secret) == Caller(row.id, "bob", frozenset(("generate", "read")))


@pytest.mark.parametrize("wrong", ["unused", "lim_x", "sk-1234", "lim_ABCDEFGH_" + "x" * 43, "\udcff\x00"])
async def test_what_is_no_key_is_refused_without_a_query(other: Keyring, counting: CountingStore, wrong: str) -> None:
    with pytest.raises(Unauthorized, match="no limner API key") as caught:
        await other.authenticate(wrong)
    assert wrong not in caught.value.message
    assert counting.looked_up == 0


async def test_a_key_with_one_wrong_character_is_refused(keyring: Keyring) -> None:
    secret, _ = await keyring.create(NewKey("alice"))
    for place in range(len("lim_"), len(secret)):
        changed = secret[:place] + ("a" if secret[place] != "a" else "b") + secret[place + 1 :]
        with pytest.raises(Unauthorized) as caught:
            await keyring.authenticate(changed)
        assert secret[13:] not in caught.value.message
    assert (await keyring.authenticate(secret)).name == "alice"


async def test_under_another_pepper_no_key_fits(
    store: Store, keyring: Keyring, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    secret, row = await keyring.create(NewKey("alice"))
    caplog.set_level("INFO")
    with pytest.raises(Unauthorized, match=f"lim_{row.prefix}_... is not known"):
        await Keyring(store, bytes(32), clock).authenticate(secret)
    assert "secret" in caplog.text
    assert secret not in caplog.text


async def test_right_and_wrong_keys_are_looked_up_once_in_a_while(
    keyring: Keyring, other: Keyring, counting: CountingStore, clock: Clock
) -> None:
    secret, _ = await keyring.create(NewKey("alice"))
    unknown = f"lim_zzzzzzzz_{'x' * 43}"
    for _ in range(5):
        await other.authenticate(secret)
        with pytest.raises(Unauthorized):
            await other.authenticate(unknown)
    assert counting.looked_up == 2
    clock.now_s += REFRESH_S
    await other.authenticate(secret)
    assert counting.looked_up == 3


async def test_a_revocation_counts_here_at_once_and_elsewhere_within_seconds(
    keyring: Keyring, other: Keyring, clock: Clock
) -> None:
    secret, row = await keyring.create(NewKey("alice"))
    for ring in (keyring, other):
        await ring.authenticate(secret)
    revoked = await keyring.revoke(row.id)
    assert revoked.revoked_at_s == clock.now_s
    with pytest.raises(Unauthorized, match="has been revoked"):
        await keyring.authenticate(secret)
    await other.authenticate(secret)
    clock.now_s += REFRESH_S
    with pytest.raises(Unauthorized, match="has been revoked"):
        await other.authenticate(secret)
    with pytest.raises(NotFound):
        await keyring.revoke("key_unknown")


async def test_a_clock_set_back_prolongs_no_revoked_key(keyring: Keyring, other: Keyring, clock: Clock) -> None:
    secret, row = await keyring.create(NewKey("alice"))
    await other.authenticate(secret)
    await keyring.revoke(row.id)
    clock.now_s -= 3600
    with pytest.raises(Unauthorized):
        await other.authenticate(secret)


async def test_a_look_up_that_a_revocation_overtakes_is_not_remembered(
    keyring: Keyring, other: Keyring, counting: CountingStore
) -> None:
    secret, row = await keyring.create(NewKey("alice"))
    counting.pause = asyncio.Event()
    slow = asyncio.create_task(other.authenticate(secret))
    await until(lambda: counting.looked_up)
    await other.revoke(row.id)
    counting.pause.set()
    with pytest.raises(Unauthorized, match="revoked"):
        await slow
    with pytest.raises(Unauthorized, match="revoked"):
        await other.authenticate(secret)


async def test_a_new_key_works_though_its_prefix_was_asked_for_before(
    store: Store, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "new_prefix", lambda: "abcdefgh")
    with pytest.raises(Unauthorized):
        await keyring.authenticate(f"lim_abcdefgh_{'x' * 43}")
    secret, _ = await keyring.create(NewKey("alice"))
    assert (await keyring.authenticate(secret)).name == "alice"


async def test_a_prefix_that_is_taken_is_not_given_again(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    prefixes = iter(["aaaaaaaa", "aaaaaaaa", "bbbbbbbb"])
    monkeypatch.setattr(module, "new_prefix", lambda: next(prefixes))
    made = [await keyring.create(NewKey(name)) for name in ("alice", "bob")]
    assert [row.prefix for _, row in made] == ["aaaaaaaa", "bbbbbbbb"]


async def test_a_flood_of_wrong_keys_is_forgotten_and_drives_out_no_right_one(
    keyring: Keyring, other: Keyring, counting: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, _ = await keyring.create(NewKey("alice"))
    await other.authenticate(secret)
    other._misses._limit = 10
    for number in range(50):
        with pytest.raises(Unauthorized):
            await other.authenticate(f"lim_{number:08}_{'x' * 43}")
    assert len(other._misses._kept) == 10
    before = counting.looked_up
    await other.authenticate(secret)
    assert counting.looked_up == before


async def test_uses_are_written_down_in_batches(
    store: Store, keyring: Keyring, other: Keyring, counting: CountingStore, clock: Clock
) -> None:
    made = [await keyring.create(NewKey(name)) for name in ("alice", "bob", "carol")]
    for _ in range(20):
        for secret, _ in made[:2]:
            await other.authenticate(secret)
        await other.refresh()
    assert counting.written == 0
    clock.now_s += TOUCH_EVERY_S
    await other.refresh()
    await other.refresh()
    assert counting.written == 1
    used = {row.name: row.last_used_at_s for row in await store.keys()}
    assert used == {"alice": clock.now_s, "bob": clock.now_s, "carol": None}
    await other.write_uses()
    assert counting.written == 1  # nothing was used since


async def test_a_granted_key_becomes_metered_within_seconds(store: Store, keyring: Keyring, clock: Clock) -> None:
    secret, row = await keyring.create(NewKey("alice"))
    assert not (await keyring.authenticate(secret)).metered
    await store.grant(row.id, 5, "granted", clock.now_s)
    clock.now_s += REFRESH_S
    assert await keyring.authenticate(secret) == replace(Caller.of(row), metered=True)
