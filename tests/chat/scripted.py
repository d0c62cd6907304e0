"""A language model that says what a test wrote, and an image server that makes files with ids and nothing else."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from limner.chat.agent import Rules, converse
from limner.chat.conversation import Conversation, Shown, Turn
from limner.chat.decision import Abilities, Decision
from limner.chat.language import Message, ToolCall, ToolSchema, Turned
from limner.chat.steps import Calling, Done, Made, Step
from limner.core import Operation, Tokens, Words

EVERYTHING = Abilities(frozenset(Operation), max_images=14)
Line: TypeAlias = Turned | Exception | float  # a turn, an error to raise, or seconds of silence


def call(tool: str, _id: str = "call00000", /, **arguments: Any) -> ToolCall:
    return ToolCall(_id, tool, arguments)


def calls(*made: ToolCall, text: str = "", tokens: Tokens | None = None) -> Turned:
    return Turned(text, made, tokens)


def words(text: str, tokens: Tokens | None = None) -> Turned:
    return Turned(text, (), tokens)


@dataclass
class ScriptedModel:
    """Says its ``lines`` one after another and the last one for ever."""

    lines: Sequence[Line]
    heard: list[list[Message]] = field(default_factory=list)
    offered: list[Sequence[ToolSchema]] = field(default_factory=list)
    cancelled: bool = False

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Turned:
        self.heard.append([dict(message) for message in messages])
        self.offered.append(tools)
        line = self.lines[min(len(self.heard), len(self.lines)) - 1]
        try:
            if isinstance(line, float):
                await asyncio.sleep(line)
                raise AssertionError("nobody should have waited for so long")
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(line, Exception):
            raise line
        return line

    @property
    def told_last(self) -> str:
        """What the newest message says."""
        return str(self.heard[-1][-1]["content"])


@dataclass
class Studio:
    """Runs decisions: the n-th picture is ``img_n``. ``errors`` are raised for those operations, once each; a
    description is ``seen``."""

    errors: dict[Operation, list[Exception]] = field(default_factory=dict)
    seen: str = "a red circle"
    delay_s: float = 0.0
    ran: list[Decision] = field(default_factory=list)
    cancelled: int = 0
    at_once: int = 0
    most_at_once: int = 0
    _files: int = 0

    async def run(self, decision: Decision) -> Made:
        self.ran.append(decision)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_once -= 1
        assert decision.operation is not None
        if waiting := self.errors.get(decision.operation):
            raise waiting.pop(0)
        if decision.operation is Operation.DESCRIBE:
            return Made(text=self.seen, tokens=Tokens(10, 5))
        count = decision.n or 1
        self._files += count
        return Made(tuple(f"img_{self._files - count + i + 1}" for i in range(count)))


def said(text: str, *sources: str, role: str = "user", earlier: Conversation | None = None) -> Conversation:
    """A conversation with one more turn."""
    turns = () if earlier is None else earlier.turns
    assert role in ("user", "assistant", "system", "tool")
    pictures = tuple(Shown(source, role, f"messages[{len(turns)}]") for source in sources)  # type: ignore[arg-type]
    return Conversation((*turns, Turn(role, text, pictures)))  # type: ignore[arg-type]


def by_rules(conversation: Conversation) -> Decision:
    return Decision(Operation.GENERATE, conversation.asked.text, reason="plain rules")


async def outcome(
    conversation: Conversation,
    model: ScriptedModel,
    studio: Studio | None = None,
    *,
    rules: Mapping[str, Any] | None = None,
    fallback: Callable[[Conversation], Decision] = by_rules,
) -> tuple[list[Step], Done]:
    """All steps, and the last one."""
    studio = studio or Studio()
    given = Rules(**{"abilities": EVERYTHING, **(rules or {})})
    steps = [step async for step in converse(conversation, model, studio.run, given, fallback=fallback)]
    done = steps[-1]
    assert isinstance(done, Done)
    assert done.text == "".join(step.text for step in steps if isinstance(step, Words))
    return steps, done


def called(steps: Sequence[Step]) -> list[Operation | None]:
    return [step.decision.operation for step in steps if isinstance(step, Calling)]
