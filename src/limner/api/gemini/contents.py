"""Google's ``contents`` as a conversation: turns of the user and the model, each with its words and its pictures.

Owns Google's message shapes. Pure: it fetches nothing, and which pictures a turn is about is for others to say.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.alias_generators import to_camel

from limner.api.gemini.fields import placed, read_object, without_effect
from limner.catalogue.values import shown
from limner.chat import Conversation, Role, Shown, Turn, without_repeats
from limner.core import Warning
from limner.errors import InvalidRequest, MissingParameter
from limner.media.decode import is_data_url

ROLES: Mapping[str, Role] = {"user": "user", "model": "assistant"}
CONTENT_KEYS = ("role", "parts")
BLOBS: Mapping[str, str] = {"inline_data": "data", "file_data": "file_uri"}  # kind of a part -> what holds its picture
KINDS = ("text", *BLOBS)
PASSING = ("thought", "thought_signature", "part_metadata")  # a client sends them back as it got them
TYPES: Mapping[str, type[str | bool]] = {"text": str, "thought": bool}
WORDS: Mapping[type[str | bool], str] = {str: "text", bool: "true or false"}
UNUSED = ("media_resolution", "video_metadata", "media_processing")


def read_contents(contents: object) -> tuple[Conversation, tuple[Warning, ...]]:
    """The conversation, and warnings about what of it has no effect. Raises InvalidRequest, MissingParameter."""
    if contents is None or contents == []:
        raise MissingParameter("Missing required parameter: 'contents'", param="contents")
    found = [_turn(one, f"contents[{index}]") for index, one in enumerate(_listed(contents, "contents"))]
    return Conversation(tuple(turn for turn, _ in found)), tuple(told for _, warnings in found for told in warnings)


def read_instruction(content: object, where: str) -> str:
    """The words of a system instruction, which stands at ``where``, whatever role it names: "" where there is none.
    Raises InvalidRequest."""
    if content is None or isinstance(content, str):
        return content or ""
    turn, _ = _turn({**content, "role": "user"} if isinstance(content, dict) else content, where)
    if turn.pictures:
        raise InvalidRequest(f"{where!r} must have words alone, not pictures", param=where)
    return turn.text


def _listed(value: object, where: str) -> list[Any]:
    """A list, or the one thing that Google's own examples put where a list belongs."""
    match value:
        case list():
            return value
        case dict():
            return [value]
        case _:
            raise InvalidRequest(f"{where!r} must be a list of objects, not {shown(value)}", param=where)


def _turn(content: object, where: str) -> tuple[Turn, tuple[Warning, ...]]:
    fields = read_object(content, where, CONTENT_KEYS)
    role = _role(fields.get("role", "user"), f"{where}.role")
    given = enumerate(_listed(fields.get("parts", []), f"{where}.parts"))
    parts = {f"{where}.parts[{number}]": part for number, part in given}
    read = {place: _part(part, place) for place, part in parts.items()}
    said = {place: part for place, part in read.items() if part.get("thought") is not True}
    words = [part["text"] for part in said.values() if part.get("text")]
    seen = {place: part for place, part in said.items() if BLOBS.keys() & part.keys()}
    pictures = tuple(Shown(_source(part), role, place) for place, part in seen.items())
    told = tuple(warning for place, part in read.items() for warning in _unused(part, place))
    return Turn(role, "\n".join(words), without_repeats(pictures)), told


def _role(role: object, where: str) -> Role:
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidRequest(f"Invalid value for {where!r}: {shown(role)}. Allowed: {', '.join(ROLES)}", param=where)
    return ROLES[role]


def _part(part: object, where: str) -> dict[str, Any]:
    """A part's fields: one thing that it says, or none where it only brings back what passes through."""
    fields = read_object(part, where, (*KINDS, *PASSING, *UNUSED))
    if not fields or sum(kind in fields for kind in KINDS) > 1:
        raise InvalidRequest(f"{where!r} must have one of text, inlineData and fileData", param=where)
    for name, kind in TYPES.items():
        if not isinstance(fields.get(name, kind()), kind):
            place = f"{where}.{name}"
            raise InvalidRequest(f"{place!r} must be {WORDS[kind]}, not {shown(fields[name])}", param=place)
    for name, key in BLOBS.items():
        if name in fields:
            fields[name] = _blob(fields[name], placed(where, name), key)
    return fields


def _blob(value: object, where: str, key: str) -> str:
    """What ``key`` holds. Raises InvalidRequest for what is meant to be no picture, MissingParameter without a key."""
    fields = read_object(value, where, (key, "mime_type", "display_name"))
    kind = fields.get("mime_type", "image/*")
    if not isinstance(kind, str) or not kind.lower().startswith("image/"):
        place = f"{where}.mimeType"
        raise InvalidRequest(f"Invalid value for {place!r}: {shown(kind)}. Allowed: pictures (image/...)", param=place)
    text = fields.get(key)
    if not isinstance(text, str):
        raise MissingParameter(f"{where!r} must have {to_camel(key)!r} as text", param=where)
    return text


def _source(part: Mapping[str, Any]) -> str:
    """The picture as a URL: what a file part names, or a data: URL of what an inline part holds."""
    data = str(part.get("inline_data", ""))
    if "file_data" in part or is_data_url(data):
        return str(part.get("file_data", data)).strip()
    return f"data:;base64,{data}"


def _unused(part: Mapping[str, Any], where: str) -> Iterator[Warning]:
    yield from without_effect(where, (name for name in UNUSED if name in part), "pictures are read as they are")
