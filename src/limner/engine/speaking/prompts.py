"""From messages to the text that a chat model reads: its own template, and user's words kept from posing as markers.

Owns that rendering; a tokenizer is a foreign value here.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from limner.engine.speaking.question import Message, Question
from limner.errors import InvalidRequest


class Template:
    """A model's chat template. ``in_parts``: content is a list of parts, as templates with pictures have it."""

    def __init__(self, tokenizer: Any, source: str, *, in_parts: bool) -> None:
        self._tokenizer, self._source, self._in_parts = tokenizer, source, in_parts
        specials = sorted(map(str, tokenizer.all_special_tokens), key=len, reverse=True)
        specials += [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        self._markers = re.compile("|".join(map(re.escape, dict.fromkeys(filter(_is_marker, specials)))) or "(?!)")

    def render(self, question: Question) -> str:
        """The prompt. Raises InvalidRequest where the template takes no such conversation."""
        messages = [self._message(message) for message in question.messages]
        try:
            return self._rendered(messages, question.tools)
        except TemplateError as error:
            folded = _without_system(messages)
            if folded is None:
                raise _refused(error) from error
        try:
            return self._rendered(folded, question.tools)
        except TemplateError as error:
            raise _refused(error) from error

    def _rendered(self, messages: Sequence[Message], tools: Sequence[Message]) -> str:
        text = self._tokenizer.apply_chat_template(
            list(messages),
            chat_template=self._source,
            tools=list(tools) or None,
            add_generation_prompt=True,
            tokenize=False,
            enable_thinking=False,  # of models that can do without: only the answer is shown
        )
        return str(text)

    def _message(self, message: Message) -> dict[str, Any]:
        content = message.get("content") or ""
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        parts = [{**part, "text": self.harmless(part["text"])} if "text" in part else dict(part) for part in parts]
        calls = [_call(call) for call in message.get("tool_calls") or ()]
        words = parts if self._in_parts else "\n".join(part["text"] for part in parts if "text" in part)
        return {**message, "content": words, **({"tool_calls": calls} if calls else {})}

    def harmless(self, text: str) -> str:
        """``text`` with its markers broken, so that nobody's words end a turn or stand for a picture."""
        return self._markers.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


def source_of(owner: Any, *, with_tools: bool = False) -> str | None:
    """The chat template of a processor or tokenizer; of several by name, the one that suits."""
    template = getattr(owner, "chat_template", None)
    if isinstance(template, dict):
        template = (template.get("tool_use") if with_tools else None) or template.get("default")
    return template if isinstance(template, str) else None


def _is_marker(token: str) -> bool:
    """Whether a special token is one that people do not write for its own sake."""
    return len(token) > 2 and not token.isalnum()


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call of a tool with its arguments as an object: clients write them as JSON text, templates read the object."""
    function = dict(call.get("function", {}))
    if isinstance(function.get("arguments"), str):
        try:
            function["arguments"] = json.loads(function["arguments"] or "{}")
        except (ValueError, RecursionError) as error:
            raise InvalidRequest("the arguments of a tool call are not JSON", param="messages") from error
    return {**call, "function": function}


def _without_system(messages: Sequence[Message]) -> list[Message] | None:
    """The same with the system's words before the first user's, for templates that know no system; None without."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return None
    system, first, *rest = messages
    if isinstance(first["content"], str):
        content: Any = f"{system['content']}\n\n{first['content']}"
    else:
        content = [*system["content"], *first["content"]]
    return [{**first, "content": content}, *rest]


def _refused(error: Exception) -> InvalidRequest:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return InvalidRequest(f"the model's chat template does not take this conversation: {reason}", param="messages")
