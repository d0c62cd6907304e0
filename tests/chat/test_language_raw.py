"""Turns as open models write them."""

import time
from typing import Any

import pytest

from limner.chat.language_raw import MAX_CALLS, read_turn

NAMES = ("generate_image", "remove_background")
CAT = ("generate_image", {"prompt": "a cat"})
CUT = ("remove_background", {"image": 1})


def made(raw: str) -> tuple[str, list[tuple[str, Any]]]:
    turned = read_turn(raw, NAMES)
    assert [call.problem for call in turned.calls] == [None] * len(turned.calls)
    return turned.text, [(call.name, call.arguments) for call in turned.calls]


@pytest.mark.parametrize(
    ("raw", "text", "calls"),
    [
        ("A cat is an animal.<|im_end|>", "A cat is an animal.", []),
        (
            'Of course.\n<tool_call>\n{"name": "generate_image", "arguments": {"prompt": "a cat"}}\n</tool_call>'
            "<|im_end|>",
            "Of course.",
            [CAT],
        ),
        (
            '<tool_call>{"name": "generate_image", "arguments": {"prompt": "a cat"}}</tool_call>\n'
            '<tool_call>{"name": "remove_background", "arguments": {"image": 1}}</tool_call>',
            "",
            [CAT, CUT],
        ),
        ('<tool_call>\n{"name": "generate_image", "arguments": {"prompt": "a cat"}}', "", [CAT]),
        ('<tool_call>{"name": "generate_image", "arguments": "{\\"prompt\\": \\"a cat\\"}"}</tool_call>', "", [CAT]),
        (
            "<tool_call>\n<function=generate_image>\n<parameter=prompt>\na cat\n</parameter>\n</function>\n"
            "</tool_call>",
            "",
            [CAT],
        ),
        (
            '<think>They want {"name": "x"}.</think>\n\n<tool_call>{"name": "generate_image", '
            '"arguments": {"prompt": "a cat"}}</tool_call>',
            "",
            [CAT],
        ),
        ("They say hello.\n</think>\n\nHello!", "Hello!", []),
        ("<think>I wonder", "", []),
        ('{"name": "generate_image", "parameters": {"prompt": "a cat"}}<|eot_id|>', "", [CAT]),
        ('<|python_tag|>{"name": "generate_image", "parameters": {"prompt": "a cat"}}<|eom_id|>', "", [CAT]),
        (
            '{"name": "generate_image", "parameters": {"prompt": "a cat"}}; '
            '{"name": "remove_background", "parameters": {"image": 1}}',
            "",
            [CAT, CUT],
        ),
        (
            '{"type": "function", "function": {"name": "generate_image", "arguments": {"prompt": "a cat"}}}',
            "",
            [CAT],
        ),
        ('```json\n{"name": "generate_image", "arguments": {"prompt": "a cat"}}\n```', "", [CAT]),
        ('[TOOL_CALLS] [{"name": "generate_image", "arguments": {"prompt": "a cat"}}]</s>', "", [CAT]),
        (
            '[TOOL_CALLS][{"name": "generate_image", "arguments": {"prompt": "a cat"}}, '
            '{"name": "remove_background", "arguments": {"image": 1}}]',
            "",
            [CAT, CUT],
        ),
        ('Yes.[TOOL_CALLS]generate_image[ARGS]{"prompt": "a cat"}</s>', "Yes.", [CAT]),
        (
            '[TOOL_CALLS]generate_image[CALL_ID]abcdef123[ARGS]{"prompt": "a cat"}'
            '[TOOL_CALLS]remove_background[ARGS]{"image": 1}',
            "",
            [CAT, CUT],
        ),
        ('[{"name": "generate_image", "arguments": {"prompt": "a cat"}}]', "", [CAT]),
        ('generate_image{"prompt": "a cat"}', "", [CAT]),
        ('{"name": "Bob", "age": 7}', '{"name": "Bob", "age": 7}', []),
        ("[image 1] is a cat.", "[image 1] is a cat.", []),
        ("[1, 2, 3]", "[1, 2, 3]", []),
        ("{braces} and [brackets]", "{braces} and [brackets]", []),
        ('print{"x": 1}', 'print{"x": 1}', []),
    ],
)
def test_words_and_calls_are_told_apart(raw: str, text: str, calls: list[tuple[str, Any]]) -> None:
    assert made(raw) == (text, calls)


