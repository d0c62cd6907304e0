"""A turn as a model writes it, read into words and calls.

Owns the ways in which open models write calls of tools: Hermes's and Qwen's tags, around JSON or around XML, Llama's
bare JSON, and Mistral's marker. What looks like a call and cannot be read becomes one with a problem, never words.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

from limner.chat.language import ToolCall, Turned, call_id

Found: TypeAlias = tuple[str, Mapping[str, Any], str | None]  # name, arguments, problem

_THOUGHTS = re.compile(r"(?s)<think>.*?(?:</think>|$)|\[THINK\].*?(?:\[/THINK\]|$)")
_THOUGHTS_END = "</think>"  # alone where the template has already opened them
_END_MARKS = (
    *(f"<|{name}|>" for name in ("im_end", "eot_id", "eom_id", "end", "endoftext", "end_of_text")),
    "</s>", "<end_of_turn>", "<eos>",
)  # fmt: skip
_TAGGED = re.compile(r"(?s)<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|$)")
# What a model that has lost its way writes for pages on end must not be read in more than linear time.
_XML_CALL = re.compile(r"(?s)<function=([^>\s]{1,200})>(.*?)(?:</function>|$)")
_XML_ARGUMENT, _XML_ARGUMENT_END = re.compile(r"<parameter=([^>\s]{1,200})>\n?"), "</parameter>"
_MISTRAL, _PYTHON = "[TOOL_CALLS]", "<|python_tag|>"
_MISTRAL_CALL = re.compile(r"\s*+([\w.-]++)\s*+(?:\[CALL_ID\]\w*+)?+\s*+(?:\[ARGS\])?+\s*+(?=\{)")
_FENCED = re.compile(r"(?s)```(?:json|tool_call)?[^\S\n]*+\n(.*?)\n?```")
_SEPARATORS = re.compile(r"[\s,;]*")
_DECODER = json.JSONDecoder()
_UNREADABLE = (ValueError, RecursionError)  # no JSON, or nested deeper than any call is
_SHOWN_CHARACTERS = 200
MAX_CALLS = 64  # of one turn that are read


def read_turn(raw: str, names: Collection[str], *, calls_before: int = 0) -> Turned:
    """What ``raw`` says and calls; ``names`` are the tools there are. Ids count on from ``calls_before``."""
    words, found = _split(_without_end_marks(without_thoughts(raw)).strip(), names)
    calls = (ToolCall(call_id(calls_before + i), *parts) for i, parts in enumerate(found))
    return Turned(words, tuple(calls))


def without_thoughts(text: str) -> str:
    """``text`` without what a reasoning model wrote for itself."""
    return _THOUGHTS.sub("", text).rpartition(_THOUGHTS_END)[2].strip()


def read_arguments(value: object) -> tuple[Mapping[str, Any], str | None]:
    """A call's arguments, an object or its JSON, and what is wrong with them."""
    if value is None or value == "":
        return {}, None
    try:
        value = _as_text(json.loads(value) if isinstance(value, str) else value)
    except _UNREADABLE as error:
        return {}, f"its arguments are not valid JSON ({error}): {_short(str(value))}"
    if isinstance(value, dict):
        return value, None
    return {}, f"its arguments must be an object, not {_short(repr(value))}"


def _without_end_marks(text: str) -> str:
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        mark = next((mark for mark in _END_MARKS if text.endswith(mark, 0, end)), None)
        if mark is None:
            return text[:end]
        end -= len(mark)


def _as_text(value: Any) -> Any:
    """JSON's ``value`` with "?" for halves of surrogate pairs, which nobody can store or send."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _split(text: str, names: Collection[str]) -> tuple[str, list[Found]]:
    if "<tool_call>" in text:
        tagged = islice(_TAGGED.finditer(text), MAX_CALLS)
        return _TAGGED.sub("", text).strip(), _first(call for each in tagged for call in _tagged(each[1].strip()))
    if _MISTRAL in text:
        words, *bodies = text.split(_MISTRAL)
        return words.strip(), _first(call for body in bodies for call in _marked(body.strip()))
    if _PYTHON in text:
        words, _, body = text.partition(_PYTHON)
        return words.strip(), _first(_written(body.strip()))
    fenced = _FENCED.fullmatch(text)
    body = fenced[1].strip() if fenced else text
    if _looks_like_calls(body, names):
        return "", _first(_marked(body))
    return text, []


def _first(calls: Iterator[Found]) -> list[Found]:
    return list(islice(calls, MAX_CALLS))


def _tagged(body: str) -> Iterator[Found]:
    calls = _XML_CALL.findall(body)
    for name, inside in calls:
        yield name, dict(_xml_arguments(inside)), None
    if not calls:
        yield from _written(body)


def _xml_arguments(inside: str) -> Iterator[tuple[str, str]]:
    for part in inside.split(_XML_ARGUMENT_END)[:-1]:
        start = _XML_ARGUMENT.search(part)
        if start is not None:
            yield start[1], part[start.end() :].removesuffix("\n")


def _marked(body: str) -> Iterator[Found]:
    """What follows Mistral's marker: JSON, or a name and its arguments."""
    start = _MISTRAL_CALL.match(body)
    if start is None:
        yield from _written(body)
        return
    try:
        arguments, _ = _DECODER.raw_decode(body, start.end())
    except _UNREADABLE as error:
        yield start[1], {}, f"its arguments are not valid JSON ({error}): {_short(body)}"
        return
    yield start[1], *read_arguments(arguments)


def _written(body: str) -> Iterator[Found]:
    """Calls as JSON: one object, several one after another, or a list of them."""
    try:
        values = list(_values(body))
    except _UNREADABLE as error:
        yield "", {}, f"it is not valid JSON ({error}): {_short(body)}"
        return
    for value in values:
        for one in value if isinstance(value, list) else [value]:
            yield _from_json(one)
    if not values:
        yield "", {}, "it is empty"


def _values(text: str) -> Iterator[Any]:
    position = _end_of(_SEPARATORS, text, 0)
    while position < len(text):
        value, position = _DECODER.raw_decode(text, position)
        yield _as_text(value)
        position = _end_of(_SEPARATORS, text, position)


def _end_of(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return position if match is None else match.end()


def _from_json(value: object) -> Found:
    inner = _inner(value)
    name = inner.get("name")
    if not isinstance(name, str):
        return "", {}, f"it is no object with 'name' and 'arguments': {_short(json.dumps(value, ensure_ascii=False))}"
    return name, *read_arguments(inner.get("arguments", inner.get("parameters")))


def _looks_like_calls(body: str, names: Collection[str]) -> bool:
    """Whether a text without any marker is a call: some decoders drop the markers."""
    start = _MISTRAL_CALL.match(body)
    if start is not None and start[1] in names:
        return True
    if body[:1] not in ("{", "["):
        return False
    try:
        values = [one for value in _values(body) for one in (value if isinstance(value, list) else [value])]
    except _UNREADABLE:
        return any(f'"{name}"' in body for name in names)
    return bool(values) and all(_is_call(value) for value in values)


def _is_call(value: object) -> bool:
    inner = _inner(value)
    return "name" in inner and ("arguments" in inner or "parameters" in inner)


def _inner(value: object) -> Mapping[str, Any]:
    """A call without OpenAI's wrapping; {} for what is no object."""
    match value:
        case {"function": dict(function)}:
            return function
        case dict():
            return value
        case _:
            return {}


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
