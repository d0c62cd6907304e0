"""Whatever workers do, late or twice: no job is lost, each ends once, and the queue's order holds.

The machine plays random steps against the store and against a model that is plain enough to be seen to be right.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from limner.store import Beat, Hook, JobRow, NewJob
from tests.store.bench import Bench, bench
from tests.store.samples import FAILURE, NOW_S, completion, new_image, new_job

WORKERS = ("w1", "w2", "w3")
MODELS = ("a", "b")
LEASE_S = 10.0
MAX_CRASHES = 2

worker = st.sampled_from(WORKERS)
pick = st.integers(0, 200)  # of the jobs so far, modulo their number
stale = st.sampled_from((0, 0, 0, 1, 2))  # how many attempts ago the caller claimed the job


@dataclass
class Modelled:
    """A job as it should be."""

    new: NewJob
    seq: int
    status: str = "queued"
    attempt: int = 0
    worker: str | None = None
    lease_until_s: float = 0.0
    crashes: int = 0
    progress: float = 0.0
    cancel_requested: bool = False

    @property
    def live(self) -> bool:
        return self.status in ("queued", "running")

    def end(self, status: str) -> None:
        self.status = status

    def queue_again(self) -> None:
        self.status, self.worker, self.progress = "queued", None, 0.0

    def agrees_with(self, row: JobRow) -> bool:
        """Whether the store says the same."""
        mine = (self.status, self.attempt, self.crashes, self.cancel_requested)
        theirs = (row.status, row.attempt, row.crashes, row.cancel_requested)
        held = not self.live or (self.worker, self.progress) == (row.worker, row.progress)
        return mine == theirs and held and row.done != self.live and (row.ended_at_s is None) == self.live


@dataclass
class Model:
    """All jobs as they should be."""

    now_s: float = NOW_S
    jobs: dict[str, Modelled] = field(default_factory=dict)
    by_key: dict[str, str] = field(default_factory=dict)

    def pick(self, number: int, stale: int = 0) -> tuple[str, int] | None:
        """A job's id and one of its attempts, none while there are no jobs."""
        if not self.jobs:
            return None
        id = list(self.jobs)[number % len(self.jobs)]
        return id, self.jobs[id].attempt - stale

    def runs(self, id: str, attempt: int) -> bool:
        return self.jobs[id].status == "running" and self.jobs[id].attempt == attempt

    def best(self, models: Collection[str], limit: int) -> list[str]:
        """With one owner the queue is served by priority, then in order."""
        waiting = [
            (-job.new.priority, job.seq, id)
            for id, job in self.jobs.items()
            if job.status == "queued" and job.new.model in models and job.new.deadline_at_s > self.now_s
        ]
        return [id for _, _, id in sorted(waiting)[:limit]]

    def hand_back(self, id: str) -> None:
        job = self.jobs[id]
        if job.cancel_requested:
            job.end("cancelled")
        else:
            job.queue_again()

    def first_of(self, key: str | None, id: str) -> str:
        """The job that the idempotency key stands for, ``id`` if none; a cancelled one has set it free."""
        if key is None:
            return id
        if key not in self.by_key or self.jobs[self.by_key[key]].status == "cancelled":
            self.by_key[key] = id
        return self.by_key[key]

    def expire(self, dead: Collection[str]) -> tuple[set[str], set[str]]:
        """What is queued again, and what ends."""
        requeued, ended = set(), set()
        for id, job in self.jobs.items():
            if job.status == "running" and (job.lease_until_s <= self.now_s or job.worker in dead):
                job.crashes += 1
                if job.cancel_requested or job.crashes >= MAX_CRASHES:
                    job.end("cancelled" if job.cancel_requested else "failed")
                    ended.add(id)
                else:
                    job.queue_again()
                    requeued.add(id)
            if job.status == "queued" and job.new.deadline_at_s <= self.now_s:
                job.end("failed")
                ended.add(id)
        return requeued - ended, ended


