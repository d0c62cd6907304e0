"""A hearer that remembers, and the ways in which tests ask a speaker."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from limner.engine.speaking import Answer, Manner, Message, Question, Speaker
from limner.errors import LimnerError

STILL_S = 60.0  # how long a test waits for something that must happen


class Heard:
    """What one asker heard; ``on_said`` runs in the speaker's thread with the text so far."""

    def __init__(self, on_said: Callable[[str], None] = lambda text: None) -> None:
        self.pieces: list[str] = []
        self.answer: Answer | None = None
        self.error: LimnerError | None = None
        self.was_cancelled = False
        self.ends = 0
        self._on_said = on_said
        self._ended = threading.Event()

    def said(self, text: str) -> None:
        assert text, "an empty piece"
        self.pieces.append(text)
        self._on_said("".join(self.pieces))

    def finished(self, answer: Answer) -> None:
        self.answer = answer
        self._end()

    def failed(self, error: LimnerError) -> None:
        self.error = error
        self._end()

    def cancelled(self) -> None:
        self.was_cancelled = True
        self._end()

    def _end(self) -> None:
        self.ends += 1
        self._ended.set()

    def wait(self) -> "Heard":
        assert self._ended.wait(STILL_S), "nobody answered"
        return self

    @property
    def text(self) -> str:
        """The answer; raises what came instead."""
        self.wait()
        if self.error is not None:
            raise self.error
        assert self.answer is not None
        return self.answer.text


def colour(name: str, width: int = 40, height: int = 30) -> Image.Image:
    return Image.new("RGB", (width, height), name)


def ask(text: str, *pictures: Image.Image, system: str = "", **manner: Any) -> Question:
    content = [*({"type": "image"} for _ in pictures), {"type": "text", "text": text}]
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": content})
    return Question(tuple(messages), pictures, Manner(**{"max_tokens": 12, **manner}))


def answers(speaker: Speaker, questions: Sequence[Question]) -> list[Answer]:
    """All asked at once."""
    heard = [Heard() for _ in questions]
    for question, each in zip(questions, heard, strict=True):
        speaker.submit(question, each)
    texts = [each.text for each in heard]
    assert texts == ["".join(each.pieces) for each in heard], "the pieces are the text"
    return [each.answer for each in heard if each.answer is not None]
