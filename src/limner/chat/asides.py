"""Answers in words: small talk, what is not done here, and what chat clients ask on their own, as if the user had.

Owns those answers. Nothing here draws: a client that wants a title for its list of chats must not get a picture, and
one that has had a picture drawn elsewhere no second one.
"""

import json
import re
from collections.abc import Mapping, Sequence

from limner.chat.conversation import Conversation
from limner.chat.decision import Abilities, Decision, in_words
from limner.chat.heard import Heard, hear
from limner.chat.scene import asked_before, is_chatter, is_question, look
from limner.chat.words import data, pattern, patterns

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
ELSEWHERE: Mapping[str, str] = {
    "turn": "I cannot turn or mirror a picture; any viewer of pictures does that exactly. I can change what it shows.",
    "crop": (
        "I cannot crop a picture; any viewer of pictures does that exactly. For another view, ask for a new drawing, "
        "such as “draw the cat's face, close up”."
    ),
    "delete": (
        "I cannot delete a picture: delete the message or the conversation where you see it. To take something out of "
        "the picture, name it, such as “remove the hat”."
    ),
    "save": (
        "I cannot save a picture for you: save it where you see it. The request says in which format it comes, with "
        "“output_format”."
    ),
    "square": (
        "I cannot tell how the picture is to become square. Say “extend it to the left and right” or “make it 1:1”, or "
        "ask for a new one: “draw a square picture of a cat”."
    ),
}
SHOWN = "Here it is."
NOT_MERGED = (
    "I draw and look at pictures and cannot merge replies; they stand above. To put pictures together, attach them and "
    "say “combine these”."
)
TITLE_WORDS, MOST_TITLE_WORDS, TITLE_CHARS = 6, 9, 60
_DRAWN_ELSEWHERE = re.compile(r"\s*<context>The requested image has been (?:edited and )?created")
_KEY = re.compile(r"\{\s*\"(title|tags|follow_ups|queries|text|prompt|emoji|tool_calls)\"\s*:")
_ASKED = re.compile(r"^\s*(?:#+\s*)?(?:user|human|query)\s*:\s*(.+)$", re.IGNORECASE | re.MULTILINE)
_HISTORY = re.compile(r"<chat_history>(.*?)(?:</chat_history>|\Z)", re.DOTALL)
_DRAWING = re.compile(
    r"(?i)^(?:(?:draw|paint|sketch|generate|create|make|render|show)(?: me)?|(?:give|show) me)\s+"
    r"(?:(?:an?|the) (?:image|picture|photo|drawing) of )?"
)


def for_client(conversation: Conversation) -> Decision | None:
    """The answer to what the client asks for itself, in the form it asks for, or None when the user is speaking.

    Raises MissingParameter when the user has said nothing at all.
    """
    raw = conversation.asked.text.strip()
    if any(turn.role == "system" and _DRAWN_ELSEWHERE.match(turn.text) for turn in conversation.turns):
        return in_words(SHOWN, "the chat client has had it drawn already", raw)
    opening = hear(raw[:600]).text
    if patterns("asides.task", "merge").begins(opening):
        return in_words(NOT_MERGED, "a task of the chat client: to merge replies", raw)
    if not patterns("asides.task", "start").begins(opening):
        return None
    return in_words(_done(conversation, raw), "a task of the chat client, not a wish of the user", raw)


def small_talk(heard: Heard) -> tuple[str, str] | None:
    """The kind of small talk that is all of the words, and the answer to it."""
    said = (heard.core, heard.text.strip(" .!?,。！？¿¡"))
    kinds = (kind for kind in REPLIES if any(patterns(f"asides.{kind}", "whole").whole(text) for text in said))
    kind = next(kinds, None)
    return None if kind is None else (kind, REPLIES[kind])


def done_elsewhere(readings: Sequence[str]) -> tuple[str, str] | None:
    """The kind of thing, done to a whole picture but not here, that one of ``readings`` asks for, and the answer."""
    kinds = (kind for kind in ELSEWHERE if any(patterns(f"elsewhere.{kind}", "whole").whole(text) for text in readings))
    kind = next(kinds, None)
    return None if kind is None else (kind, ELSEWHERE[kind])


def _done(conversation: Conversation, raw: str) -> str:
    key = _KEY.search(raw)
    subject = _subject(conversation, raw)
    if key is None:
        return '{"tool_calls": []}' if raw.lower().startswith("query: history:") else _plain(raw, subject)
    return json.dumps({key[1]: _value(key[1], subject)}, ensure_ascii=False)


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


def _subject(conversation: Conversation, raw: str) -> str:
    """What the user asked for first, from the history in the task's own text or else from the conversation."""
    history = _HISTORY.search(raw)
    said = _ASKED.search(history[1] if history else raw)
    if said is not None:
        return said[1].strip()
    scene = look(conversation, Abilities(frozenset(), 0))
    asked = [heard.prompt for _, _, heard in asked_before(scene) if heard.core and not is_chatter(heard)]
    return asked[-1] if asked else ""


def _title(subject: str) -> str:
    """A few words of ``subject``, which begin with a capital letter."""
    words = _DRAWING.sub("", hear(subject).prompt).split()
    title = " ".join(_phrase(words))[:TITLE_CHARS].strip(" ,.;:!?-")
    return title[:1].upper() + title[1:] if title else "Pictures"


def _phrase(words: Sequence[str]) -> Sequence[str]:
    """The first few words, as far as the last phrase among them that is whole."""
    if len(words) <= TITLE_WORDS or _ends(words, TITLE_WORDS):
        return _without_joints(words[:TITLE_WORDS])
    joints = [index for index, word in enumerate(words[:TITLE_WORDS]) if _joins(word)]
    whole = _without_joints(words[: joints[-1]]) if joints else []
    if len(whole) > 1:
        return whole
    longer = range(TITLE_WORDS + 1, MOST_TITLE_WORDS + 1)
    return _without_joints(words[: next((end for end in longer if _ends(words, end)), TITLE_WORDS)])


def _ends(words: Sequence[str], end: int) -> bool:
    """Whether a phrase may end before ``words[end]``."""
    return end >= len(words) or _joins(words[end]) or words[end - 1].endswith((",", ".", ";", ":", "!", "?"))


def _without_joints(words: Sequence[str]) -> Sequence[str]:
    end = next((end for end in range(len(words), 0, -1) if not _joins(words[end - 1])), 0)
    return words[:end]


def _joins(word: str) -> bool:
    """Whether a phrase cannot end with ``word``: an article, a preposition and their like."""
    return word.lower() in data()["asides"]["task"]["joints"]


def _tags(subject: str) -> list[str]:
    heard = hear(subject)
    if not heard.core or is_chatter(heard) or is_question(heard):
        return ["Image"]
    table = data()["asides"]["task"]
    little = pattern(table["little"])
    said = (word for word in re.findall(r"[^\W\d_]+", subject.lower()) if 2 < len(word) <= 20)
    things = [word for word in said if word not in table["joints"] and not little.fullmatch(word)]
    return ["Art", *(word.capitalize() for word in list(dict.fromkeys(things))[:2])]
