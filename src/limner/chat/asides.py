"""Answers in words: small talk, and the tasks that chat clients slip in as if the user had asked.

Owns those answers. Nothing here draws: a client that wants a title for its list of chats must not get a picture.
"""

import json
import re
from collections.abc import Mapping

from limner.chat.heard import Heard, hear
from limner.chat.scene import Scene, asked_before, is_chatter
from limner.chat.words import patterns

ABILITIES = (
    "I draw and change pictures. Tell me what to draw, or attach a picture and say what to do with it: change it or a "
    "part of it, remove the background, extend it, enlarge it, make variations, combine several, or answer questions "
    "about it."
)
REPLIES: Mapping[str, str] = {
    "greeting": f"Hello! {ABILITIES}",
    "thanks": "You are welcome. Say what to draw or change next.",
    "abilities": ABILITIES,
    "other": "I only draw, change and look at pictures. Say what to draw, or attach a picture and ask about it.",
    "undo": "The earlier pictures are still there: say which to go on with, such as “use picture 1 and make it blue”.",
}
TITLE_WORDS = 6
_KEY = re.compile(r"\{\s*\"(title|tags|follow_ups|queries|text|prompt|emoji|tool_calls)\"\s*:")
_ASKED = re.compile(r"^\s*(?:#+\s*)?(?:user|human|query)\s*:\s*(.+)$", re.IGNORECASE | re.MULTILINE)
_HISTORY = re.compile(r"<chat_history>(.*?)(?:</chat_history>|\Z)", re.DOTALL)
_DRAWING = re.compile(
    r"(?i)^(?:(?:draw|paint|sketch|generate|create|make|render|show)(?: me)?|(?:give|show) me)\s+"
    r"(?:(?:an?|the) (?:image|picture|photo|drawing) of )?"
)
_LITTLE = frozenset({"the", "and", "with", "for", "from", "into", "please", "draw", "make", "paint", "create", "show"})


def task_reply(scene: Scene, raw: str) -> str | None:
    """The answer to a client's own task, in the form it asks for, or None when the user is speaking."""
    opening = patterns("asides.task", "start").search(hear(raw[:600]).text)
    if opening is None or opening.start():
        return None
    key = _KEY.search(raw)
    subject = _subject(scene, raw)
    if key is None:
        return '{"tool_calls": []}' if raw.lower().startswith("query: history:") else _plain(raw, subject)
    return json.dumps({key[1]: _value(key[1], subject)}, ensure_ascii=False)


def small_talk(heard: Heard) -> tuple[str, str] | None:
    """The kind of small talk that is all of the words, and the answer to it."""
    said = (heard.core, heard.text.strip(" .!?,。！？¿¡"))
    kinds = (kind for kind in REPLIES if any(patterns(f"asides.{kind}", "whole").whole(text) for text in said))
    kind = next(kinds, None)
    return None if kind is None else (kind, REPLIES[kind])


def _value(key: str, subject: str) -> str | list[str]:
    match key:
        case "title":
            return _title(subject)
        case "tags":
            return _tags(subject)
        case "prompt":
            return subject
        case "emoji":
            return "🎨"
        case "text":
            return ""
        case _:
            return []


def _plain(raw: str, subject: str) -> str:
    return "🎨" if "emoji" in raw[:300].lower() and "title" not in raw[:300].lower() else _title(subject)


def _subject(scene: Scene, raw: str) -> str:
    """What the user asked for first, from the history in the task's own text or else from the conversation."""
    history = _HISTORY.search(raw)
    said = _ASKED.search(history[1] if history else raw)
    if said is not None:
        return said[1].strip()
    asked = [heard.prompt for _, _, heard in asked_before(scene) if heard.core and not is_chatter(heard)]
    return asked[-1] if asked else ""


def _title(subject: str) -> str:
    """A few words of ``subject``, which begin with a capital letter."""
    words = _DRAWING.sub("", hear(subject).prompt).split()
    title = " ".join(words[:TITLE_WORDS])[:60].strip(" ,.;:!?-")
    return title[:1].upper() + title[1:] if title else "Pictures"


def _tags(subject: str) -> list[str]:
    words = (word for word in re.findall(r"\w+", subject.lower()) if word not in _LITTLE and len(word) > 2)
    return ["Art", *(word.capitalize() for word in list(dict.fromkeys(words))[:2])]
