"""What the store takes and gives: plain immutable rows, free of SQL.

Owns the shapes. Times are unix seconds; money is whole micro-credits (1 credit = 1,000,000), so that sums are exact;
JSON values hold what ``orjson`` can write.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

JobStatus = Literal["queued", "running", "finished", "failed", "cancelled"]
DONE: frozenset[JobStatus] = frozenset(("finished", "failed", "cancelled"))
MICRO = 1_000_000  # micro-credits in a credit


@dataclass(frozen=True, slots=True)
class Quota:
    """What an API key may still do; checked in the transaction that accepts a job. None means unlimited.

    ``jobs_per_minute`` counts the key's jobs created in the last 60 s, ``concurrency`` those that have not ended.
    """

    jobs_per_minute: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Hook:
    """Where to say that a job has ended."""

    url: str
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A resolved request about to be accepted.

    ``owner`` is an API key's id, "" on an open server. ``request`` is the resolved request as JSON, its pictures by
    blob key (limner.records). ``reserve_micro`` is held back from the owner's credits until the job ends.
    ``weight_s`` is the estimated device time, by which the queue is fair between owners. ``fingerprint`` tells whether
    a repeated ``idempotency_key`` comes with the same request.
    """

    id: str
    owner: str
    operation: str
    model: str
    request: Mapping[str, Any]
    warnings: tuple[Mapping[str, Any], ...]
    created_at_s: float
    deadline_at_s: float
    weight_s: float
    priority: int = 0
    reserve_micro: int = 0
    idempotency_key: str | None = None
    fingerprint: str = ""
    hook: Hook | None = None
    quota: Quota = Quota()


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as the database has it.

    ``attempt`` is the fencing number: it grows with every claim, and whatever an older attempt still says is refused.
    ``crashes`` counts the attempts that ended with their process. ``result`` is the finished job's JSON without
    pictures, ``error`` the failed or cancelled one's: code, message, param, status, type. ``hook_url`` is told of the
    end. ``position`` is not stored: see `Store.position`.
    """

    id: str
    owner: str
    operation: str
    model: str
    status: JobStatus
    request: Mapping[str, Any]
    warnings: tuple[Mapping[str, Any], ...]
    priority: int
    weight_s: float
    created_at_s: float
    deadline_at_s: float
    started_at_s: float | None
    ended_at_s: float | None
    attempt: int
    crashes: int
    worker: str | None
    progress: float
    cancel_requested: bool
    reserve_micro: int
    cost_micro: int
    device_s: float
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    fingerprint: str = ""
    hook_url: str | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in DONE


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to `Store.enqueue`: ``replayed`` when the idempotency key had already made this job."""

    job: JobRow
    replayed: bool


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life for one running job."""

    id: str
    attempt: int
    progress: float


@dataclass(frozen=True, slots=True)
class Beats:
    """The answer to `Store.renew`: jobs that are no longer this worker's, and why jobs are to be cancelled, by id."""

    lost: frozenset[str]
    cancelled: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ImageRow:
    """A finished picture. ``id`` is ``img_<job's hex>_<index>``; ``key`` its blob."""

    id: str
    job_id: str
    index: int
    owner: str
    key: str
    media_type: str
    width_px: int
    height_px: int
    size_bytes: int
    seed: int
    created_at_s: float
    expires_at_s: float


@dataclass(frozen=True, slots=True)
class Completion:
    """All that is recorded, once, when a job finishes."""

    result: Mapping[str, Any]
    images: tuple[ImageRow, ...]
    cost_micro: int
    device_s: float
    ended_at_s: float


@dataclass(frozen=True, slots=True)
class Expired:
    """The answer to `Store.expire`: jobs queued again, and jobs that were given up."""

    requeued: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list, newest first; ``owner`` None means everybody's. ``before`` is the id of the last job of the
    page before."""

    owner: str | None = None
    statuses: frozenset[JobStatus] = frozenset()
    model: str | None = None
    operation: str | None = None
    created_after_s: float | None = None
    created_before_s: float | None = None
    before: str | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key without its secret: ``prefix`` is shown and looked up, ``digest`` is HMAC-SHA256 of the whole.

    ``models`` are allowed names or globs (empty: all). ``balance_micro`` None means that nothing is metered.
    """

    id: str
    name: str
    prefix: str
    digest: bytes = field(repr=False)
    scopes: frozenset[str]
    models: tuple[str, ...]
    local_only: bool
    priority: int
    jobs_per_minute: int | None
    concurrency: int | None
    balance_micro: int | None
    reserved_micro: int
    created_at_s: float
    revoked_at_s: float | None
    last_used_at_s: float | None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Sums over ledger entries of one key and model."""

    key_id: str
    model: str
    jobs: int
    images: int
    device_s: float
    cost_micro: int


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One movement of credits: a finished job's charge (negative, ``job_id`` set and unique) or a grant."""

    key_id: str
    job_id: str | None
    model: str | None
    images: int
    device_s: float
    amount_micro: int
    created_at_s: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook to be delivered. ``attempts`` counts tries so far."""

    id: str
    job_id: str
    url: str
    secret: str | None
    attempts: int
    next_at_s: float
    created_at_s: float
