"""What an agent does, as it happens: words, calls, what came of them, and the end.

Owns the values alone. Words come as `limner.core.Words`: joined, they are the whole answer.
"""

from dataclasses import dataclass
from typing import TypeAlias

from limner.chat.decision import Decision
from limner.core import Tokens, Warning, Words


@dataclass(frozen=True, slots=True)
class Calling:
    """A decision that is about to be run; what comes of it follows as `Made`, unless it fails."""

    decision: Decision

    @property
    def reason(self) -> str:
        """Why, for people."""
        return self.decision.reason


@dataclass(frozen=True, slots=True)
class Made:
    """What a decision came to: the ids of the pictures' files, or words about pictures."""

    pictures: tuple[str, ...] = ()
    text: str | None = None
    tokens: Tokens | None = None
    warnings: tuple[Warning, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """The end. ``text`` is all that was said. ``pictures`` are the ids of those to show: made, and used for no other
    or named in the last words. ``rounds`` counts the language model's turns, ``tokens`` what was read and written in
    all, None where nobody knows."""

    text: str
    pictures: tuple[str, ...]
    tokens: Tokens | None
    rounds: int
    warnings: tuple[Warning, ...] = ()


Step: TypeAlias = Words | Calling | Made | Done
