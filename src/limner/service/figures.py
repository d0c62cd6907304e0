"""What is told of a job's end: one log line, and the figures that are scraped."""

import logging
from typing import Literal

from limner.jobs import Job
from limner.logs import request_fields
from limner.metrics import EndedJob, Metrics
from limner.service.worker import Ended
from limner.tracing import STAGES

logger = logging.getLogger(__name__)


def log_end(ended: Ended, *, prompts: bool) -> None:
    """What was asked, how it ended, what it took."""
    if not logger.isEnabledFor(logging.INFO):
        return
    job = ended.job
    fields = {
        **request_fields(job.request, prompts=prompts),
        "error": None if job.error is None else job.error.code,
        "queue_s": round(ended.waited_s, 4),
        "wall_s": round(ended.wall_s, 4),
        "device_s": round(job.account.device_s, 4),
    }
    logger.info("job %s", job.status if ended.over else "left to another process", extra={"fields": fields})


def count_end(ended: Ended, metrics: Metrics) -> None:
    """Count a job that is over."""
    job, outcome = ended.job, ended.job.outcome
    timings_s = {} if outcome is None else outcome.timings_s
    stages = {stage: timings_s[stage] for stage in STAGES if stage in timings_s}
    metrics.job_ended(
        EndedJob(
            model=job.model,
            operation=job.request.operation.value,
            owner=job.request.owner,
            status=_end(job),
            error_code=None if job.error is None else job.error.code,
            wall_s=ended.wall_s,
            device_s=job.account.device_s,
            cost_micro=job.account.cost_micro,
            images=0 if outcome is None else len(outcome.pictures),
            stages_s=stages,
        )
    )


def _end(job: Job) -> Literal["finished", "failed", "cancelled"]:
    assert job.status in ("finished", "failed", "cancelled"), f"{job.id} is {job.status}"
    return job.status
