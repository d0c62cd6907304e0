"""Which form of reply a request gets."""

from collections.abc import Collection
from typing import Any

import pytest

from limner.api.chat.forms import Form, Hints, ReplyForm, Urls, chosen, expected

ROUTELLM = {"num_images": 1}
OPENROUTER = {"aspect_ratio": "16:9", "image_size": "2K"}


def hints(
    modalities: Collection[str] | None = None,
    config: dict[str, Any] | None = None,
    fields: Collection[str] = (),
    *,
    in_parts: bool = False,
    at_openrouters: bool = False,
) -> Hints:
    return Hints(modalities, config, fields, in_parts, at_openrouters)


@pytest.mark.parametrize(
    ("sender", "request_", "form", "urls"),
    [
        ("protoBanana, chat clients", hints(), "markdown", "data"),
        ("protoBanana", hints(fields={"seed", "negative_prompt"}), "markdown", "data"),
        ("protoBanana with references", hints(in_parts=True), "markdown", "data"),
        ("vLLM-Omni", hints(fields={"num_inference_steps", "seed"}), "parts", "data"),
        ("vLLM-Omni", hints(fields={"height", "width"}), "parts", "data"),
        ("vLLM-Omni's ComfyUI nodes", hints(["image"], in_parts=True), "parts", "data"),
        ("vLLM-Omni's ComfyUI nodes", hints(["image"], fields={"num_inference_steps"}), "parts", "data"),
        ("RouteLLM", hints(["image"], ROUTELLM), "images", "link"),
        ("RouteLLM with references", hints(["image"], ROUTELLM, in_parts=True), "images", "link"),
        ("RouteLLM", hints(["image"], {**OPENROUTER, **ROUTELLM}), "images", "link"),
        ("OpenRouter", hints(["image", "text"]), "images", "data"),
        ("OpenRouter", hints(["text", "image"], OPENROUTER), "images", "data"),
        ("OpenRouter, models without words", hints(["image"]), "images", "data"),
        ("OpenRouter, models without words", hints(["image"], OPENROUTER), "images", "data"),
        ("OpenRouter's own path", hints(at_openrouters=True), "images", "data"),
        ("OpenRouter's own path", hints(["image"], ROUTELLM, at_openrouters=True), "images", "data"),
    ],
)
def test_the_sender_gets_what_it_looks_for(sender: str, request_: Hints, form: Form, urls: Urls) -> None:
    assert expected(request_) == ReplyForm(form, urls), sender


def test_what_is_said_outright_counts() -> None:
    assert chosen(hints(["image"], ROUTELLM), "parts", None) == ReplyForm("parts", "link")
    assert chosen(hints(["image"], ROUTELLM), None, "data") == ReplyForm("images", "data")
    assert chosen(hints(), "images", "link") == ReplyForm("images", "link")
    assert chosen(hints(), None, None) == ReplyForm("markdown", "data")
