"""Stretches of time and what was used in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.accounts import Keyring, NewKey
from limner.accounts.usage import Period, usage_report
from limner.errors import InvalidRequest
from limner.store import Completion, NewJob, Store
from tests.accounts.conftest import Clock

NOW = 1_790_000_000.0
DAY = 86_400.0


@pytest.mark.parametrize(
    ("text", "moment_s"),
    [
        ("1767225600", 1_767_225_600),
        ("1767225600.5", 1_767_225_600.5),
        ("2026-01-01", 1_767_225_600),
        ("2026-01-01T00:00", 1_767_225_600),
        ("2026-01-01T00:00:00Z", 1_767_225_600),
        ("2026-01-01 01:00:00+01:00", 1_767_225_600),
        ("0", 0),
    ],
)
def test_moments_are_seconds_or_iso(text: str, moment_s: float) -> None:
    assert Period.parse(text, None, NOW) == Period(moment_s, NOW)
    assert Period.parse("0", text, NOW) == Period(0, moment_s)


def test_by_default_it_is_the_last_thirty_days() -> None:
    assert Period.parse(None, None, NOW) == Period(NOW - 30 * DAY, NOW)
    assert Period.parse(None, "2026-01-31", NOW).since_s == 1_767_225_600


@pytest.mark.parametrize("wrong", ["yesterday", "", "-1", "nan", "inf", "1e300", "2026-13-01", "0001-01-01", "\x00"])
@pytest.mark.parametrize("param", ["since", "until"])
def test_what_is_no_time_is_named(param: str, wrong: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Period.parse(wrong if param == "since" else None, wrong if param == "until" else None, NOW)
    assert caught.value.param == param
    assert f"{param} {wrong!r} is no time" in caught.value.message


def test_what_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="since '2026-01-02' is after until '2026-01-01'"):
        Period.parse("2026-01-02", "2026-01-01", NOW)
    with pytest.raises(InvalidRequest, match="since '2999-01-01' is in the future"):
        Period.parse("2999-01-01", None, NOW)


@given(st.none() | st.text(), st.none() | st.text())
def test_any_text_is_a_period_or_invalid(since: str | None, until: str | None) -> None:
    try:
        period = Period.parse(since, until, NOW)
    except InvalidRequest:
        return
    assert period.since_s <= period.until_s


async def draw(store: Store, owner: str, model: str, cost_micro: int, device_s: float, ended_at_s: float) -> None:
    id = f"job_{owner}_{model}_{ended_at_s}"
    job = NewJob(id, owner, "generate", model, {}, (), ended_at_s, ended_at_s + 100, 1.0, reserve_micro=cost_micro)
    await store.enqueue(job, worker="w", lease_until_s=ended_at_s + 30, queue_limit=100)
    assert await store.finish(id, 1, Completion({}, (), cost_micro, device_s, ended_at_s))


async def test_usage_is_summed_per_key_and_model(store: Store, keyring: Keyring, clock: Clock) -> None:
    _, bob = await keyring.create(NewKey("bob", credits_micro=10_000_000))
    _, alice = await keyring.create(NewKey("alice"))
    await draw(store, bob.id, "sketch", 250_000, 0.1, NOW - 1)
    await draw(store, bob.id, "sketch", 500_000, 0.2, NOW - 2)
    await draw(store, bob.id, "flux", 1, 3.0, NOW - 3)
    await draw(store, bob.id, "flux", 7, 7.0, NOW)  # the period's end is outside
    await draw(store, alice.id, "sketch", 0, 1.0, NOW - 4)
    await draw(store, "", "sketch", 0, 2.0, NOW - 5)
    period = Period(NOW - 5, NOW)
    everybody = await usage_report(store, period, None)
    seen = [(entry["key_name"], entry["model"], entry["jobs"], entry["credits"]) for entry in everybody["data"]]
    assert seen == [
        (None, "sketch", 1, 0.0),
        ("alice", "sketch", 1, 0.0),
        ("bob", "flux", 1, 1e-06),
        ("bob", "sketch", 2, 0.75),
    ]
    assert everybody["total"] == {"jobs": 5, "images": 0, "device_s": 6.3, "credits": 0.750001}
    assert everybody["balance"] is None
    own = await usage_report(store, period, bob.id)
    of_bob = {"key_id": bob.id, "key_name": "bob"}
    assert own == {
        "object": "list",
        "since": NOW - 5,
        "until": NOW,
        "data": [
            {**of_bob, "model": "flux", "jobs": 1, "images": 0, "device_s": 3.0, "credits": 1e-06},
            {**of_bob, "model": "sketch", "jobs": 2, "images": 0, "device_s": 0.3, "credits": 0.75},
        ],
        "total": {"jobs": 3, "images": 0, "device_s": 3.3, "credits": 0.750001},
        "balance": {"credits": 9.249992, "reserved": 0.0},
    }
    assert (await usage_report(store, period, alice.id))["balance"] is None
    assert (await usage_report(store, period, ""))["total"]["jobs"] == 1


async def test_what_is_reserved_is_told(store: Store, keyring: Keyring, clock: Clock) -> None:
    _, row = await keyring.create(NewKey("bob", credits_micro=2_000_000))
    job = NewJob("job_1", row.id, "generate", "sketch", {}, (), NOW, NOW + 100, 1.0, reserve_micro=500_000)
    await store.enqueue(job, queue_limit=100)
    report = await usage_report(store, Period(0, NOW), row.id)
    assert report["balance"] == {"credits": 2.0, "reserved": 0.5}
    assert report["data"] == []
