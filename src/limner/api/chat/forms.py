"""How a chat reply carries its pictures: in which place of the message, and as links or as the pictures themselves.

Owns the choice, which follows the request unless the request, or the server's settings, say otherwise: clients of
several makers use one path and expect different things of it. Pure.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Form = Literal["images", "parts", "markdown"]
Urls = Literal["data", "link"]

# What a request of OpenRouter's may have in `image_config`; RouteLLM's has more, at least `num_images`.
OPENROUTER_CONFIG = frozenset({"aspect_ratio", "image_size"})
# Fields by which a request without modalities is known to be vLLM-Omni's.
SAMPLING = frozenset(
    {"width", "height", "num_inference_steps", "guidance_scale", "true_cfg_scale", "num_outputs_per_prompt"}
)


@dataclass(frozen=True, slots=True)
class ReplyForm:
    """``images``: content "" and the pictures in ``message.images``. ``parts``: content is a list of ``image_url``
    parts, and the pictures are in ``message.images`` too. ``markdown``: content is Markdown. ``urls`` says whether the
    pictures' addresses are ``data:`` URLs or signed links to this server."""

    form: Form
    urls: Urls


@dataclass(frozen=True, slots=True)
class Hints:
    """What a request shows of the client that sent it: its ``modalities``, ``image_config`` and other fields, whether
    its last message is a list of parts, and whether it came to OpenRouter's path."""

    modalities: Collection[str] | None
    config: Mapping[str, Any] | None
    fields: Collection[str]
    in_parts: bool
    at_openrouters: bool


def expected(hints: Hints) -> ReplyForm:
    """What the sender of such a request looks for."""
    if hints.at_openrouters:
        return ReplyForm("images", "data")
    if hints.modalities is None:
        return ReplyForm("parts" if SAMPLING.intersection(hints.fields) else "markdown", "data")
    if "text" in hints.modalities:
        return ReplyForm("images", "data")
    if hints.config is None:
        omni = hints.in_parts or SAMPLING.intersection(hints.fields)
        return ReplyForm("parts" if omni else "images", "data")
    return ReplyForm("images", "data" if OPENROUTER_CONFIG.issuperset(hints.config) else "link")


def chosen(hints: Hints, form: Form | None, urls: Urls | None) -> ReplyForm:
    """What is expected, but for what the request or else the server says."""
    guess = expected(hints)
    return ReplyForm(form or guess.form, urls or guess.urls)
