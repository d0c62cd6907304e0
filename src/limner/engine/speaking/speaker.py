"""One model that answers in words, and the thread that it lives on.

Owns the model, its queue and what failures mean to whom; knows no asyncio and no catalogue.
"""

import logging
import threading
from typing import Self

from limner.engine.devices import Device, free_memory, prepare_thread, resolve
from limner.engine.failures import is_out_of_memory, let_go
from limner.engine.sample import EngineSettings, LoadedModel, ModelSource
from limner.engine.speaking.load import Voice, load_voice
from limner.engine.speaking.question import DType, Hearer, Question, Ticket
from limner.engine.speaking.reply import Reply
from limner.engine.speaking.waiting import WaitingRoom
from limner.errors import InternalError, InvalidRequest, LimnerError, NotReady

log = logging.getLogger(__name__)

MAX_WAITING = 256  # questions; the service lets fewer jobs begin
CLOSING_S = 30.0  # a forward pass cannot be interrupted; longer than this none is waited for


class Speaker:
    """Answers questions. Those that wait are answered together, up to ``max_batch`` of like kind in one pass; each
    streams its own text and ends on its own. All methods are safe from any thread."""

    def __init__(self, voice: Voice, info: LoadedModel, device: Device, *, max_batch: int = 8) -> None:
        self.info = info
        self._voice, self._device = voice, device
        self._room = WaitingRoom(limit=MAX_WAITING, max_batch=max_batch)
        self._working: list[Reply] = []
        self._thread = threading.Thread(target=self._run, name=f"limner-speaker-{info.id}", daemon=True)
        self._thread.start()

    @classmethod
    def load(
        cls, source: str, device: str = "auto", dtype: DType = "auto", *, max_batch: int = 8, threads: int = 0
    ) -> Self:
        """Load "embedded:NAME", a directory or a Hugging Face id. Blocks; may download. ``threads`` are the processor's
        that a model on it uses, 0 for all.

        Raises InvalidRequest for a source that is no model that answers in words, NotReady where a hub is out of reach.
        """
        where = resolve(EngineSettings(device=device, dtype=dtype, lanes=1, threads=threads))
        voice, info = load_voice(ModelSource(source, source), where)
        return cls(voice, info, where, max_batch=max_batch)

    @property
    def healthy(self) -> bool:
        """Whether it can answer."""
        return self._thread.is_alive()

    def submit(self, question: Question, hearer: Hearer) -> Ticket:
        """Ask. Raises InvalidRequest for what this model can never answer, Overloaded and NotReady as things stand."""
        self._voice.check(question)
        reply = Reply(question, hearer, self._room)
        self._room.add(reply)
        return reply

    def close(self) -> None:
        """Give up everything and end the thread. Blocks until the forward pass that runs is over."""
        for reply in self._room.close():
            reply.give_up()
        for reply in self._working:
            reply.cancel()
        self._thread.join(CLOSING_S)

    def _run(self) -> None:
        prepare_thread(self._device, self._device.threads)
        try:
            while batch := self._room.take():
                self._working = batch
                self._answer(batch)
                self._working = batch = []  # their pictures are not held until somebody asks again
        finally:
            for reply in (*self._room.close(), *self._working):
                reply.fail(NotReady("the language model has stopped; restart the server"))

    def _answer(self, batch: list[Reply]) -> None:
        """Answer ``batch``, in smaller ones where it cannot be done in one; every reply has ended afterwards."""
        for reply in batch:
            reply.begin()
            if reply.cancelled:
                reply.give_up()
        wanted = [reply for reply in batch if not reply.ended]
        if not wanted:
            return
        try:
            self._voice.answer(wanted)
        except Exception as error:  # noqa: BLE001 - the thread's root: what goes wrong in a model must not end the thread
            self._recover([reply for reply in wanted if not reply.ended], error)

    def _recover(self, left: list[Reply], error: Exception) -> None:
        """After a failure: those that have not spoken yet are tried again, in halves unless others have, so that one
        does not fail for another, and memory that is too small for all may do for some."""
        if is_out_of_memory(error):
            let_go(error)  # of all that the attempt had in memory
            free_memory()
        failed = [reply for reply in left if reply.spoke or len(left) == 1]
        for reply in failed:
            reply.fail(_told(error))
        again = [reply for reply in left if not reply.ended]
        half = 0 if failed else len(again) // 2
        self._answer(again[:half])
        self._answer(again[half:])


def _told(error: Exception) -> LimnerError:
    """What those who asked are told."""
    if isinstance(error, LimnerError):
        return error
    if is_out_of_memory(error):
        return InternalError("not enough memory for a question of this length with these pictures")
    log.error("a question could not be answered", exc_info=error)
    if isinstance(error, ValueError):  # how processors refuse what they cannot prepare
        lines = (str(error).strip() or type(error).__name__).splitlines()
        return InvalidRequest(f"the model cannot read this: {lines[0][:200]}", param="messages")
    return InternalError(f"the language model failed: {type(error).__name__}")
