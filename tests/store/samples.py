"""Rows to test with, each complete and changed only where a test needs it."""

from dataclasses import replace
from typing import Any

from limner.store import Completion, ImageRow, JobRow, KeyRow, NewJob, Store
from limner.store.tables import metadata

NOW_S = 1_000_000.0
MODEL = "sketch"


def new_job(id: str, **changes: Any) -> NewJob:
    """A job of the open server's owner, an hour from its deadline."""
    plain = NewJob(
        id=id,
        owner="",
        operation="generate",
        model=MODEL,
        request={"prompt": "a red circle", "seed": 7},
        warnings=({"param": "steps", "code": "forced", "message": "4 steps"},),
        created_at_s=NOW_S,
        deadline_at_s=NOW_S + 3600,
        weight_s=2.0,
    )
    return replace(plain, **changes)


def new_key(id: str, **changes: Any) -> KeyRow:
    """A key without limits."""
    plain = KeyRow(
        id=id,
        name=f"the key {id}",
        prefix=f"prefix-{id}",
        digest=b"\x00\xff" * 16,
        scopes=frozenset({"read", "generate"}),
        models=("sketch", "flux-*"),
        local_only=False,
        priority=0,
        jobs_per_minute=None,
        concurrency=None,
        balance_micro=None,
        reserved_micro=0,
        created_at_s=NOW_S,
        revoked_at_s=None,
        last_used_at_s=None,
    )
    return replace(plain, **changes)


def new_image(job_id: str, index: int = 0, **changes: Any) -> ImageRow:
    """A picture whose blob no other picture has."""
    plain = ImageRow(
        id=f"img_{job_id}_{index}",
        job_id=job_id,
        index=index,
        owner="",
        key=f"images/{job_id}-{index}.png",
        media_type="image/png",
        width_px=64,
        height_px=48,
        size_bytes=1234,
        seed=2**63 - 1,
        created_at_s=NOW_S,
        expires_at_s=NOW_S + 100,
    )
    return replace(plain, **changes)


def completion(*images: ImageRow, **changes: Any) -> Completion:
    """The end of a job that took 1.5 s of a device."""
    plain = Completion(
        result={"model": MODEL}, images=images, cost_micro=1_500_000, device_s=1.5, ended_at_s=NOW_S + 10
    )
    return replace(plain, **changes)


FAILURE = {"code": "internal_error", "message": "it broke", "param": None, "status": 500, "type": "server_error"}


async def enqueue(store: Store, *jobs: NewJob, queue_limit: int = 10_000) -> None:
    """Accept jobs one after another."""
    for job in jobs:
        await store.enqueue(job, queue_limit=queue_limit)


async def claim(store: Store, limit: int = 1, *models: str, worker: str = "w", now_s: float = NOW_S) -> list[JobRow]:
    """Claim for 30 s."""
    return list(await store.claim(worker, models or (MODEL,), limit, now_s=now_s, lease_until_s=now_s + 30))


async def run(store: Store, job: NewJob, done: Completion) -> None:
    """Take a job from its acceptance to its end."""
    accepted = await store.enqueue(job, worker="w", lease_until_s=NOW_S + 30, queue_limit=10_000)
    assert await store.finish(job.id, accepted.job.attempt, done)


async def wipe(store: Store) -> None:
    """Forget everything, as if the database were new."""
    await store._write(lambda connection: [connection.execute(table.delete()) for table in metadata.sorted_tables])
