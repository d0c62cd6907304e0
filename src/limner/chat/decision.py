"""What a turn of a conversation became: an operation with its pictures, or an answer in words.

Owns those values, which the rules and the agent both make.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from limner.chat.conversation import Shown
from limner.core import Operation, ParamValue, Size


@dataclass(frozen=True, slots=True)
class Abilities:
    """What can be done here: the operations, and how many pictures one of them may take; ``max_looked_at`` is for
    questions about pictures, where those may take another number. ``words_only``: whoever asks wants no pictures."""

    operations: frozenset[Operation]
    max_images: int
    max_looked_at: int | None = None
    words_only: bool = False

    def most(self, operation: Operation) -> int:
        """How many pictures ``operation`` may take."""
        if operation is Operation.DESCRIBE and self.max_looked_at is not None:
            return self.max_looked_at
        return self.max_images


@dataclass(frozen=True, slots=True)
class Decision:
    """``pictures[0]`` is what is changed, the rest are references; ``operation`` None answers with ``reply``, and
    ``prompt`` is what the user has said.

    ``mask`` is for inpainting. ``size``, ``n`` and ``params`` are only what the words named. ``size_is_exact`` is False
    where they named a format ("portrait", "16:9") and not pixels: the nearest shape that the model draws is meant.
    ``reason`` says why, in a sentence for people.
    """

    operation: Operation | None
    prompt: str
    pictures: tuple[Shown, ...] = ()
    mask: Shown | None = None
    size: Size | None = None
    n: int | None = None
    params: Mapping[str, ParamValue] = field(default_factory=dict)
    reply: str | None = None
    reason: str = field(kw_only=True)
    size_is_exact: bool = True


def in_words(reply: str, reason: str, prompt: str = "") -> Decision:
    """An answer without a picture."""
    return Decision(None, prompt, reply=reply, reason=reason)
