"""A language model on this machine: its raw text read into a turn, our messages put as its chat template takes them.

Knows neither tensors nor templates; who runs the model is a callable.
"""

import json
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, Protocol

from limner.chat.language import Message, ToolSchema, Turned, calls_in, names_of
from limner.chat.language_raw import read_turn


class Chat(Protocol):
    """Whoever runs the model: the raw text of one turn of the assistant, made with the model's own chat template."""

    def __call__(
        self, model: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, *, max_tokens: int
    ) -> Awaitable[str]: ...


class LocalLanguageModel:
    """``model`` as ``chat`` runs it, at most ``max_tokens`` a turn."""

    def __init__(self, chat: Chat, model: str, *, max_tokens: int = 1024) -> None:
        self._chat = chat
        self._model = model
        self._max_tokens = max_tokens

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Turned:
        """The next turn; what it took in tokens is not known. Raises what ``chat`` raises."""
        schemas = [dict(tool) for tool in tools] or None
        raw = await self._chat(self._model, list(for_template(messages)), schemas, max_tokens=self._max_tokens)
        return read_turn(raw, names_of(tools), calls_before=calls_in(messages))


def for_template(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """The messages with each call followed by its result, since some templates take one call a turn, and with
    arguments as objects, which templates write as JSON themselves."""
    results = {message["tool_call_id"]: message for message in messages if message["role"] == "tool"}
    for message in messages:
        if message["role"] == "tool":
            continue
        content = message["content"]
        for call in message.get("tool_calls", ()):
            yield {"role": "assistant", "content": content, "tool_calls": [_for_template(call)]}
            yield dict(results[call["id"]])
            content = ""  # said once
        if not message.get("tool_calls"):
            yield dict(message)


def _for_template(call: Message) -> Message:
    function = call["function"]
    return {**call, "function": {**function, "arguments": json.loads(function["arguments"])}}
