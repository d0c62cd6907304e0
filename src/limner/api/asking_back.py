"""What a conversation says where a job could not be done because its words name no part of the picture.

Owns those words. The job has failed all the same, and costs nothing.
"""

from collections.abc import Collection

from limner.core import Warning
from limner.errors import RegionIsAll, RegionNotFound
from limner.jobs import Job, Outcome

NOT_FOUND = (
    "I cannot find “{region}” in the picture, so nothing was changed. Say it in other words, or ask what the picture "
    "shows."
)
IS_ALL = (
    "“{region}” seems to be the whole picture, so nothing was changed. Name a smaller part of it, or say what all of "
    "it should become."
)


def may_ask_back(modalities: Collection[str] | None) -> bool:
    """Whether words may be in an answer of these kinds; None is whatever fits."""
    return modalities is None or "text" in modalities


def asked_back(job: Job, error: RegionNotFound) -> Outcome:
    """The answer in words to whoever wanted ``job``; ``error`` says in a warning what it was for the server."""
    form = IS_ALL if isinstance(error, RegionIsAll) else NOT_FOUND
    words = form.format(region=job.request.params.get("region", ""))
    return Outcome((), None, {}, (Warning("region", "ignored", error.message),), text=words)


def answer_of(job: Job) -> Outcome | None:
    """What a conversation hears of ``job``: its outcome, or a question back; None while and where there is neither."""
    return asked_back(job, job.error) if isinstance(job.error, RegionNotFound) else job.outcome
