"""The fields of ``/v1/responses`` and of its image_generation tool.

Owns their types, which of them a server that draws has no use for, and sorting the rest into what is to be drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from limner.api.chat.messages import url_of
from limner.api.drawing import merged
from limner.api.openai.fields import flatten, unstreamed
from limner.api.validation import checked_fields
from limner.catalogue.values import shown
from limner.core import Warning
from limner.errors import InvalidRequest, MissingParameter

TOOL = "image_generation"
FOR_WORDS: Mapping[str, str] = {"max_output_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p"}
WITHOUT_EFFECT = frozenset(
    {
        "access_programs", "background_options", "context_management", "image", "include",
        "max_tool_calls", "moderation", "parallel_tool_calls", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier",
        "stream_options", "text", "top_logprobs", "truncation",
    }
)  # fmt: skip
ASKS_FOR_NOTHING: Mapping[str, tuple[object, ...]] = {
    "parallel_tool_calls": (True,),
    "text": ({"format": {"type": "text"}},),
    "truncation": ("disabled",),
    "service_tier": ("auto", "default"),
}


class ResponseFields(BaseModel):
    """What stands at the top of the body beside the input. None and absent mean the same."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    stream: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None

    @property
    def keeps_input(self) -> bool:
        """Whether the pictures that come with it stay for the turns after it."""
        return self.store is not False


class ToolFields(BaseModel):
    """The tool's own fields; the rest says what to draw."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal["image_generation"]
    model: str | None = None
    action: Literal["auto", "generate", "edit"] | None = None
    input_image_mask: dict[str, Any] | None = None
    partial_images: int | None = Field(None, ge=0, le=3)


@dataclass(frozen=True, slots=True)
class ResponseAsked:
    """A Responses request taken apart. ``given`` are the fields that say what to draw, flat; ``echo`` is what the reply
    repeats, ``about_words`` says how an answer in words is made. Without the ``tool`` nothing is drawn."""

    fields: ResponseFields
    tool: ToolFields | None
    input: object
    given: Mapping[str, Any]
    mask: tuple[str, str] | None
    echo: Mapping[str, Any]
    warnings: tuple[Warning, ...]
    about_words: Mapping[str, Any]

    @property
    def model(self) -> str | None:
        """The name of the model that is to draw: the tool's, or else the one that calls it."""
        return (self.tool.model if self.tool else None) or self.fields.model

    @property
    def modalities(self) -> frozenset[str] | None:
        """What the reply may consist of; None: whatever fits."""
        if self.tool is None:
            return frozenset({"text"})
        choice = self.fields.tool_choice
        is_free = choice in (None, "auto") or (isinstance(choice, dict) and choice.get("mode") == "auto")
        return None if is_free and self.tool.action is None else frozenset({"image"})

    @property
    def partial_images(self) -> int:
        """How many partial pictures a stream has."""
        return (self.tool.partial_images or 0) if self.tool and self.fields.stream else 0


def read_response(body: Mapping[str, Any]) -> ResponseAsked:
    """Check a body but for its input, which is left as it is. Raises InvalidRequest, MissingParameter."""
    top = flatten(body)
    value = top.pop("input", None)
    fields = checked_fields(ResponseFields, top)
    extra = dict(fields.model_extra or {})
    position, others = _tool_of(fields.tools or [])
    where = "tools" if position is None else f"tools[{position}]"
    tool = None if position is None else checked_fields(ToolFields, _given(fields.tools, position), f"{where}.")
    _check_choice(fields.tool_choice)
    if fields.background and fields.stream:
        raise InvalidRequest("no stream comes from the background: drop 'stream' or 'background'", param="stream")
    about_words = {name: extra.pop(name) for name in (*FOR_WORDS, "instructions") if extra.get(name) is not None}
    previews = (tool.partial_images if tool else None, f"{where}.partial_images")
    warnings = (*_dropped(extra), *others, *_stored(fields), *unstreamed(*previews, stream=fields.stream))
    return ResponseAsked(
        fields=fields,
        tool=tool,
        input=value,
        given=merged(("the body", extra), (where, (tool and tool.model_extra) or {})),
        mask=_mask(tool.input_image_mask if tool else None, f"{where}.input_image_mask"),
        echo=_echo(fields, about_words),
        warnings=warnings,
        about_words=about_words,
    )


def _given(tools: list[dict[str, Any]] | None, position: int) -> dict[str, Any]:
    return {name: value for name, value in (tools or [])[position].items() if value is not None}


def unspoken(asked: ResponseAsked) -> tuple[Warning, ...]:
    """The fields about words, which have no effect on what is drawn."""
    return tuple(
        Warning(name, "ignored", f"{name!r} has no effect: the model draws")
        for name, value in sorted(asked.about_words.items())
        if value != ""
    )


def without_tool(model: str | None) -> MissingParameter:
    """The error for a request without the tool to a model that answers in no words."""
    return MissingParameter(
        f"Missing required parameter: 'tools' must contain {{'type': '{TOOL}'}}: {model or 'what is served here'} "
        "draws and answers in no words",
        param="tools",
    )


def _tool_of(tools: list[dict[str, Any]]) -> tuple[int | None, tuple[Warning, ...]]:
    """Where the one image_generation tool stands, if it does, and a warning about the others."""
    found = [index for index, tool in enumerate(tools) if tool.get("type") == TOOL]
    if len(found) > 1:
        raise InvalidRequest(f"'tools' has {TOOL} {len(found)} times; give it once", param="tools")
    position = found[0] if found else None
    if len(tools) == len(found):
        return position, ()
    return position, (Warning("tools", "ignored", f"tools other than {TOOL} have no effect here"),)


def _check_choice(choice: str | dict[str, Any] | None) -> None:
    if choice in (None, "auto", "required"):
        return
    if isinstance(choice, dict):
        tools = choice.get("tools")
        named = [choice, *(tool for tool in (tools if isinstance(tools, list) else ()) if isinstance(tool, dict))]
        if any(one.get("type") == TOOL for one in named):
            return
    raise InvalidRequest(
        f"Invalid value for 'tool_choice': {shown(choice)}. Allowed: 'auto', 'required', {{'type': '{TOOL}'}}",
        param="tool_choice",
    )


def _mask(value: dict[str, Any] | None, where: str) -> tuple[str, str] | None:
    if value is None:
        return None
    file_id = value.get("file_id")
    return where, file_id if isinstance(file_id, str) and file_id else url_of(value, where)


def _dropped(extra: dict[str, Any]) -> tuple[Warning, ...]:
    taken = {name: extra.pop(name) for name in sorted(WITHOUT_EFFECT.intersection(extra))}
    return tuple(
        Warning(name, "ignored", f"{name!r} has no effect: this server draws")
        for name, value in taken.items()
        if value not in ("", [], {}, *ASKS_FOR_NOTHING.get(name, ()))
    )


def _stored(fields: ResponseFields) -> tuple[Warning, ...]:
    message = "'store' is false: the pictures of the input are not kept; the response is, as every job is"
    return () if fields.keeps_input else (Warning("store", "adjusted", message),)


def _echo(fields: ResponseFields, about_words: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "instructions": None,
        **about_words,
        "metadata": fields.metadata or {},
        "previous_response_id": fields.previous_response_id,
        "store": fields.keeps_input,
        "tool_choice": fields.tool_choice or "auto",
        "tools": fields.tools or [],
        "user": fields.user,
    }
