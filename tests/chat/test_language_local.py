"""A local model behind a callable: its raw text in, our messages out as chat templates take them."""

from typing import Any

from limner.chat.agent import Rules, converse
from limner.chat.language import ToolCall, Turned
from limner.chat.language_local import LocalLanguageModel
from limner.chat.steps import Done
from tests.chat.scripted import EVERYTHING, Studio, by_rules, said

TOOL = {"type": "function", "function": {"name": "generate_image", "parameters": {}}}


class Speaker:
    """Stands in for whoever runs the model."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.heard: list[dict[str, Any]] = []

    async def chat(
        self, model: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, *, max_tokens: int
    ) -> str:
        self.heard.append({"model": model, "messages": messages, "tools": tools, "max_tokens": max_tokens})
        return self.answers.pop(0)


async def test_raw_text_becomes_a_turn() -> None:
    speaker = Speaker('<tool_call>{"name": "generate_image", "arguments": {"prompt": "a cat"}}</tool_call>')
    model = LocalLanguageModel(speaker.chat, "qwen", max_tokens=99)
    turned = await model.complete([{"role": "user", "content": "a cat"}], [TOOL])
    assert turned == Turned("", (ToolCall("call00000", "generate_image", {"prompt": "a cat"}),))
    assert speaker.heard == [
        {"model": "qwen", "messages": [{"role": "user", "content": "a cat"}], "tools": [TOOL], "max_tokens": 99}
    ]


async def test_without_tools_none_are_given() -> None:
    speaker = Speaker("A cat.")
    assert await LocalLanguageModel(speaker.chat, "qwen").complete([], ()) == Turned("A cat.")
    assert speaker.heard[0]["tools"] is None


async def test_each_call_is_followed_by_its_result_and_has_its_arguments_as_an_object() -> None:
    calls = (ToolCall("call00000", "cut", {"image": 1}), ToolCall("call00001", "draw", {"prompt": "é"}))
    messages = [
        {"role": "user", "content": "both"},
        Turned("At once.", calls).repeated(),
        {"role": "tool", "tool_call_id": "call00000", "name": "cut", "content": "one"},
        {"role": "tool", "tool_call_id": "call00001", "name": "draw", "content": "two"},
    ]
    speaker = Speaker("[TOOL_CALLS]generate_image[ARGS]{}")
    turned = await LocalLanguageModel(speaker.chat, "mistral").complete(messages, [TOOL])
    said = [(m["role"], m["content"], m.get("tool_calls")) for m in speaker.heard[0]["messages"]]

    def repeated(call_id: str, name: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}]

    assert said == [
        ("user", "both", None),
        ("assistant", "At once.", repeated("call00000", "cut", {"image": 1})),
        ("tool", "one", None),
        ("assistant", "", repeated("call00001", "draw", {"prompt": "é"})),
        ("tool", "two", None),
    ]
    assert turned.calls[0].id == "call00002"


async def test_it_serves_an_agent() -> None:
    speaker = Speaker(
        '<tool_call>{"name": "remove_background", "arguments": {"image": 1}}</tool_call>',
        "<tool_call>{broken</tool_call>",
        '<tool_call>{"name": "edit_image", "arguments": {"image": 2, "instruction": "a sunset behind"}}</tool_call>',
        "There it is.",
    )
    model, studio = LocalLanguageModel(speaker.chat, "qwen"), Studio()
    conversation = said("remove the background, then put a sunset behind", "data:photo")
    steps = [step async for step in converse(conversation, model, studio.run, Rules(EVERYTHING), fallback=by_rules)]
    assert steps[-1] == Done("There it is.", ("img_2",), None, 4)
    assert "cannot be read" in speaker.heard[2]["messages"][-1]["content"]