@pytest.mark.parametrize(
    ("raw", "name", "problem"),
    [
        ('<tool_call>{"name": "generate_image", "arguments": {"prompt": "a</tool_call>', "", "it is not valid JSON"),
        ("<tool_call></tool_call>", "", "it is empty"),
        ('<tool_call>{"prompt": "a cat"}</tool_call>', "", "no object with 'name' and 'arguments'"),
        ('<tool_call>{"name": "generate_image", "arguments": [1]}</tool_call>', "generate_image", "must be an object"),
        ('<tool_call>{"name": "generate_image", "arguments": "{"}</tool_call>', "generate_image", "not valid JSON"),
        ('{"name": "generate_image", "parameters": {"prompt": "a', "", "it is not valid JSON"),
        ("<|python_tag|>generate_image(prompt='a cat')", "", "it is not valid JSON"),
        ('[TOOL_CALLS]generate_image[ARGS]{"prompt": "a', "generate_image", "not valid JSON"),
        ("[TOOL_CALLS] please", "", "it is not valid JSON"),
    ],
)
def test_a_call_that_cannot_be_read_is_a_call_with_a_problem(raw: str, name: str, problem: str) -> None:
    turned = read_turn(raw, NAMES)
    (call,) = turned.calls
    assert (turned.text, call.name, call.arguments) == ("", name, {})
    assert problem in (call.problem or "")


def test_ids_are_nine_letters_and_digits_and_count_on() -> None:
    raw = '[{"name": "generate_image", "arguments": {}}, {"name": "generate_image", "arguments": {}}]'
    assert [call.id for call in read_turn(raw, NAMES, calls_before=3).calls] == ["call00003", "call00004"]


def test_a_long_mistake_is_not_repeated_whole() -> None:
    (call,) = read_turn("<tool_call>" + "{" * 5000 + "</tool_call>", NAMES).calls
    assert len(call.problem or "") < 400


@pytest.mark.parametrize("raw", ["<tool_call>" * 200, "[TOOL_CALLS]" * 200, '{"name": "x", "arguments": {}}' * 200])
def test_no_more_calls_are_read_than_anybody_makes(raw: str) -> None:
    assert len(read_turn(raw, NAMES).calls) == MAX_CALLS


@pytest.mark.parametrize(
    "raw",
    [
        "a" + "</s>" * 100_000 + "x",
        "</s>" * 100_000,
        "Hello" + "\n" * 100_000 + "x",
        "```" + "\n" * 100_000,
        "<tool_call>" * 50_000,
        "<tool_call>" + "<function=" * 50_000,
        "<tool_call><function=a>" + "<parameter=a>" * 50_000,
    ],
)
def test_what_goes_on_for_pages_is_read_in_a_moment(raw: str) -> None:
    began_s = time.process_time()
    read_turn(raw, NAMES)
    assert time.process_time() - began_s < 5  # minutes, where time is not linear


@pytest.mark.parametrize(
    "raw",
    [
        "<tool_call>" + "[" * 100_000,
        '[TOOL_CALLS]generate_image[ARGS]{"a": ' + "[" * 100_000,
        '{"name": "generate_image", "arguments": ' + "[" * 100_000,
    ],
)
def test_what_is_nested_too_deep_is_a_call_with_a_problem(raw: str) -> None:
    (call,) = read_turn(raw, NAMES).calls
    assert "not valid JSON" in (call.problem or "")


def test_half_a_character_is_none() -> None:
    arguments = '{"prompt": "a \\ud800 cat \\ud83d\\ude00"}'
    for raw in (f'{{"name": "generate_image", "arguments": {arguments}}}', f"generate_image{arguments}"):
        assert made(raw) == ("", [("generate_image", {"prompt": "a ? cat \U0001f600"})])
