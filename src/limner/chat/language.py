"""What the agent and the prompt rewriter ask of a language model, wherever it runs.

Owns the seam and its values. Messages and tools have the shape of OpenAI's /chat/completions, which servers and chat
templates alike understand; nothing here reads or sends them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from limner.core import Tokens

Message: TypeAlias = Mapping[str, Any]
ToolSchema: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that a model asks for. ``problem`` says what is wrong with one that cannot be read; its ``name`` and
    ``arguments`` are then what could be, "" and {} if nothing."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Turned:
    """A model's turn: words, calls, or both. ``message`` is how its server wants the turn repeated to it; None is the
    plain form."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    tokens: Tokens | None = None
    message: Message | None = None

    def repeated(self) -> Message:
        """The turn as a message of the conversation that goes on after it."""
        if self.message is not None:
            return self.message
        plain: dict[str, Any] = {"role": "assistant", "content": self.text}
        return {**plain, "tool_calls": [_repeated(call) for call in self.calls]} if self.calls else plain


class LanguageModel(Protocol):
    """Something that continues a conversation and may call tools."""

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Turned:
        """The next turn. Raises LimnerError when there is none to be had; cancelling it ends the work."""
        ...


def call_id(number: int) -> str:
    """An id for a call that came without one: nine letters and digits, which is what Mistral's templates demand."""
    return f"call{number:05d}"


def calls_in(messages: Sequence[Message]) -> int:
    """How many calls the messages repeat, from which the next ones are counted on."""
    return sum(len(message.get("tool_calls", ())) for message in messages)


def names_of(tools: Sequence[ToolSchema]) -> tuple[str, ...]:
    """What the tools are called."""
    return tuple(str(tool["function"]["name"]) for tool in tools)


def _repeated(call: ToolCall) -> Message:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
