"""One question while it is being answered.

Owns the life of an answer, from waiting to its one end, and its share of time; knows no torch. Only the speaker's
thread changes it; anybody may ask it to stop.
"""

from time import monotonic
from typing import Protocol

from limner.core import Tokens
from limner.engine.speaking.detokenizer import Decode, Detokenizer
from limner.engine.speaking.question import Answer, Hearer, Question, Spell
from limner.errors import LimnerError


class Queue(Protocol):
    """Where a reply waits for its turn."""

    def drop_cancelled(self) -> None:
        """End what was cancelled while waiting."""
        ...


class Reply:
    """``read`` is how many tokens the question took; ``ended`` holds once the hearer has heard the end."""

    def __init__(self, question: Question, hearer: Hearer, queue: Queue) -> None:
        self.question = question
        self.cancelled = False
        self.ended = False
        self.read = 0
        self._hearer, self._queue = hearer, queue
        self._submitted_at = monotonic()
        self._began_at: float | None = None
        self._encode_s = self._decode_s = 0.0
        self._stops: frozenset[int] = frozenset()
        self._detokenizer: Detokenizer | None = None
        self._text: list[str] = []
        self._written = 0

    def cancel(self) -> None:
        """Stop at the next token; from any thread."""
        self.cancelled = True
        self._queue.drop_cancelled()

    @property
    def spoke(self) -> bool:
        """Whether anything was said, so that it cannot be begun anew."""
        return bool(self._text)

    def begin(self) -> None:
        """Work on it begins."""
        if self._began_at is None:
            self._began_at = monotonic()

    def listen(self, decode: Decode, stops: frozenset[int], read: int) -> None:
        """From here on tokens come; those of ``stops`` end the answer."""
        self._detokenizer, self._stops, self.read = Detokenizer(decode), stops, read
        self._written = 0

    def spent(self, *, encode_s: float = 0.0, decode_s: float = 0.0) -> None:
        """Count device time."""
        self._encode_s += encode_s
        self._decode_s += decode_s

    def take(self, token: int) -> None:
        """The model's next token."""
        assert self._detokenizer is not None, "listen comes first"
        if self.cancelled:
            self.give_up()
        elif token in self._stops:
            self._complete()
        else:
            self._written += 1
            self._say(self._detokenizer.take(token))
            if self._written >= self.question.manner.max_tokens:
                self._complete(cut=True)

    def finish(self, text: str, tokens: Tokens) -> None:
        """End with a text that is known as a whole."""
        self._say(text)
        self.read, self._written = tokens.read, tokens.written
        self._end()

    def close(self) -> None:
        """End with what there is: no more tokens come, though the model had more to say."""
        if not self.ended:
            self._complete(cut=True)

    def fail(self, error: LimnerError) -> None:
        """End without an answer."""
        if not self.ended:
            self.ended = True
            self._hearer.failed(error)

    def give_up(self) -> None:
        """End because nobody wants it any more."""
        if not self.ended:
            self.ended = True
            self._hearer.cancelled()

    def _complete(self, *, cut: bool = False) -> None:
        assert self._detokenizer is not None, "listen comes first"
        self._say(self._detokenizer.rest())
        self._end(cut=cut)

    def _say(self, text: str) -> None:
        if text:
            self._text.append(text)
            self._hearer.said(text)

    def _end(self, *, cut: bool = False) -> None:
        self.ended = True
        now, began = monotonic(), self._began_at
        queue_s = (now if began is None else began) - self._submitted_at
        spell = Spell(queue_s, self._encode_s, self._decode_s, now - self._submitted_at)
        self._hearer.finished(Answer("".join(self._text), Tokens(self.read, self._written), spell, cut))
