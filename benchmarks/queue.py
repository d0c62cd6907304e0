"""How fast jobs are accepted, claimed and finished while 50,000 are queued, on SQLite and on PostgreSQL."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import insert

from benchmarks.contest import Contest, in_turns, remark
from benchmarks.report import Report
from benchmarks.spread import Spread, spread
from chaos.postgres import NoPostgres, postgres
from limner.store import Completion, ImageRow, JobRow, NewJob, Store, open_store
from limner.store.tables import jobs

QUEUED = 50_000
FILL_AT_ONCE = 1_000
JOBS_A_ROUND = 200
CLIENTS = 16
OWNERS = 20
MODELS = ("sketch", "flux", "qwen")
ENQUEUES_TARGET = 250  # a second, one after another, each on the disk before the next
CLAIM_TARGET_MS = 10.0  # of which the flush to the disk is most


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of JOBS_A_ROUND jobs took: seconds a call, or calls a second."""

    enqueue_per_s: float
    enqueue_together_per_s: float
    claim_s: float
    finish_s: float
    cpu_s: float  # of this process, for accepting, claiming and finishing a job


async def run(rounds: int) -> Report:
    """Fill each database once, then let them take turns."""
    async with AsyncExitStack() as stack:
        stores = {"SQLite": await stack.enter_async_context(_sqlite())}
        missing = ""
        try:
            stores["PostgreSQL"] = await stack.enter_async_context(_postgres())
        except NoPostgres as reason:
            missing = f"PostgreSQL was not measured: {reason}."
        for store in stores.values():
            await _fill(store)
        contest = await in_turns({name: _round(store) for name, store in stores.items()}, rounds)
    report = _report(contest)
    report.remarks += [missing] if missing else []
    return report


@asynccontextmanager
async def _sqlite() -> AsyncIterator[Store]:
    with tempfile.TemporaryDirectory(prefix="limner-queue-") as directory:
        async with open_store(f"sqlite:///{Path(directory) / 'limner.db'}") as store:
            yield store


@asynccontextmanager
async def _postgres() -> AsyncIterator[Store]:
    with postgres(fsync=True) as cluster:
        async with open_store(cluster.create_database()) as store:
            yield store


def _job(number: int) -> NewJob:
    now_s = time.time()
    return NewJob(
        id=f"job_{uuid4().hex}",
        owner=f"key_{number % OWNERS}",
        operation="generate",
        model=MODELS[number % len(MODELS)],
        request={"prompt": "a red circle on a blue table, " * 10, "params": {"num_inference_steps": 8}, "seed": number},
        warnings=(),
        created_at_s=now_s,
        deadline_at_s=now_s + 86_400,
        weight_s=1.0,
    )


async def _fill(store: Store) -> None:
    """Queue QUEUED jobs in large transactions: as rows like those that `Store.enqueue` makes."""
    accepted = (await store.enqueue(_job(0), queue_limit=2 * QUEUED)).job
    for start in range(1, QUEUED, FILL_AT_ONCE):
        rows = []
        for number in range(start, min(start + FILL_AT_ONCE, QUEUED)):
            new = _job(number)
            changed = {"id": new.id, "owner": new.owner, "model": new.model, "rank": float(number // OWNERS)}
            rows.append({**asdict(accepted), **changed})
        await store._write(lambda connection, rows=rows: connection.execute(insert(jobs), rows) and None)  # type: ignore[misc]


def _round(store: Store) -> Callable[[int], Awaitable[Round]]:
    """As many jobs are finished as are accepted, so that the queue stays as long."""
    limit = 2 * QUEUED

    async def enqueue(number: int) -> None:
        await store.enqueue(_job(number), queue_limit=limit)

    async def measure(_: int) -> Round:
        cpu_s = time.process_time()
        enqueue_s = await _timed(lambda: _one_by_one(enqueue, JOBS_A_ROUND))
        claimed: list[JobRow] = []
        claim_s = await _timed(lambda: _claim(store, claimed))
        finish_s = await _timed(lambda: _finish(store, claimed))
        cpu_s = time.process_time() - cpu_s
        together_s = await _timed(lambda: _together(enqueue, JOBS_A_ROUND))
        more: list[JobRow] = []
        await _claim(store, more)
        await _finish(store, more)
        return Round(
            enqueue_per_s=JOBS_A_ROUND / enqueue_s,
            enqueue_together_per_s=JOBS_A_ROUND / together_s,
            claim_s=claim_s / JOBS_A_ROUND,
            finish_s=finish_s / JOBS_A_ROUND,
            cpu_s=cpu_s / JOBS_A_ROUND,
        )

    return measure


async def _timed(step: Callable[[], Awaitable[object]]) -> float:
    start_s = time.perf_counter()
    await step()
    return time.perf_counter() - start_s


async def _one_by_one(step: Callable[[int], Awaitable[object]], count: int) -> None:
    for number in range(count):
        await step(number)


async def _together(step: Callable[[int], Awaitable[object]], count: int) -> None:
    free = asyncio.Semaphore(CLIENTS)

    async def one(number: int) -> None:
        async with free:
            await step(number)

    await asyncio.gather(*(one(number) for number in range(count)))


async def _claim(store: Store, claimed: list[JobRow]) -> None:
    """One job a call, the best of three models."""
    for _ in range(JOBS_A_ROUND):
        now_s = time.time()
        claimed += await store.claim("worker", MODELS, 1, now_s=now_s, lease_until_s=now_s + 600)


async def _finish(store: Store, claimed: list[JobRow]) -> None:
    for job in claimed:
        assert await store.finish(job.id, job.attempt, Completion({}, (_image(job),), 1000, 1.0, time.time()))


def _image(job: JobRow) -> ImageRow:
    name = job.id.removeprefix("job_")
    now_s = time.time()
    return ImageRow(
        f"img_{name}_0", job.id, 0, job.owner, f"images/{name}.png", "image/png", 512, 512, 400_000, 7, now_s, now_s
    )


def _report(contest: Contest[Round]) -> Report:
    report = Report("queue")
    columns: dict[str, Callable[[Round], float]] = {
        "enqueues a second": lambda r: r.enqueue_per_s,
        f"with {CLIENTS} at once": lambda r: r.enqueue_together_per_s,
        "claim ms": lambda r: r.claim_s * 1e3,
        "finish ms": lambda r: r.finish_s * 1e3,
        "CPU ms a job": lambda r: r.cpu_s * 1e3,
    }
    found: dict[str, dict[str, Spread]] = {
        name: {column: spread([value(each) for each in each_round]) for column, value in columns.items()}
        for name, each_round in contest.results.items()
    }
    rows = [(name, *(value.format(1) for value in values.values())) for name, values in found.items()]
    title = (
        f"{QUEUED:,} jobs of {len(MODELS)} models and {OWNERS} keys queued; every call is on the disk when it returns."
    )
    report.table(title, ("database", *columns), rows)
    sqlite = found["SQLite"]
    rate, claim = sqlite["enqueues a second"], sqlite["claim ms"]
    report.claim(
        "jobs accepted one after another on SQLite",
        target=f">= {ENQUEUES_TARGET}/s",
        measured=rate.format(0, "/s"),
        met=rate.median >= ENQUEUES_TARGET,
    )
    report.claim(
        "one job claimed on SQLite",
        target=f"<= {CLAIM_TARGET_MS:g} ms",
        measured=claim.format(1, " ms"),
        met=claim.median <= CLAIM_TARGET_MS,
    )
    report.remarks.append(remark(contest))
    for name, values in found.items():
        report.numbers |= {f"{name} {column}": value for column, value in values.items()}
    return report
