"""What a conversation says: its messages as turns, each with its words and its pictures, in the order they stand.

Owns OpenAI's message shapes: plain text, content parts, an assistant's ``images``, and pictures written in Markdown.
Pure: it fetches nothing, and which pictures a turn is about is for `chat_prompt` to say.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from limner.api.paths import FILE_ID
from limner.catalogue.values import shown
from limner.chat import Conversation, Role, Shown, Turn, without_repeats
from limner.errors import InvalidRequest, MissingParameter

ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
TEXT_KEYS: Mapping[str, str] = {  # type of a content part -> the key that holds its words
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
}
PICTURE_TYPES = ("image_url", "input_image")
_MARKDOWN_PICTURE = re.compile(  # one that this server has shown is known by its file's id, wherever it lies now
    # Possessive, and no further than the next beginning: what is no picture must not be read again and again,
    # megabytes of it.
    rf"!\[(?:(?P<id>(?-i:{FILE_ID}))"
    r"\]\([ \t\n]{0,9}+<?"
    rf"(?!data:|(?:https?://[^\s)]{{1,255}}?)?/v1/files/(?-i:{FILE_ID}))"
    r"[^()\s>]{1,2048}+"
    r"|[^\[\]\n]{0,1000}+\]\([ \t\n]{0,9}+<?(?P<url>data:image/[^()\[\]\s<>!]++|(?:https?://|/v1/files/)[^()\s>]{1,2048}+))"
    r">?(?:[ \t\n]{1,9}+\"[^\"\n]{0,500}+\")?[ \t\n]{0,9}+\)",
    re.IGNORECASE,
)
# What Open WebUI puts before the user's words about files that it knows; the pictures themselves come as parts.
_ATTACHED_FILES = re.compile(r"\A\s*<attached_files>.{0,65536}?</attached_files>\s*", re.DOTALL)


def read_messages(messages: object) -> Conversation:
    """The conversation in a chat request's ``messages``.

    Raises InvalidRequest naming the part at fault, and MissingParameter when there are none.
    """
    if messages is None or messages == []:
        raise MissingParameter("Missing required parameter: 'messages'", param="messages")
    if not isinstance(messages, list):
        raise InvalidRequest(f"'messages' must be a list of messages, not {shown(messages)}", param="messages")
    return Conversation(tuple(read_turn(one, f"messages[{index}]") for index, one in enumerate(messages)))


def read_turn(message: object, where: str) -> Turn:
    """One message, which stands at ``where`` in the request."""
    if not isinstance(message, dict):
        raise InvalidRequest(f"{where!r} must be an object with a 'role', not {shown(message)}", param=where)
    role = _role(message.get("role"), where)
    said = list(_said(message.get("content"), f"{where}.content"))
    said += ((None, source, param) for source, param in _images(message.get("images"), f"{where}.images"))
    words = [text for text, _, _ in said if text]
    pictures = tuple(Shown(source, role, param) for _, source, param in said if source is not None)
    return Turn(role, "\n".join(words), without_repeats(pictures))


def url_of(value: object, where: str) -> str:
    """A picture as a URL, ``{"url": URL}`` or ``{"image_url": either}``. Raises InvalidRequest."""
    inner = value
    for key in ("image_url", "url"):
        if isinstance(inner, dict) and key in inner:
            inner = inner[key]
    if not isinstance(inner, str) or not inner.strip():
        raise InvalidRequest(
            f"Invalid value for {where!r}: {shown(value)}. Allowed: a data: or http(s) URL, or {{'url': URL}}",
            param=where,
        )
    return inner.strip()


Said: TypeAlias = tuple[str | None, str | None, str]  # words, or a picture's source, and where it stands


def _role(role: object, where: str) -> Role:
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidRequest(
            f"Invalid value for '{where}.role': {shown(role)}. Allowed: {', '.join(ROLES)}", param=f"{where}.role"
        )
    return ROLES[role]


def _said(content: object, where: str) -> Iterator[Said]:
    """The words and pictures of one message's content, in their order."""
    match content:
        case None:  # an assistant's message that only calls tools
            return
        case str():
            yield from _from_text(content, where)
        case list():
            for index, part in enumerate(content):
                yield from _from_part(part, f"{where}[{index}]")
        case _:
            raise InvalidRequest(f"{where!r} must be text or a list of parts, not {shown(content)}", param=where)


def _from_part(part: object, where: str) -> Iterator[Said]:
    fields = part if isinstance(part, dict) else {}
    kind = fields.get("type")
    if isinstance(kind, str) and kind in TEXT_KEYS:
        text = fields.get(TEXT_KEYS[kind])
        if not isinstance(text, str):
            raise InvalidRequest(f"'{where}.{TEXT_KEYS[kind]}' must be text, not {shown(text)}", param=where)
        yield from _from_text(text, where)
    elif kind in PICTURE_TYPES:
        yield None, _part_source(fields, where), where
    else:
        allowed = ", ".join((*TEXT_KEYS, *PICTURE_TYPES))
        raise InvalidRequest(
            f"Invalid value for '{where}.type': {shown(kind)}. Allowed: {allowed}", param=f"{where}.type"
        )


def _part_source(part: Mapping[str, Any], where: str) -> str:
    file_id = part.get("file_id")
    if isinstance(file_id, str) and part.get("image_url") is None:
        return file_id
    return url_of(part.get("image_url"), f"{where}.image_url")


def _from_text(text: str, where: str) -> Iterator[Said]:
    """The words, without the client's own and without the pictures that are written among them in Markdown, then
    those."""
    said = _ATTACHED_FILES.sub("", text)
    found = [match["id"] or match["url"] for match in _MARKDOWN_PICTURE.finditer(said)] if "![" in said else []
    yield _MARKDOWN_PICTURE.sub("", said).strip() if found else said, None, where
    for source in found:
        yield None, source, where


def _images(images: object, where: str) -> Iterator[tuple[str, str]]:
    """The pictures that a reply of this server, sent back as history, has beside its content."""
    if images is None:
        return
    if not isinstance(images, list):
        raise InvalidRequest(f"{where!r} must be a list of pictures, not {shown(images)}", param=where)
    for index, image in enumerate(images):
        yield url_of(image, f"{where}[{index}]"), f"{where}[{index}]"
