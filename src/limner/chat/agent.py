"""A language model in charge of one turn of a conversation: it answers, asks back, or calls the operations as tools.

Owns the loop, its bounds and what follows when the model fails: plain rules where nothing was made yet, else what
there is. How a decision is run, and what runs the model, are callers' business.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TypeAlias

from limner.chat.agent_album import Album, without_brackets
from limner.chat.agent_calls import NO_MORE_CALLS, Attempt, Calls, Run, Trouble
from limner.chat.agent_tools import Toolbox
from limner.chat.agent_words import told
from limner.chat.conversation import Conversation
from limner.chat.decision import Abilities, Decision
from limner.chat.language import LanguageModel, Message, Turned
from limner.chat.steps import Calling, Done, Made, Step
from limner.core import Tokens, Warning, Words
from limner.errors import LimnerError, UpstreamFailed, UpstreamTimeout

logger = logging.getLogger(__name__)

Fallback: TypeAlias = Callable[[Conversation], Decision]


@dataclass(frozen=True, slots=True)
class Rules:
    """What an agent may do. ``max_rounds`` counts the turns in which it may call tools, ``max_calls`` those of one
    turn; a last turn for words may follow. ``total_timeout_s`` is for everything but a fallback."""

    abilities: Abilities
    max_rounds: int = 4
    max_calls: int = 4
    model_timeout_s: float = 60.0
    call_timeout_s: float = 180.0
    total_timeout_s: float = 600.0


def converse(
    conversation: Conversation,
    model: LanguageModel,
    run: Run,
    rules: Rules,
    *,
    fallback: Fallback,
) -> AsyncGenerator[Step, None]:
    """What ``model`` makes of the user's last turn, ended by one `Done`; closing the generator stops what runs.

    ``run`` does one decision, several at once where the model calls for several, and its LimnerErrors are told to the
    model. ``fallback`` decides where the model fails before anything was made. Raises MissingParameter when the user
    has said nothing and, where nothing was made, what neither of them can help: errors about who asks or the server,
    the end of the time, those of fallback's decision.
    """
    return _Agent(conversation, model, run, rules, fallback).steps()


class _Agent:
    def __init__(
        self,
        conversation: Conversation,
        model: LanguageModel,
        run: Run,
        rules: Rules,
        fallback: Fallback,
    ) -> None:
        self._conversation = conversation
        self._model = model
        self._rules = rules
        self._fallback = fallback
        self._ends_at = asyncio.get_running_loop().time() + rules.total_timeout_s
        self._album = Album(conversation)
        self._messages: list[Message] = told(conversation, self._album)
        toolbox = Toolbox(rules.abilities, self._album)
        self._schemas = toolbox.schemas()
        self._calls = Calls(toolbox, self._album, run, timeout_s=rules.call_timeout_s, ends_at=self._ends_at)
        self._said: list[str] = []
        self._last_words = ""
        self._unheard: list[str] = []  # what was seen in pictures since the model last spoke
        self._corrected = False
        self._rounds = 0
        self._tokens: Tokens | None = None
        self._warnings: dict[Warning, None] = {}

    async def steps(self) -> AsyncGenerator[Step, None]:
        while self._calls.trouble is None and (turned := await self._next_turn()) is not None:
            if self._corrects(turned):
                continue
            if turned.text:
                yield self._say(turned.text)
            if not turned.calls:
                break
            self._messages.append(turned.repeated())
            attempts = self._calls.judge(turned.calls, self._rules.max_calls)
            for attempt in attempts:
                if isinstance(attempt.wanted, Decision):
                    yield Calling(attempt.wanted)
            for made in await self._run_all(attempts):
                yield made
        rescue = self._rescue()
        if rescue is not None and rescue.operation is not None:
            yield Calling(rescue)
            yield self._counted(await self._rescued(rescue))
        if words := self._closing_words(rescue):
            yield self._say(words)
        yield self._done()

    async def _next_turn(self) -> Turned | None:
        """The model's next turn; None, and trouble, when there is none to go on with."""
        self._rounds += 1
        try:
            turned = await self._asked()
        except LimnerError as error:
            logger.warning("the language model failed in round %d: %s", self._rounds, error.message)
            self._calls.trouble = Trouble("model", error)
            return None
        self._tokens = _sum(self._tokens, turned.tokens)
        if turned.calls and self._rounds > self._rules.max_rounds:
            self._calls.trouble = self._out_of_rounds()
            return None
        return turned

    async def _asked(self) -> Turned:
        left_s = self._ends_at - asyncio.get_running_loop().time()
        limit_s = min(self._rules.model_timeout_s, max(left_s, 0.0))
        try:
            async with asyncio.timeout(limit_s):
                turned = await self._model.complete(self._messages, self._schemas)
        except TimeoutError as error:
            raise UpstreamTimeout(f"the language model did not answer within {limit_s:.3g} s") from error
        if not (turned.text or turned.calls or self._calls.made):
            raise UpstreamFailed("the language model answered with nothing")
        return turned

    def _out_of_rounds(self) -> Trouble:
        failure = self._calls.last_failure
        if failure is not None:
            return Trouble("call", failure)
        return Trouble("model", UpstreamFailed(f"the language model called tools for {self._rules.max_rounds} rounds"))

    def _corrects(self, turned: Turned) -> bool:
        """Whether the turn is sent back, once: its words show a picture that there is not."""
        missing = None if turned.calls else self._album.missing_in(turned.text)
        if missing is None or self._corrected or self._rounds > self._rules.max_rounds:
            return False
        self._corrected = True
        note = f"(There is no {missing}. A picture exists only when a tool has made it: call one, or answer without.)"
        self._messages += [turned.repeated(), {"role": "user", "content": note}]
        return True

    async def _run_all(self, attempts: list[Attempt]) -> list[Made]:
        outcomes = await self._calls.run_all(attempts)
        answers = [dict(answer) for answer in self._calls.answered(attempts, outcomes)]
        if self._rounds >= self._rules.max_rounds:
            answers[-1]["content"] += f"\n{NO_MORE_CALLS}"
        self._messages += answers
        return [self._counted(outcome) for outcome in outcomes if isinstance(outcome, Made)]

    def _counted(self, made: Made) -> Made:
        self._tokens = _sum(self._tokens, made.tokens)
        self._warnings |= dict.fromkeys(made.warnings)
        if made.text:
            self._unheard.append(made.text)
        return made

    def _rescue(self) -> Decision | None:
        """What plain rules decide instead of a model that failed before anything was made. Raises what none helps."""
        trouble = self._calls.trouble
        if trouble is None:
            return None
        if self._calls.made or trouble.blame == "call":
            self._warn(f"the agent stopped early: {trouble.error.message}")
            return None
        if trouble.blame == "nobody":
            raise trouble.error
        self._warn(f"plain rules have decided, since {trouble.error.message}")
        return self._fallback(self._conversation)

    async def _rescued(self, decision: Decision) -> Made:
        made = await self._calls.run_one(decision, self._rules.call_timeout_s)
        self._calls.keep(made)
        return made

    def _closing_words(self, rescue: Decision | None) -> str:
        """What is said when the model no longer does."""
        seen = "\n\n".join(self._unheard)
        trouble = self._calls.trouble
        if rescue is not None:
            return seen or rescue.reply or ""
        if trouble is None:
            return seen
        if not self._calls.made:
            return f"That did not work: {trouble.error.message}"
        note = f"I had to stop before the end: {trouble.error.message}"
        return "\n\n".join(filter(None, [seen, note, "This is what was made so far." if self._shown() else ""]))

    def _warn(self, message: str) -> None:
        self._warnings[Warning("messages", "adjusted", message)] = None

    def _say(self, text: str) -> Words:
        self._last_words = text
        self._unheard.clear()
        piece = ("\n\n" if self._said else "") + without_brackets(text)
        self._said.append(piece)
        return Words(piece)

    def _shown(self) -> tuple[str, ...]:
        return self._calls.to_show(self._last_words)

    def _done(self) -> Done:
        return Done("".join(self._said), self._shown(), self._tokens, self._rounds, tuple(self._warnings))


def _sum(one: Tokens | None, other: Tokens | None) -> Tokens | None:
    if one is None or other is None:
        return one or other
    return Tokens(one.read + other.read, one.written + other.written)
