"""Where ``limner jobs`` finds jobs: at a server, over HTTP, or in the database that servers work on.

Owns asking either, and giving jobs in one form: that of ``/v1/jobs``. A database does not know when a queued job will
be done, and hands out no links: its pictures are ids.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

from limner.cli import remote
from limner.cli.ask import Where
from limner.cli.database import on_database
from limner.errors import Cancelled, UpstreamFailed
from limner.records import error_record
from limner.store import DONE, MICRO, ImageRow, JobFilter, JobRow, JobStatus, Store

T = TypeVar("T")
STATUSES: tuple[JobStatus, ...] = ("queued", "running", *sorted(DONE))
PAGE = 100  # jobs in a page of the server's list
WAIT_S = 60  # the longest that a server holds an answer back
LOOK_S = 0.5
CANCELLED = "the job was cancelled on the server's machine"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs to list; no statuses and no model mean any."""

    statuses: tuple[str, ...] = ()
    model: str | None = None
    limit: int = 20


class JobSource(Protocol):
    """Every method raises LimnerError: NotFound for a job that is not there."""

    def matching(self, wanted: Wanted) -> list[dict[str, Any]]:
        """Newest first."""

    def show(self, job_id: str, *, wait: bool) -> dict[str, Any]:
        """One job; with ``wait`` once it has ended."""

    def cancel(self, job_id: str) -> dict[str, Any]:
        """End a job, or ask its process to."""


@dataclass(frozen=True, slots=True)
class ServerJobs:
    """Those that the server lets the key see."""

    where: Where

    def matching(self, wanted: Wanted) -> list[dict[str, Any]]:
        """As many pages as it takes."""
        found: list[dict[str, Any]] = []
        more = True
        while more and len(found) < wanted.limit:
            query = [("limit", str(min(PAGE, wanted.limit - len(found))))]
            query += [("status", status) for status in wanted.statuses]
            query += [] if wanted.model is None else [("model", wanted.model)]
            query += [("after", found[-1]["id"])] if found else []
            page = self._call("GET", f"/v1/jobs?{urlencode(query)}")
            if page.get("object") != "list":
                raise UpstreamFailed("the server answered /v1/jobs without a list; is --server a limner server?")
            found += page["data"]
            more = page["has_more"]
        return found

    def show(self, job_id: str, *, wait: bool) -> dict[str, Any]:
        """One job; with ``wait`` asked for until it has ended."""
        path = f"/v1/jobs/{quote(job_id, safe='')}"
        job = self._job("GET", path)
        while wait and job["status"] not in DONE:
            job = self._job("GET", f"{path}?wait={WAIT_S}")
        return job

    def cancel(self, job_id: str) -> dict[str, Any]:
        """As the server does it."""
        return self._job("DELETE", f"/v1/jobs/{quote(job_id, safe='')}")

    def _call(self, method: str, path: str) -> dict[str, Any]:
        assert self.where.server is not None, "jobs are asked for at a server"
        return remote.call(method, path, self.where.server, self.where.api_key)

    def _job(self, method: str, path: str) -> dict[str, Any]:
        answer = self._call(method, path)
        if answer.get("object") != "job":
            raise UpstreamFailed(f"the server answered {path} without a job; is --server a limner server?")
        return answer


@dataclass(frozen=True, slots=True)
class DatabaseJobs:
    """Everybody's, in the database of these settings."""

    config: Path | None
    data: str | None

    def matching(self, wanted: Wanted) -> list[dict[str, Any]]:
        """In two queries: jobs, and their pictures."""
        statuses = frozenset(status for status in STATUSES if status in wanted.statuses)
        wish = JobFilter(statuses=statuses, model=wanted.model, limit=wanted.limit)

        async def work(store: Store) -> list[dict[str, Any]]:
            rows = await store.list(wish)
            pictures = await store.images_of_all([row.id for row in rows if row.status == "finished"])
            return [_of_row(row, pictures.get(row.id, ())) for row in rows]

        return self._run(work)

    def show(self, job_id: str, *, wait: bool) -> dict[str, Any]:
        """One job with the ids of its pictures; with ``wait`` looked at until it has ended."""

        async def work(store: Store) -> dict[str, Any]:
            row = await store.get(job_id)
            while wait and not row.done:
                await asyncio.sleep(LOOK_S)
                row = await store.get(job_id)
            position = await store.position(job_id)
            return _of_row(row, await store.images_of(job_id)) | {"position": position}

        return self._run(work)

    def cancel(self, job_id: str) -> dict[str, Any]:
        """A queued one ends here and now; of a running one the process that draws it learns with its next beat."""
        error = error_record(Cancelled(CANCELLED))
        return _of_row(self._run(lambda store: store.cancel(job_id, error=error, now_s=time.time())))

    def _run(self, work: Callable[[Store], Awaitable[T]]) -> T:
        return on_database(self.config, self.data, lambda store, _: work(store))


def _of_row(row: JobRow, pictures: Sequence[ImageRow] = ()) -> dict[str, Any]:
    """As ``/v1/jobs`` has it, with what only the database knows: whose it is and how often it was begun."""
    return {
        "id": row.id,
        "object": "job",
        "status": row.status,
        "position": None,
        "eta_s": None,
        "progress": 1.0 if row.status == "finished" else row.progress,
        "created_at": row.created_at_s,
        "started_at": row.started_at_s,
        "ended_at": row.ended_at_s,
        "deadline_at": row.deadline_at_s,
        "operation": row.operation,
        "model": row.model,
        "effective": dict(row.request.get("effective", {})),
        "warnings": list(row.warnings),
        "error": None if row.error is None else dict(row.error),
        "cost": {
            "credits": row.cost_micro / MICRO if row.done else None,
            "reserved_credits": 0 if row.done else row.reserve_micro / MICRO,
            "device_s": row.device_s,
        },
        "owner": row.owner,
        "attempt": row.attempt,
        "crashes": row.crashes,
        "result": None
        if row.status != "finished"
        else {"data": [{"id": picture.id, "key": picture.key} for picture in pictures]},
    }
