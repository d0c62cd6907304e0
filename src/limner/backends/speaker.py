"""Language models of this machine as a backend: requests become questions, and what their threads say becomes events.

The module where asyncio and the threads of speakers meet. Knows nothing of wires, and of models only what their
catalogue entry says.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from limner.backends.dialogue import dialogue, looked_at, spoken
from limner.catalogue.spec import SPEAKER, ModelSpec
from limner.core import Event, Finished, ParamValue, Request, Warning, Words
from limner.engine import LoadedModel
from limner.engine.speaking import Answer, DType, Manner, Message, Question, Spell
from limner.errors import InvalidRequest, LimnerError, NotReady

if TYPE_CHECKING:
    from limner.engine.speaking import Speaker


class SpeakerBackend:
    """Answers on this machine. Every model that is loaded has a speaker, and so a thread, of its own.

    ``spec_of`` answers the catalogue's entry for a served model's id; ``device`` and ``dtype`` are as the engine's
    settings have them; up to ``max_batch`` questions to one model are answered in one pass.
    """

    def __init__(
        self,
        spec_of: Callable[[str], ModelSpec],
        *,
        device: str = "auto",
        dtype: DType = "auto",
        max_batch: int = 8,
    ) -> None:
        self._spec_of = spec_of
        self._device, self._dtype, self._max_batch = device, dtype, max_batch
        self._speakers: dict[str, Speaker] = {}
        self._loading = asyncio.Lock()
        self._closed = False

    @property
    def healthy(self) -> bool:
        """Whether every model that was loaded can answer."""
        return not self._closed and all(speaker.healthy for speaker in self._speakers.values())

    async def load(self, spec: ModelSpec) -> LoadedModel:
        """Load a model, one at a time, once. Raises LimnerError with the reason it cannot be served."""
        async with self._loading:
            if self._closed:
                raise NotReady("the server is shutting down")
            if spec.id not in self._speakers:
                self._speakers[spec.id] = await asyncio.to_thread(self._load, spec)
            return self._speakers[spec.id].info

    def _load(self, spec: ModelSpec) -> "Speaker":
        from limner.engine.speaking import Speaker

        route = next((route for route in spec.routes if route.backend == SPEAKER), None)
        if route is None:
            raise InvalidRequest(f"{spec.id} is no model that answers in words on this machine", param="model")
        return Speaker.load(route.source, self._device, self._dtype, max_batch=self._max_batch)

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Words as they come, then Finished with all of them; closing the iterator cancels.

        Its timings name reading the question "encode" and writing the answer "decode": this answer's share of device
        time, beside "queue" and "total".
        """
        speaker = self._require(request.model)
        question = await asyncio.to_thread(_question, request)
        async with contextlib.aclosing(_conversation(speaker, question)) as heard:
            async for said in heard:
                yield Words(said) if isinstance(said, str) else _finished(said, speaker.info)

    async def chat(
        self,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        *,
        max_tokens: int,
    ) -> str:
        """The next turn of a conversation in OpenAI's form, as the model writes it: its calls of ``tools`` are in its
        own notation, markers included. Cancelling the task cancels the work. Raises LimnerError."""
        manner = Manner(max_tokens=max_tokens)
        question = Question(tuple(messages), manner=manner, tools=tuple(tools or ()), verbatim=True)
        async with contextlib.aclosing(_conversation(self._require(model), question)) as heard:
            async for said in heard:
                if isinstance(said, Answer):
                    return said.text
        raise AssertionError("a conversation ends with an answer or raises")

    def _require(self, model: str) -> "Speaker":
        speaker = self._speakers.get(self._spec_of(model).id)
        if speaker is None:
            raise NotReady(f"the model {model!r} is not loaded", param="model")
        if self._closed or not speaker.healthy:
            raise NotReady("the language model has stopped; restart the server")
        return speaker

    async def aclose(self) -> None:
        """Cancel what runs and free threads and memory."""
        self._closed = True
        async with self._loading:
            await asyncio.gather(*(asyncio.to_thread(speaker.close) for speaker in self._speakers.values()))
            self._speakers.clear()


async def _conversation(speaker: "Speaker", question: Question) -> AsyncGenerator[str | Answer, None]:
    """Pieces of the answer, then the answer. Leaving early cancels."""
    inbox = _Inbox(asyncio.get_running_loop())
    ticket = speaker.submit(question, inbox)
    try:
        while True:
            said = await inbox.next()
            yield said
            if isinstance(said, Answer):
                return
    finally:
        ticket.cancel()


class _Inbox:
    """What a speaker's thread has said and the iterator has not yet taken; read on the event loop.

    Bounded: pieces that wait are one piece.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pieces: deque[str] = deque()
        self._end: Answer | LimnerError | None = None
        self._news = asyncio.Event()

    def said(self, text: str) -> None:
        self._pieces.append(text)
        self._tell()

    def finished(self, answer: Answer) -> None:
        self._end = answer
        self._tell()

    def failed(self, error: LimnerError) -> None:
        self._end = error
        self._tell()

    def cancelled(self) -> None:
        self.failed(NotReady("the language model gave this answer up because it is closing"))

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # of a loop that has closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._news.set)

    async def next(self) -> str | Answer:
        """More text, or the end of it; raises the failure."""
        while True:
            self._news.clear()
            end = self._end  # looked at first: whatever was said before it is among the pieces
            if self._pieces:
                return "".join(self._pieces.popleft() for _ in range(len(self._pieces)))
            if isinstance(end, LimnerError):
                raise end
            if end is not None:
                return end
            await self._news.wait()


def _question(request: Request) -> Question:
    """Prepares pictures: not for the event loop."""
    *before, asked = dialogue(request)
    places = [{"type": "image"} for _ in request.inputs]
    messages: list[Message] = [{"role": said.role, "content": said.text} for said in before]
    question = spoken(request)
    earlier = asked.text.removesuffix(question)  # what the user said before it and nobody answered
    texts = [{"type": "text", "text": text} for text in (earlier, question) if text]
    messages.append({"role": asked.role, "content": [*places, *texts]})
    return Question(tuple(messages), tuple(map(looked_at, request.inputs)), _manner(request))


def _manner(request: Request) -> Manner:
    usual = Manner()
    return Manner(
        max_tokens=int(_number(request.params.get("max_tokens"), usual.max_tokens)),
        temperature=_number(request.params.get("temperature"), usual.temperature),
        top_p=_number(request.params.get("top_p"), usual.top_p),
        seed=request.seed or usual.seed,
    )


def _number(value: ParamValue, default: float) -> float:
    """A parameter's value: the resolver has seen to its type."""
    assert value is None or isinstance(value, int | float), value
    return default if value is None else value


def _finished(answer: Answer, info: LoadedModel) -> Finished:
    message = f"the answer was cut off after {answer.tokens.written} tokens, the most that it may have"
    warnings = (Warning("max_tokens", "adjusted", message),) if answer.cut else ()
    return Finished((), info.revision, _timings(answer.spell), warnings, answer.text, answer.tokens)


def _timings(spell: Spell) -> Mapping[str, float]:
    seconds = {
        "queue": spell.queue_s,
        "encode": spell.encode_s,
        "decode": spell.decode_s,
        "total": spell.total_s,
    }
    return {name: round(value, 6) for name, value in seconds.items()}
