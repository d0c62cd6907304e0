"""A key's rate, concurrency and credits, as the store holds callers to them when many ask at once."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from limner.accounts import Caller, Keyring, NewKey
from limner.errors import InsufficientCredits, LimnerError, RateLimited
from limner.store import Accepted, Completion, NewJob, Store, open_store
from tests.accounts.conftest import PEPPER, Clock


@pytest.fixture(params=["memory", "file"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(
        "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'limner.db'}"
    ) as opened:
        yield opened


async def caller_with(keyring: Keyring, **limits: int | None) -> Caller:
    secret, _ = await keyring.create(NewKey("alice", **limits))  # type: ignore[arg-type]
    return await keyring.authenticate(secret)


async def ask(store: Store, caller: Caller, now_s: float, reserve_micro: int = 0) -> Accepted:
    job = NewJob(
        id=f"job_{uuid.uuid4().hex}",
        owner=caller.key_id,
        operation="generate",
        model="sketch",
        request={},
        warnings=(),
        created_at_s=now_s,
        deadline_at_s=now_s + 100,
        weight_s=1.0,
        reserve_micro=reserve_micro,
        quota=caller.quota,
    )
    return await store.enqueue(job, worker="w", lease_until_s=now_s + 30, queue_limit=1000)


async def ask_often(
    store: Store, caller: Caller, now_s: float, times: int, reserve_micro: int = 0
) -> list[LimnerError]:
    """What was said to those of ``times`` requests that were refused, all sent at once."""
    asked = (ask(store, caller, now_s, reserve_micro) for _ in range(times))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(answer, Accepted | LimnerError) for answer in answers)
    return [answer for answer in answers if isinstance(answer, LimnerError)]


async def finish(store: Store, id: str, cost_micro: int, now_s: float) -> None:
    assert await store.finish(id, 1, Completion({}, (), cost_micro, 1.5, now_s))


async def test_the_rate_holds_when_all_come_at_once_and_frees_after_a_minute(
    store: Store, keyring: Keyring, clock: Clock
) -> None:
    caller = await caller_with(keyring, jobs_per_minute=5)
    refused = await ask_often(store, caller, clock.now_s, 20)
    assert len(refused) == 15
    assert {type(error) for error in refused} == {RateLimited}
    assert {error.retry_after_s for error in refused} == {60.0}
    assert len(await ask_often(store, caller, clock.now_s + 59, 3)) == 3
    assert await ask_often(store, caller, clock.now_s + 60, 5) == []


async def test_as_many_as_are_allowed_are_alive_at_once(store: Store, keyring: Keyring, clock: Clock) -> None:
    caller = await caller_with(keyring, concurrency=3)
    first = await ask(store, caller, clock.now_s)
    assert len(await ask_often(store, caller, clock.now_s, 10)) == 8
    await finish(store, first.job.id, 0, clock.now_s)
    assert len(await ask_often(store, caller, clock.now_s, 10)) == 9


async def test_credits_are_never_promised_twice(store: Store, keyring: Keyring, clock: Clock) -> None:
    caller = await caller_with(keyring, credits_micro=10)
    assert caller.metered
    first = await ask(store, caller, clock.now_s, reserve_micro=4)
    refused = await ask_often(store, caller, clock.now_s, 10, reserve_micro=3)
    assert len(refused) == 8  # 4 + 3 + 3 are reserved
    assert {type(error) for error in refused} == {InsufficientCredits}
    await finish(store, first.job.id, 1, clock.now_s)
    assert len(await ask_often(store, caller, clock.now_s, 10, reserve_micro=3)) == 9
    (row,) = await store.keys()
    assert (row.balance_micro, row.reserved_micro) == (9, 9)


async def test_one_keys_limits_are_not_anothers(store: Store, keyring: Keyring, clock: Clock) -> None:
    bound = await caller_with(keyring, jobs_per_minute=1, concurrency=1, credits_micro=0)
    free = await caller_with(keyring)
    assert len(await ask_often(store, bound, clock.now_s, 5)) == 4
    assert await ask_often(store, free, clock.now_s, 20, reserve_micro=1_000_000) == []


async def test_two_processes_share_one_keys_limits(tmp_path: Path, clock: Clock) -> None:
    url = f"sqlite:///{tmp_path / 'limner.db'}"
    async with open_store(url) as here, open_store(url) as there:
        secret, _ = await Keyring(here, PEPPER, clock).create(NewKey("alice", jobs_per_minute=6))
        caller = await Keyring(there, PEPPER, clock).authenticate(secret)
        both = await asyncio.gather(*(ask_often(store, caller, clock.now_s, 10) for store in (here, there)))
        assert sum(map(len, both)) == 14
