"""Questions that wait for the speaker, and which of them are answered together.

Owns the bounded queue and the rule of what makes a batch; knows no torch.
"""

import threading

from limner.engine.speaking.question import Question
from limner.engine.speaking.reply import Reply
from limner.errors import NotReady, Overloaded

SHORT_TOKENS, MEDIUM_TOKENS = 128, 1024
MAX_PICTURES = 16  # of one batch: what a vision tower reads at once grows with them, whatever the number of rows
BUSY_S = 2.0  # after which a full queue may have room again


def company(question: Question) -> tuple[bool, int]:
    """Questions of equal company are answered together: with or without pictures, as processors take no mixture, and
    of like length, because a batch lasts as long as its longest answer."""
    tokens = question.manner.max_tokens
    return bool(question.pictures), (tokens > SHORT_TOKENS) + (tokens > MEDIUM_TOKENS)


class WaitingRoom:
    """First come, first served; who fits the first one's company comes along. All methods are safe from any thread."""

    def __init__(self, *, limit: int, max_batch: int) -> None:
        self._limit, self._max_batch = limit, max_batch
        self._replies: list[Reply] = []
        self._closed = False
        self._changed = threading.Condition()

    def add(self, reply: Reply) -> None:
        """Queue ``reply``. Raises Overloaded when too many wait, NotReady when nobody will answer any more."""
        with self._changed:
            if self._closed:
                raise NotReady("the language model has stopped; restart the server")
            if len(self._replies) >= self._limit:
                message = f"{self._limit} questions wait for this model already, the most that may"
                raise Overloaded(message, retry_after_s=BUSY_S)
            self._replies.append(reply)
            self._changed.notify_all()

    def take(self) -> list[Reply]:
        """Wait for the next batch; empty when the room is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._replies or self._closed)
            if self._closed:
                return []
            batch = _batch(self._replies, self._max_batch)
            self._replies = [reply for reply in self._replies if reply not in batch]
            return batch

    def drop_cancelled(self) -> None:
        """End what was cancelled while waiting."""
        with self._changed:
            dropped = [reply for reply in self._replies if reply.cancelled]
            self._replies = [reply for reply in self._replies if not reply.cancelled]
        for reply in dropped:
            reply.give_up()

    def close(self) -> list[Reply]:
        """Let nobody in any more; returns who was still waiting."""
        with self._changed:
            self._closed = True
            left, self._replies = self._replies, []
            self._changed.notify_all()
            return left


def _batch(waiting: list[Reply], limit: int) -> list[Reply]:
    """The first of ``waiting`` and the next ones of the same company, as far as rows and pictures are few enough."""
    batch, pictures = waiting[:1], len(waiting[0].question.pictures)
    for reply in waiting[1:]:
        more = len(reply.question.pictures)
        fits = len(batch) < limit and pictures + more <= MAX_PICTURES
        if fits and company(reply.question) == company(batch[0].question):
            batch.append(reply)
            pictures += more
    return batch
