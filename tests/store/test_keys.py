"""API keys, what they were granted and what they used."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from limner.errors import Conflict, NotFound
from limner.store import LedgerRow, Store, UsageRow
from tests.store.samples import MODEL, NOW_S, completion, new_image, new_job, new_key, run


async def test_a_key_is_kept_as_it_was_given(store: Store) -> None:
    plain = new_key("key_b", created_at_s=NOW_S + 1)
    limited = new_key(
        "key_a",
        scopes=frozenset(),
        models=(),
        local_only=True,
        priority=-3,
        jobs_per_minute=60,
        concurrency=4,
        balance_micro=2**60,
    )
    assert not await store.has_keys()
    await store.add_key(plain)
    await store.add_key(limited)
    assert await store.keys() == (limited, plain)
    assert await store.key_by_prefix("prefix-key_b") == plain
    assert await store.key_by_prefix("prefix") is None
    assert await store.has_keys()


async def test_an_id_and_a_prefix_are_taken_once(store: Store) -> None:
    await store.add_key(new_key("key_a"))
    with pytest.raises(Conflict):
        await store.add_key(new_key("key_a", prefix="other"))
    with pytest.raises(Conflict):
        await store.add_key(new_key("key_b", prefix="prefix-key_a"))
    assert len(await store.keys()) == 1


async def test_revoking_is_remembered_with_its_first_time(store: Store) -> None:
    key = new_key("key_a")
    await store.add_key(key)
    assert await store.revoke_key("key_a", NOW_S + 1) == replace(key, revoked_at_s=NOW_S + 1)
    assert (await store.revoke_key("key_a", NOW_S + 2)).revoked_at_s == NOW_S + 1
    assert await store.key_by_prefix(key.prefix) == replace(key, revoked_at_s=NOW_S + 1)
    assert not await store.has_keys()
    with pytest.raises(NotFound, match="key_9"):
        await store.revoke_key("key_9", NOW_S)


async def test_use_is_noted(store: Store) -> None:
    for id in ("key_a", "key_b", "key_c"):
        await store.add_key(new_key(id))
    await store.touch_keys({"key_a", "key_c", "key_gone"}, NOW_S + 7)
    await store.touch_keys((), NOW_S)
    assert [key.last_used_at_s for key in await store.keys()] == [NOW_S + 7, None, NOW_S + 7]


async def test_grants_move_the_balance_with_a_ledger_row(store: Store) -> None:
    await store.add_key(new_key("key_a", balance_micro=10))
    assert (await store.grant("key_a", 90, "paid", NOW_S + 1)).balance_micro == 100
    assert (await store.grant("key_a", -30, "taken back", NOW_S + 2)).balance_micro == 70
    assert await store.ledger("key_a", 2) == (
        LedgerRow("key_a", None, None, 0, 0.0, -30, NOW_S + 2, "taken back"),
        LedgerRow("key_a", None, None, 0, 0.0, 90, NOW_S + 1, "paid"),
    )
    assert [entry.amount_micro for entry in await store.ledger("key_a", 9)] == [-30, 90, 10]
    with pytest.raises(NotFound, match="key_9"):
        await store.grant("key_9", 1, "", NOW_S)


async def test_a_grant_makes_a_key_metered(store: Store) -> None:
    await store.add_key(new_key("key_a"))
    assert await store.ledger("key_a", 9) == ()
    assert (await store.grant("key_a", 5, "", NOW_S)).balance_micro == 5


async def test_usage_sums_finished_jobs_by_key_and_model(store: Store) -> None:
    await store.add_key(new_key("key_a", balance_micro=10**9))
    for i, (owner, model) in enumerate((("key_a", MODEL), ("key_a", MODEL), ("key_a", "other"), ("", MODEL))):
        done = completion(*(new_image(f"job_{i}", n) for n in range(2)), ended_at_s=NOW_S + i)
        await run(store, new_job(f"job_{i}", owner=owner, model=model), done)
    everything = await store.usage(key_id=None, since_s=0, until_s=NOW_S + 99)
    assert everything == (
        UsageRow("", MODEL, 1, 2, 1.5, 1_500_000),
        UsageRow("key_a", "other", 1, 2, 1.5, 1_500_000),
        UsageRow("key_a", MODEL, 2, 4, 3.0, 3_000_000),
    )
    assert await store.usage(key_id="key_a", since_s=NOW_S + 1, until_s=NOW_S + 2) == (
        UsageRow("key_a", MODEL, 1, 2, 1.5, 1_500_000),
    )
    assert await store.usage(key_id="key_b", since_s=0, until_s=NOW_S + 99) == ()


async def test_a_revoked_key_is_given_nothing(store: Store) -> None:
    await store.add_key(new_key("key_a", balance_micro=10))
    await store.revoke_key("key_a", NOW_S)
    with pytest.raises(Conflict, match="'the key key_a' is revoked"):
        await store.grant("key_a", 5, "", NOW_S)
    assert [key.balance_micro for key in await store.keys()] == [10]
    assert len(await store.ledger("key_a", 9)) == 1


async def test_a_key_whose_rights_cannot_be_read_has_none(store: Store) -> None:
    await store.add_key(new_key("key_a"))
    await store._write(lambda c: c.execute(text("UPDATE keys SET scopes = '{', models = '{'")) and None)
    (key,) = await store.keys()
    assert (key.scopes, key.models) == (frozenset(), ("",))
