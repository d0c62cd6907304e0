"""Whatever happens to jobs and keys: balances are what the ledger says, and nothing is held back for ended jobs."""

from collections import Counter
from typing import ClassVar, Literal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from limner.errors import InsufficientCredits
from tests.store.bench import Bench, bench
from tests.store.samples import FAILURE, NOW_S, completion, new_job, new_key

OPENING = {"key_a": 1000, "key_b": 0, "key_c": None}

key = st.sampled_from(tuple(OPENING))
pick = st.integers(0, 200)
attempt = st.sampled_from((1, 1, 1, 2))
amount = st.integers(0, 600)


class CreditMachine(RuleBasedStateMachine):
    """Two keys that are metered and one that is not, and jobs that end in every way, some of them twice."""

    bench: ClassVar[Bench]

    def __init__(self) -> None:
        super().__init__()
        self.store = self.bench.store
        self.balances: dict[str, int | None] = dict(OPENING)
        self.held: dict[str, tuple[str, int]] = {}  # of live jobs: the key and what is held back
        self.attempts: dict[str, int] = {}
        self.charged: Counter[str] = Counter()

    @initialize()
    def begin(self) -> None:
        self.bench.wipe()
        for id, balance in OPENING.items():
            self.bench.do(self.store.add_key(new_key(id, balance_micro=balance)))

    @rule(key=st.sampled_from(("key_a", "key_b")), amount=st.integers(-200, 2000))
    def grant(self, key: str, amount: int) -> None:
        self.balances[key] = (self.balances[key] or 0) + amount
        assert self.bench.do(self.store.grant(key, amount, "", NOW_S)).balance_micro == self.balances[key]

    @rule(key=key, reserve=amount, running=st.booleans())
    def enqueue(self, key: str, reserve: int, running: bool) -> None:
        balance = self.balances[key]
        job = new_job(f"job_{len(self.attempts)}", owner=key, reserve_micro=reserve)
        step = self.store.enqueue(job, worker="w" if running else None, lease_until_s=NOW_S + 9, queue_limit=9999)
        if balance is not None and balance - self._reserved(key) < reserve:
            with pytest.raises(InsufficientCredits):
                self.bench.do(step)
            return
        self.bench.do(step)
        self.attempts[job.id] = int(running)
        self.held[job.id] = (key, reserve if balance is not None else 0)

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        step = self.store.claim("w", ("sketch",), limit, now_s=NOW_S, lease_until_s=NOW_S + 9)
        for job in self.bench.do(step):
            self.attempts[job.id] = job.attempt

    @rule(number=pick, attempt=attempt, cost=amount)
    def finish(self, number: int, attempt: int, cost: int) -> None:
        id = self._pick(number)
        if id and self.bench.do(self.store.finish(id, attempt, completion(cost_micro=cost))):
            key, _ = self.held.pop(id)
            self.charged[id] += 1
            balance = self.balances[key]
            self.balances[key] = None if balance is None else balance - cost

    @rule(number=pick, attempt=attempt, status=st.sampled_from(("failed", "cancelled")))
    def fail(self, number: int, attempt: int, status: Literal["failed", "cancelled"]) -> None:
        id = self._pick(number)
        if id and self.bench.do(self.store.fail(id, attempt, status, FAILURE, ended_at_s=NOW_S)):
            del self.held[id]

    @rule(number=pick)
    def cancel(self, number: int) -> None:
        id = self._pick(number)
        if id and self.bench.do(self.store.cancel(id, error=FAILURE, now_s=NOW_S)).done:
            self.held.pop(id, None)

    @rule()
    def sweep(self) -> None:
        expired = self.bench.do(self.store.expire(now_s=NOW_S, dead_workers=("w",), max_crashes=2))
        for id in expired.failed:
            del self.held[id]

    @rule()
    def drain(self) -> None:
        self.bench.do(self.store.hand_back("w", list(self.held), now_s=NOW_S))
        for id, row in self.bench.do(self.store.get_many(list(self.held))).items():
            if row.done:
                del self.held[id]

    @invariant()
    def balances_move_with_charges_and_grants(self) -> None:
        rows = {row.id: row for row in self.bench.do(self.store.keys())}
        assert {id: row.balance_micro for id, row in rows.items()} == self.balances
        assert {id: row.reserved_micro for id, row in rows.items()} == {id: self._reserved(id) for id in rows}

    def teardown(self) -> None:
        """The ledger explains every balance, no job was charged twice, and only live ones have credits held back."""
        entries = {key: self.bench.do(self.store.ledger(key, 9999)) for key in OPENING}
        sums = {key: sum(entry.amount_micro for entry in entries[key]) for key in ("key_a", "key_b")}
        assert sums == {key: self.balances[key] for key in sums}
        charges = [entry.job_id for each in entries.values() for entry in each if entry.job_id]
        assert Counter(charges) == self.charged
        assert set(self.charged.values()) <= {1}
        rows = self.bench.do(self.store.get_many(list(self.attempts))).values()
        assert {row.id: (row.owner, row.reserve_micro) for row in rows if not row.done} == self.held

    def _pick(self, number: int) -> str | None:
        return list(self.attempts)[number % len(self.attempts)] if self.attempts else None

    def _reserved(self, key: str) -> int:
        return sum(reserve for owner, reserve in self.held.values() if owner == key)


@pytest.mark.parametrize(("name", "examples"), [("memory", 40), ("file", 6), ("postgres", 6)])
def test_credits_are_neither_lost_nor_taken_twice(name: str, examples: int, request: pytest.FixtureRequest) -> None:
    url = "sqlite://" if name == "memory" else request.getfixturevalue(f"{name}_url")
    with bench(url) as opened:

        class OnBench(CreditMachine):
            bench = opened

        run_state_machine_as_test(
            OnBench,
            settings=settings(
                max_examples=examples,
                stateful_step_count=40,
                deadline=None,
                database=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
