"""The fields of ``/v1/chat/completions``: OpenAI's, and what OpenRouter, RouteLLM and vLLM-Omni add to them.

Owns their types, which of them a server that draws has no use for, and sorting the rest into what is to be drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from limner.api.chat.forms import OPENROUTER_CONFIG, Form, Hints, ReplyForm, Urls, chosen
from limner.api.chat.messages import read_messages
from limner.api.drawing import Drawing, merged, settle, settle_spoken
from limner.api.openai.fields import flatten
from limner.api.shapes import tier_in_words_of
from limner.api.validation import checked_fields
from limner.catalogue.spec import ModelSpec
from limner.catalogue.values import shown
from limner.chat import Conversation
from limner.core import Warning
from limner.errors import InvalidRequest

# Fields of chat clients that say how words are to be made, or how a provider is to be found: never an error, as their
# clients send them with everything, but always told where they asked for something.
WITHOUT_EFFECT = frozenset(
    {
        "audio", "chat_id", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
        "metadata", "min_p", "models", "parallel_tool_calls", "plugins", "prediction", "presence_penalty",
        "prompt_cache_key", "prompt_cache_retention", "provider", "reasoning", "reasoning_effort",
        "repetition_penalty", "response_format", "route", "safety_identifier", "service_tier", "session_id",
        "stop", "store", "structured_outputs", "tool_choice", "tools", "top_a", "top_k", "top_logprobs",
        "trace", "transforms", "usage", "verbosity", "web_search_options",
    }
)  # fmt: skip
# Fields that say how words are to be made: for a model that answers in words, and without effect for one that draws.
FOR_WORDS: Mapping[str, str] = {
    "max_completion_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
}
ASKS_FOR_NOTHING: Mapping[str, tuple[object, ...]] = {
    "response_format": ({"type": "text"},),
    "usage": ({"include": True},),  # it always comes
    "tool_choice": ("auto", "none"),
}
PROMPT, REWRITE = "prompt", "rewrite_prompt"


class StreamOptions(BaseModel):
    """OpenAI's; what else it may hold only concerns words."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    include_usage: bool | None = None


class ChatFields(BaseModel):
    """What stands at the top of the body beside the messages. None and absent mean the same."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str | None = None
    modalities: list[Literal["text", "image"]] | None = Field(None, min_length=1)
    image_config: dict[str, Any] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    reply_form: Form | None = None
    reply_urls: Urls | None = None
    partial_images: int | None = Field(None, ge=0, le=3)


@dataclass(frozen=True, slots=True)
class ChatAsked:
    """A chat request taken apart. ``given`` are the fields that say what to draw, flat, pictures among them;
    ``prompt`` are words that stand outside the messages; ``for_words`` says how an answer in words is made."""

    fields: ChatFields
    conversation: Conversation
    given: Mapping[str, Any]
    prompt: str | None
    form: ReplyForm
    warnings: tuple[Warning, ...]
    for_words: Mapping[str, Any]

    @property
    def previews(self) -> int:
        """How many partial pictures are sent; none where they could not be told from the whole one."""
        streams = bool(self.fields.stream) and self.form.form != "markdown"
        return (self.fields.partial_images or 0) if streams else 0


def read_chat(body: Mapping[str, Any], wishes: Mapping[str, str], *, at_openrouters: bool) -> ChatAsked:
    """Check a body. ``wishes`` are the ``reply_form`` and ``reply_urls`` of a request that says nothing of them.

    Raises InvalidRequest, MissingParameter. Reads megabytes of text: not for the event loop.
    """
    top = flatten(body)
    messages = top.pop("messages", None)
    conversation = read_messages(messages)
    unsaid = {name: value for name, value in wishes.items() if top.get(name) is None}
    fields = checked_fields(ChatFields, {**top, **unsaid})
    extra = dict(fields.model_extra or {})
    warnings = _dropped(extra)
    if fields.partial_images and not fields.stream:
        warnings += (Warning("partial_images", "ignored", "'partial_images' has no effect without 'stream'"),)
    for_words = {name: extra.pop(name) for name in FOR_WORDS if name in extra}
    given = merged(("the body", extra), ("image_config", fields.image_config or {}))
    prompt = _prompt(given.pop(PROMPT, None))
    in_parts = isinstance(messages[-1].get("content"), list)
    hints = Hints(fields.modalities, fields.image_config, set(given), in_parts, at_openrouters)
    form = chosen(hints, fields.reply_form, fields.reply_urls)
    if fields.partial_images and fields.stream and form.form == "markdown":
        message = "'partial_images' has no effect: in Markdown a partial picture could not be told from a whole one"
        warnings += (Warning("partial_images", "ignored", message),)
    return ChatAsked(
        fields=fields,
        conversation=conversation,
        given=given,
        prompt=prompt,
        form=form,
        warnings=warnings,
        for_words=for_words,
    )


def settle_chat(asked: ChatAsked, given: Mapping[str, Any], spec: ModelSpec) -> tuple[Drawing, tuple[Warning, ...]]:
    """`settle`, by the rules of whoever sends such a request: RouteLLM's tables are strict, OpenRouter has one word
    for all models' tiers. Raises InvalidRequest."""
    config = asked.fields.image_config
    fields, names = dict(given), dict[str, str]()
    warnings: tuple[Warning, ...] = ()
    if config is None or OPENROUTER_CONFIG.issuperset(config):
        fields, names = tier_in_words_of(fields, spec)
    elif REWRITE in fields and REWRITE not in spec.params and not spec.is_complete:
        warnings = _not_rewritten(fields.pop(REWRITE))
    drawing = settle(fields, spec, tolerated=config is None, by_table=config or ())
    return replace(drawing, names={**drawing.names, **names}), warnings


