"""A conversation as everything that answers one sees it: turns with their words and their pictures.

Owns the values; reading a client's messages into them is each dialect's business. Pictures are only named here.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from limner.errors import MissingParameter

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture in a conversation: its ``source`` as the client wrote it (a URL or a file's id), who showed it, and the
    place in the request that an error names."""

    source: str
    role: Role
    param: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: its words without the pictures, and the pictures."""

    role: Role
    text: str
    pictures: tuple[Shown, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """All turns, oldest first."""

    turns: tuple[Turn, ...]

    @property
    def asked(self) -> Turn:
        """The last turn of the user: what is wanted now. Raises MissingParameter when the user has said nothing."""
        for turn in reversed(self.turns):
            if turn.role == "user":
                return turn
        raise MissingParameter("Missing required parameter: 'messages' (none has the role 'user')", param="messages")

    @property
    def pictures(self) -> tuple[Shown, ...]:
        """Every picture, in the order shown."""
        return tuple(picture for turn in self.turns for picture in turn.pictures)


def without_repeats(pictures: tuple[Shown, ...]) -> tuple[Shown, ...]:
    """The pictures, each source once, where it comes first."""
    first: dict[str, Shown] = {}
    for picture in pictures:
        first.setdefault(picture.source, picture)
    return tuple(first.values())
