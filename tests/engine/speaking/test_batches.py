"""Who is answered together, and what one failure means to the others: the speaker with voices that are no models."""

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence

import pytest

from limner.core import Tokens
from limner.engine.devices import resolve
from limner.engine.sample import EngineSettings, LoadedModel
from limner.engine.speaking import Question, Speaker
from limner.engine.speaking.reply import Reply
from limner.engine.speaking.waiting import MAX_PICTURES, WaitingRoom
from limner.errors import InternalError, InvalidRequest, LimnerError, NotReady, Overloaded
from tests.engine.speaking.asking import STILL_S, Heard, ask, colour

RED = colour("red")


class Voice:
    """Repeats what is asked once `may_answer` is set; ``trouble`` is raised for batches of which it says so."""

    def __init__(self, trouble: Callable[[Sequence[str]], Exception | None] = lambda asked: None) -> None:
        self.batches: list[list[str]] = []
        self.may_answer = threading.Event()
        self.begun = threading.Event()
        self._trouble = trouble

    def check(self, question: Question) -> None:
        pass

    def answer(self, replies: Sequence[Reply]) -> None:
        self.begun.set()
        assert self.may_answer.wait(STILL_S)
        asked = [reply.question.asked for reply in replies]
        self.batches.append(asked)
        error = self._trouble(asked)
        if error is not None:
            raise error
        for reply in replies:
            reply.finish(reply.question.asked, Tokens(1, 1))


@pytest.fixture
def made() -> Iterator[list[Speaker]]:
    speakers: list[Speaker] = []
    yield speakers
    for speaker in speakers:
        speaker.close()


def serve(voice: Voice, made: list[Speaker], *, max_batch: int = 4) -> Speaker:
    device = resolve(EngineSettings(device="cpu", threads=1))
    speaker = Speaker(voice, LoadedModel("tiny", "Tiny", "1", 0), device, max_batch=max_batch)
    made.append(speaker)
    return speaker


def asked(speaker: Speaker, voice: Voice, questions: Sequence[Question]) -> list[Heard]:
    """All of them asked while the first is being answered."""
    heard = [Heard() for _ in (0, *questions)]
    speaker.submit(ask("first"), heard[0])
    assert voice.begun.wait(STILL_S)
    for question, each in zip(questions, heard[1:], strict=True):
        speaker.submit(question, each)
    voice.may_answer.set()
    return [each.wait() for each in heard[1:]]


def test_what_waits_is_answered_together_in_order(made: list[Speaker]) -> None:
    voice = Voice()
    asked(serve(voice, made), voice, [ask(name) for name in "abcdef"])
    assert voice.batches == [["first"], ["a", "b", "c", "d"], ["e", "f"]]


def test_only_like_questions_are_answered_together(made: list[Speaker]) -> None:
    voice = Voice()
    questions = [ask("a", RED), ask("b"), ask("c", RED, RED), ask("d", max_tokens=5000), ask("e")]
    asked(serve(voice, made), voice, questions)
    assert voice.batches == [["first"], ["a", "c"], ["b", "e"], ["d"]]


def test_a_batch_has_a_bounded_number_of_pictures(made: list[Speaker]) -> None:
    voice = Voice()
    asked(serve(voice, made), voice, [ask("a", *[RED] * MAX_PICTURES), ask("b", RED), ask("c", RED)])
    assert voice.batches == [["first"], ["a"], ["b", "c"]]


def test_a_failure_is_narrowed_down_to_whose_it_is(made: list[Speaker]) -> None:
    voice = Voice(lambda batch: InvalidRequest("not you") if "c" in batch else None)
    heard = asked(serve(voice, made), voice, [ask(name) for name in "abcd"])
    assert [each.error and each.error.message for each in heard] == [None, None, "not you", None]
    assert voice.batches[1:] == [["a", "b", "c", "d"], ["a", "b"], ["c", "d"], ["c"], ["d"]]


