"""The fields of ``/v1/chat/completions``: OpenAI's, and what OpenRouter, RouteLLM and vLLM-Omni add to them.

Owns their types, which of them a server that draws has no use for, and sorting the rest into what is to be drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from limner.api.chat_forms import Form, Hints, ReplyForm, Urls, chosen
from limner.api.chat_messages import Conversation, Shown, read_messages, url_of
from limner.api.drawing import merged
from limner.api.openai_fields import flatten
from limner.api.validation import checked_fields
from limner.catalogue.spec import ModelSpec
from limner.catalogue.values import shown
from limner.core import Warning
from limner.errors import InvalidRequest

MODALITIES = ("text", "image")
# Fields of chat clients that say how words are to be made, or how a provider is to be found: never an error, as their
# clients send them with everything, but always told where they asked for something.
WITHOUT_EFFECT = frozenset(
    {
        "audio", "chat_id", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_tokens",
        "max_completion_tokens", "metadata", "min_p", "models", "parallel_tool_calls", "plugins", "prediction",
        "presence_penalty", "prompt_cache_key", "prompt_cache_retention", "provider", "reasoning", "reasoning_effort",
        "repetition_penalty", "response_format", "route", "safety_identifier", "service_tier", "session_id", "stop",
        "store", "structured_outputs", "temperature", "tool_choice", "tools", "top_a", "top_k", "top_logprobs", "top_p",
        "trace", "transforms", "usage", "verbosity", "web_search_options",
    }
)  # fmt: skip
ASKS_FOR_NOTHING: Mapping[str, tuple[object, ...]] = {
    "response_format": ({"type": "text"},),
    "usage": ({"include": True},),  # it always comes
    "tool_choice": ("auto", "none"),
}
REFERENCES, MASK, PROMPT = "image_prompt", "mask", "prompt"


class StreamOptions(BaseModel):
    """OpenAI's; what else it may hold only concerns words."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    include_usage: bool | None = None


class ChatFields(BaseModel):
    """What stands at the top of the body beside the messages. None and absent mean the same."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str | None = None
    modalities: list[Literal["text", "image"]] | None = None
    image_config: dict[str, Any] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    reply_form: Form | None = None
    reply_urls: Urls | None = None


@dataclass(frozen=True, slots=True)
class ChatAsked:
    """A chat request taken apart. ``given`` are the fields that say what to draw, flat; ``references`` the pictures
    that stand outside the messages, ``prompt`` the words that do."""

    fields: ChatFields
    conversation: Conversation
    given: Mapping[str, Any]
    form: ReplyForm
    prompt: str | None
    references: tuple[Shown, ...]
    mask: tuple[str, str] | None
    warnings: tuple[Warning, ...]


def read_chat(body: Mapping[str, Any], query: Mapping[str, str], *, at_openrouters: bool) -> ChatAsked:
    """Check a body. ``query`` may say ``reply_form`` and ``reply_urls`` too, for clients that cannot add fields.

    Raises InvalidRequest, MissingParameter. Reads megabytes of text: not for the event loop.
    """
    top = flatten(body)
    messages = top.pop("messages", None)
    conversation = read_messages(messages)
    wishes = {name: query[name] for name in ("reply_form", "reply_urls") if name in query}
    fields = checked_fields(ChatFields, {**wishes, **top})
    extra = dict(fields.model_extra or {})
    warnings = _dropped(extra)
    given = merged(("the body", extra), ("image_config", fields.image_config or {}))
    prompt = _prompt(given.pop(PROMPT, None))
    references = _references(given.pop(REFERENCES, None))
    mask = given.pop(MASK, None)
    in_parts = isinstance(messages[-1].get("content"), list)
    hints = Hints(fields.modalities, fields.image_config, set(given), in_parts, at_openrouters)
    return ChatAsked(
        fields=fields,
        conversation=conversation,
        given=given,
        form=chosen(hints, fields.reply_form, fields.reply_urls),
        prompt=prompt,
        references=references,
        mask=None if mask is None else (MASK, url_of(mask, MASK)),
        warnings=(*warnings, *_unused_words(conversation)),
    )


def outside(source: str, param: str) -> Shown:
    """A picture of the user's that stands in no message."""
    return Shown(source, -1, "user", param)


def require_pictures_wanted(fields: ChatFields, spec: ModelSpec) -> None:
    """Return when the reply is to have pictures: ``modalities`` says so, or is absent, as by clients that name a model
    which does nothing else. Raises InvalidRequest saying what is to be asked for."""
    if fields.modalities is None or "image" in fields.modalities:
        return
    raise InvalidRequest(
        f"Invalid value for 'modalities': {shown(fields.modalities)}. {spec.id} draws here and answers in no words: "
        "'modalities' must contain 'image', as in ['image', 'text']",
        param="modalities",
    )


def _dropped(extra: dict[str, Any]) -> tuple[Warning, ...]:
    """Take out the fields WITHOUT_EFFECT, and say so of those that asked for something."""
    taken = {name: extra.pop(name) for name in sorted(WITHOUT_EFFECT.intersection(extra))}
    return tuple(
        Warning(name, "ignored", f"{name!r} has no effect: this server draws")
        for name, value in taken.items()
        if value not in ASKS_FOR_NOTHING.get(name, ()) and value not in (False, "", [], {})
    )


def _unused_words(conversation: Conversation) -> tuple[Warning, ...]:
    if any(turn.role == "system" and turn.text.strip() for turn in conversation.turns):
        return (Warning("messages", "ignored", "system messages have no effect: the user's last one is the prompt"),)
    return ()


def _prompt(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidRequest(f"Invalid value for 'prompt': {shown(value)}. Allowed: text", param=PROMPT)


def _references(value: object) -> tuple[Shown, ...]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(outside(url_of(one, REFERENCES), REFERENCES) for one in values)
