"""When a delivery is tried again, and when it is given up. Pure: times come in, a decision goes out."""

from dataclasses import dataclass
from typing import TypeAlias

from limner.webhooks.sender import Answer

# Waits before the second try, the third, ...; the last one repeats until the delivery is given up.
WAITS_S = (5.0, 30.0, 120.0, 600.0, 3600.0, 6 * 3600.0)
JITTER = 0.2  # a wait is lengthened by up to this share, so that what failed together does not come back together
GIVE_UP_AFTER_S = 24 * 3600.0
MAX_RETRY_AFTER_S = 6 * 3600.0
GONE = 410


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Again:
    """To be tried at ``at_s`` (unix seconds)."""

    at_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Not to be tried again."""

    reason: str


Decision: TypeAlias = Delivered | Again | GiveUp


def decide(answer: Answer | str, *, attempts: int, created_at_s: float, now_s: float, chance: float) -> Decision:
    """What follows from an answer, or from why there was none, to the try after ``attempts`` earlier ones.

    ``chance`` is a random number, 0..1, for the jitter.
    """
    if isinstance(answer, str):
        reason, asked_s = answer, 0.0
    elif 200 <= answer.status < 300:
        return Delivered()
    elif answer.status == GONE:
        return GiveUp(f"it answered {GONE}")
    else:
        reason, asked_s = f"it answered {answer.status}", min(answer.retry_after_s or 0.0, MAX_RETRY_AFTER_S)
    wait_s = max(WAITS_S[min(attempts, len(WAITS_S) - 1)], asked_s) * (1 + JITTER * chance)
    if now_s + wait_s > created_at_s + GIVE_UP_AFTER_S:
        return GiveUp(reason)
    return Again(now_s + wait_s, reason)
