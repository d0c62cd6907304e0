"""What is kept: jobs, finished pictures, API keys, credits and webhooks, in SQLite or PostgreSQL."""

from limner.store.opening import open_store
from limner.store.rows import (
    DONE,
    MICRO,
    Accepted,
    Beat,
    Beats,
    Completion,
    Delivery,
    Expired,
    Hook,
    ImageRow,
    JobFilter,
    JobRow,
    JobStatus,
    KeyRow,
    LedgerRow,
    NewJob,
    Quota,
    UsageRow,
)
from limner.store.store import Store

__all__ = [
    "DONE",
    "MICRO",
    "Accepted",
    "Beat",
    "Beats",
    "Completion",
    "Delivery",
    "Expired",
    "Hook",
    "ImageRow",
    "JobFilter",
    "JobRow",
    "JobStatus",
    "KeyRow",
    "LedgerRow",
    "NewJob",
    "Quota",
    "Store",
    "UsageRow",
    "open_store",
]
