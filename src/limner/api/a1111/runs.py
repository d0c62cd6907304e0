"""The calls that are being drawn right now, so that others can ask how they go and stop them.

Owns what ``/progress``, ``/interrupt`` and ``/skip`` need to know of a call, by the key that made it. Of this process:
a call and the questions about it come to the same one, as A1111's clients expect.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from limner.core import Picture, Progress
from limner.jobs import Job


@dataclass(slots=True, eq=False)
class Run:
    """One call: ``jobs`` jobs, one after another, of which ``job`` is the ``index``-th."""

    jobs: int
    job: Job
    index: int = 0
    interrupted: bool = False
    skipped: bool = False
    preview: Picture | None = None
    began_at_s: float = field(default_factory=time.time)

    def enter(self, index: int, job: Job) -> None:
        """The ``index``-th job begins."""
        self.index, self.job, self.skipped = index, job, False

    @property
    def stopped(self) -> bool:
        """Whether the present job was to end."""
        return self.interrupted or self.skipped

    @property
    def progress(self) -> float:
        """Share of the whole call that is done, 0..1."""
        return (self.index + self.job.progress) / self.jobs

    @property
    def steps(self) -> tuple[int, int]:
        """Denoising steps of the present job: done, and in all as far as that is known."""
        last = self.job.last
        if isinstance(last, Progress):
            return last.step, last.total_steps
        total = self.job.effective.get("num_inference_steps")
        steps = total * self.job.request.n if isinstance(total, int) else 0
        return round(self.job.progress * steps), steps


class Runs:
    """What is being drawn, by the id of the key that asked for it ("" on an open server)."""

    def __init__(self) -> None:
        self._runs: dict[str, list[Run]] = {}

    @contextmanager
    def begin(self, key_id: str, job: Job, jobs: int) -> Iterator[Run]:
        """A call, while the block runs."""
        run = Run(jobs, job)
        mine = self._runs.setdefault(key_id, [])
        mine.append(run)
        try:
            yield run
        finally:
            mine.remove(run)
            if not mine:
                del self._runs[key_id]

    def of(self, key_id: str) -> tuple[Run, ...]:
        """The key's calls, oldest first."""
        return tuple(self._runs.get(key_id, ()))

    def newest(self, key_id: str) -> Run | None:
        """The key's newest call."""
        mine = self.of(key_id)
        return mine[-1] if mine else None
