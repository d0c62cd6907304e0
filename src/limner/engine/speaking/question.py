"""The nouns of speaking: what is asked of a model that answers in words, and how it answers.

Owns plain values and two protocols; imports no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from limner.core import Tokens
from limner.errors import LimnerError

if TYPE_CHECKING:
    from PIL.Image import Image

DType: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
Message: TypeAlias = Mapping[str, Any]
"""One turn as chat templates take it: ``role``, and ``content`` as text or as parts, where ``{"type": "image"}`` is the
place of the next picture; whatever else a template understands, such as ``tool_calls``, may stand beside them."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How an answer is written. ``temperature`` 0 takes the likeliest token each time, and then neither ``top_p`` (the
    share of probability that is drawn from) nor ``seed`` matters."""

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation whose next turn is wanted. ``pictures`` are RGB, in the order of their places in ``messages``;
    ``tools`` are functions as chat templates take them. ``verbatim`` keeps the model's own markers in the answer,
    which is where some write their calls of tools."""

    messages: tuple[Message, ...]
    pictures: tuple["Image", ...] = ()
    manner: Manner = Manner()
    tools: tuple[Message, ...] = ()
    verbatim: bool = False

    @property
    def asked(self) -> str:
        """The words of the last turn; where it has several parts, those of the last."""
        content = self.messages[-1]["content"]
        return content if isinstance(content, str) else [part["text"] for part in content if "text" in part][-1]


@dataclass(frozen=True, slots=True)
class Spell:
    """Seconds: waiting before the first work, the answer's share of device time while reading (encode) and writing
    (decode), and submission to the end."""

    queue_s: float
    encode_s: float
    decode_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole text, what it took in tokens and in time, and whether the most tokens there may be cut it off."""

    text: str
    tokens: Tokens
    spell: Spell
    cut: bool = False


class Hearer(Protocol):
    """Who asked, and hears the answer from the speaker's thread: it must return quickly and never raise.

    The last call is exactly one of finished, failed and cancelled.
    """

    def said(self, text: str) -> None:
        """More of the answer; never a part of a character."""
        ...

    def finished(self, answer: Answer) -> None:
        """The answer is complete, all of it said before."""
        ...

    def failed(self, error: LimnerError) -> None:
        """This answer failed; others are unaffected."""
        ...

    def cancelled(self) -> None:
        """The answer was given up on request."""
        ...


class Ticket(Protocol):
    """A submitted question."""

    def cancel(self) -> None:
        """Give up: what waits at once, what is being answered at its next token. Harmless afterwards; never blocks."""
        ...