def settle_words(asked: ChatAsked, given: Mapping[str, Any], spec: ModelSpec) -> tuple[Drawing, tuple[Warning, ...]]:
    """How an answer in words is made. What is said of pictures has no effect on it. Raises InvalidRequest."""
    own: dict[str, Any] = {}
    for name, ours in FOR_WORDS.items():
        if asked.for_words.get(name) is not None:
            own.setdefault(ours, asked.for_words[name])
    return settle_spoken(given, own, spec)


def _not_rewritten(value: object) -> tuple[Warning, ...]:
    if not isinstance(value, bool):
        raise InvalidRequest(f"Invalid value for {REWRITE!r}: {shown(value)}. Allowed: true or false", param=REWRITE)
    message = f"{REWRITE!r} has no effect: the prompt is drawn as it is"
    return (Warning(REWRITE, "ignored", message),) if value else ()


def _dropped(extra: dict[str, Any]) -> tuple[Warning, ...]:
    """Take out the fields WITHOUT_EFFECT, and say so of those that asked for something."""
    taken = {name: extra.pop(name) for name in sorted(WITHOUT_EFFECT.intersection(extra))}
    return tuple(
        Warning(name, "ignored", f"{name!r} has no effect: this server draws")
        for name, value in taken.items()
        if value is not False and value not in ("", [], {}, *ASKS_FOR_NOTHING.get(name, ()))
    )


def unspoken(asked: ChatAsked) -> tuple[Warning, ...]:
    """What a request says about words, to a model that draws."""
    given = tuple(
        Warning(name, "ignored", f"{name!r} has no effect: the model draws")
        for name, value in asked.for_words.items()
        if value is not None
    )
    return (*given, *_unused_words(asked.conversation))


def _unused_words(conversation: Conversation) -> tuple[Warning, ...]:
    if any(turn.role == "system" and turn.text.strip() for turn in conversation.turns):
        return (Warning("messages", "ignored", "system messages have no effect: the user's last one is the prompt"),)
    return ()


def _prompt(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidRequest(f"Invalid value for 'prompt': {shown(value)}. Allowed: text", param=PROMPT)