def test_what_has_no_room_together_is_answered_in_parts(made: list[Speaker]) -> None:
    voice = Voice(lambda batch: MemoryError() if len(batch) > 2 else None)
    heard = asked(serve(voice, made), voice, [ask(name) for name in "abcd"])
    assert [each.text for each in heard] == list("abcd")


def test_an_attempt_that_had_no_room_holds_no_memory_while_parts_of_it_are_tried(made: list[Speaker]) -> None:
    class Tensor:
        pass

    held: list[weakref.ref[Tensor]] = []
    left: list[bool] = []

    class Greedy(Voice):
        def answer(self, replies: Sequence[Reply]) -> None:
            left.append(any(ref() is not None for ref in held))
            tensor = Tensor()
            held.append(weakref.ref(tensor))
            super().answer(replies)

    voice = Greedy(lambda batch: MemoryError() if len(batch) > 1 else None)
    heard = asked(serve(voice, made), voice, [ask(name) for name in "ab"])
    assert [each.text for each in heard] == list("ab")
    assert left == [False] * 4


def test_a_failure_after_one_has_spoken_is_not_that_of_those_who_have_not(made: list[Speaker]) -> None:
    class Halfway(Voice):
        def answer(self, replies: Sequence[Reply]) -> None:
            if len(replies) > 1:
                replies[0].listen(lambda tokens: "a" * len(tokens), frozenset(), 1)
                replies[0].take(1)
                raise RuntimeError
            super().answer(replies)

    voice = Halfway()
    heard = asked(serve(voice, made), voice, [ask(name) for name in "abc"])
    assert [each.error is not None or each.text for each in heard] == [True, True, "c"]
    assert heard[0].pieces == ["a"]


def test_what_was_answered_is_let_go(made: list[Speaker]) -> None:
    voice = Voice()
    voice.may_answer.set()
    speaker = serve(voice, made)
    heard = Heard()
    asking = weakref.ref(speaker.submit(ask("a"), heard))
    assert heard.text == "a"
    until_s = time.monotonic() + STILL_S
    while asking() is not None and time.monotonic() < until_s:
        time.sleep(0.01)
    assert asking() is None


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (MemoryError(), InternalError, "not enough memory"),
        (ValueError("2 pictures, 3 places\nsecond line"), InvalidRequest, "cannot read this: 2 pictures, 3 places$"),
        (RuntimeError("secret"), InternalError, "failed: RuntimeError$"),
        (Overloaded("later"), Overloaded, "later"),
    ],
)
def test_what_those_who_asked_are_told(
    error: Exception, kind: type[LimnerError], message: str, made: list[Speaker]
) -> None:
    voice = Voice(lambda batch: error if "a" in batch else None)
    speaker = serve(voice, made)
    [heard] = asked(speaker, voice, [ask("a")])
    with pytest.raises(kind, match=message):
        _ = heard.text
    assert speaker.healthy


def test_a_thread_that_dies_tells_everybody(made: list[Speaker]) -> None:
    class Fatal(BaseException):
        pass

    hook, threading.excepthook = threading.excepthook, lambda args: None
    try:
        voice = Voice()
        voice.answer = lambda replies: (_ for _ in ()).throw(Fatal())  # type: ignore[method-assign]
        speaker, heard = serve(voice, made), Heard()
        speaker.submit(ask("a"), heard)
        with pytest.raises(NotReady):
            _ = heard.text
        speaker._thread.join(STILL_S)
    finally:
        threading.excepthook = hook
    assert not speaker.healthy
    with pytest.raises(NotReady):
        speaker.submit(ask("b"), Heard())


def test_too_many_are_turned_away() -> None:
    room = WaitingRoom(limit=1, max_batch=1)
    room.add(Reply(ask("a"), Heard(), room))
    with pytest.raises(Overloaded) as caught:
        room.add(Reply(ask("b"), Heard(), room))
    assert caught.value.retry_after_s