class JobMachine(RuleBasedStateMachine):
    """Steps of clients, workers and sweepers."""

    bench: ClassVar[Bench]

    def __init__(self) -> None:
        super().__init__()
        self.store, self.model = self.bench.store, Model()

    @initialize()
    def begin(self) -> None:
        self.bench.wipe()

    @rule(
        model=st.sampled_from(MODELS),
        priority=st.sampled_from((0, 0, 1)),
        weight_s=st.sampled_from((0.0, 0.1, 1.0, 60.0)),
        patience_s=st.sampled_from((5.0, 1000.0, 1000.0)),
        key=st.sampled_from((None, None, None, "k1", "k2")),
        born_by=st.one_of(st.none(), worker),
    )
    def enqueue(
        self, model: str, priority: int, weight_s: float, patience_s: float, key: str | None, born_by: str | None
    ) -> None:
        now_s, number = self.model.now_s, len(self.model.jobs)
        new = new_job(
            f"job_{number}",
            model=model,
            priority=priority,
            weight_s=weight_s,
            created_at_s=now_s,
            deadline_at_s=now_s + patience_s,
            idempotency_key=key,
            hook=Hook("https://example.org"),
        )
        accepted = self.bench.do(
            self.store.enqueue(new, worker=born_by, lease_until_s=now_s + LEASE_S, queue_limit=10_000)
        )
        first = self.model.first_of(key, new.id)
        assert (accepted.job.id, accepted.replayed) == (first, first != new.id)
        if not accepted.replayed:
            self.model.jobs[new.id] = job = Modelled(new, number)
            if born_by:
                job.status, job.attempt, job.worker, job.lease_until_s = "running", 1, born_by, now_s + LEASE_S

    @rule(worker=worker, models=st.sets(st.sampled_from(MODELS)), limit=st.integers(1, 4))
    def claim(self, worker: str, models: set[str], limit: int) -> None:
        now_s, expected = self.model.now_s, self.model.best(models, limit)
        claimed = self.bench.do(self.store.claim(worker, models, limit, now_s=now_s, lease_until_s=now_s + LEASE_S))
        assert [job.id for job in claimed] == expected
        for id in expected:
            job = self.model.jobs[id]
            job.status, job.worker, job.lease_until_s = "running", worker, now_s + LEASE_S
            job.attempt += 1

    @rule(worker=worker, picks=st.lists(st.tuples(pick, stale, st.floats(0, 1)), max_size=4))
    def renew(self, worker: str, picks: list[tuple[int, int, float]]) -> None:
        chosen = {found: progress for number, old, progress in picks if (found := self.model.pick(number, old))}
        latest = {id: (attempt, progress) for (id, attempt), progress in chosen.items()}
        lease_until_s = self.model.now_s + LEASE_S
        beats = [Beat(id, attempt, progress) for id, (attempt, progress) in latest.items()]
        answer = self.bench.do(self.store.renew(worker, beats, lease_until_s=lease_until_s))
        held = {beat.id for beat in beats if self._holds(worker, beat.id, beat.attempt)}
        assert answer.lost == set(latest) - held
        assert set(answer.cancelled) == {id for id in held if self.model.jobs[id].cancel_requested}
        for id in held:
            self.model.jobs[id].lease_until_s, self.model.jobs[id].progress = lease_until_s, latest[id][1]

    def _holds(self, worker: str, id: str, attempt: int) -> bool:
        return self.model.runs(id, attempt) and self.model.jobs[id].worker == worker

    @rule(number=pick, stale=stale)
    def finish(self, number: int, stale: int) -> None:
        if found := self.model.pick(number, stale):
            id, attempt = found
            done = completion(new_image(id), ended_at_s=self.model.now_s)
            expected = self.model.runs(id, attempt)
            assert self.bench.do(self.store.finish(id, attempt, done)) == expected
            if expected:
                self.model.jobs[id].end("finished")
                self.model.jobs[id].progress = 1.0

    @rule(number=pick, stale=stale, status=st.sampled_from(("failed", "cancelled")))
    def fail(self, number: int, stale: int, status: Literal["failed", "cancelled"]) -> None:
        if found := self.model.pick(number, stale):
            id, attempt = found
            expected = self.model.runs(id, attempt)
            answer = self.bench.do(self.store.fail(id, attempt, status, FAILURE, ended_at_s=self.model.now_s))
            assert answer == expected
            if expected:
                self.model.jobs[id].end(status)

    @rule(number=pick)
    def cancel(self, number: int) -> None:
        if found := self.model.pick(number):
            job = self.model.jobs[found[0]]
            if job.status == "queued":
                job.end("cancelled")
            elif job.status == "running":
                job.cancel_requested = True
            assert job.agrees_with(self.bench.do(self.store.cancel(found[0], error=FAILURE, now_s=self.model.now_s)))

    @rule(worker=worker, numbers=st.lists(pick, max_size=4))
    def hand_back(self, worker: str, numbers: list[int]) -> None:
        ids = {found[0] for number in numbers if (found := self.model.pick(number))}
        self.bench.do(self.store.hand_back(worker, sorted(ids), now_s=self.model.now_s))
        for id in ids:
            if self._holds(worker, id, self.model.jobs[id].attempt):
                self.model.hand_back(id)

    @rule(seconds=st.sampled_from((1.0, 4.0, 11.0)))
    def wait(self, seconds: float) -> None:
        self.model.now_s += seconds

    @rule(dead=st.sets(worker, max_size=2))
    def expire(self, dead: set[str]) -> None:
        expired = self.bench.do(self.store.expire(now_s=self.model.now_s, dead_workers=dead, max_crashes=MAX_CRASHES))
        assert (set(expired.requeued), set(expired.failed)) == self.model.expire(dead)
        assert len(expired.failed) == len(set(expired.failed))

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        rows = self.bench.do(self.store.get_many(list(self.model.jobs)))
        assert all(job.agrees_with(rows[id]) for id, job in self.model.jobs.items())

    def teardown(self) -> None:
        """Every end left its traces once: charges and pictures for finished jobs, a webhook for each."""
        late_s = self.model.now_s + 1
        due = self.bench.do(self.store.due_deliveries(late_s, lease_until_s=late_s, limit=9999))
        assert sorted(delivery.job_id for delivery in due) == sorted(
            id for id, job in self.model.jobs.items() if not job.live
        )
        finished = sorted(id for id, job in self.model.jobs.items() if job.status == "finished")
        assert sorted(entry.job_id or "" for entry in self.bench.do(self.store.ledger("", 9999))) == finished
        for id in self.model.jobs:
            assert len(self.bench.do(self.store.images_of(id))) == (id in finished)


@pytest.mark.parametrize(("name", "examples"), [("memory", 40), ("file", 8), ("postgres", 6)])
def test_nothing_is_lost_and_everything_ends_once(name: str, examples: int, request: pytest.FixtureRequest) -> None:
    url = "sqlite://" if name == "memory" else request.getfixturevalue(f"{name}_url")
    with bench(url) as opened:

        class OnBench(JobMachine):
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
