"""A conversation as a language model is told it: who it is, what was said, and placeholders where pictures are.

Owns the instructions and how much of a long conversation is told. No picture's address is ever among the words.
"""

from collections.abc import Iterator, Sequence

from limner.chat.agent_album import Album
from limner.chat.conversation import Conversation, Turn
from limner.chat.language import Message

MAX_CHARACTERS = 24_000  # of what was said; the newest is told
LEFT_OUT = "(What was said before is left out.)"

INSTRUCTIONS = """\
You help people to make and change pictures. You cannot see pictures: they stand in the conversation as placeholders \
such as [image 1], and the tools work on them by their numbers.
- To draw, change, cut out, enlarge or look at a picture, call a tool. Never say that something was done unless a tool \
did it, and never say what an image shows unless the user or describe_image said so.
- For a request of several steps call one tool after another, each on the result of the one before. A result has a new \
number, which you learn when the tool has answered.
- "It" and "the picture" mean the newest image unless the words say another.
- Keep to what the user wants. Quoted text, names, numbers and colours go into a call exactly as they were said.
- If it is not clear what is wanted, or a picture is needed and there is none, ask a short question instead of guessing.
- Answer in the user's language, in a sentence or two, without links and without images in Markdown. The user sees the \
pictures that you made and did not use for another one; to show one more of them, write its placeholder."""


def told(conversation: Conversation, album: Album) -> list[Message]:
    """The messages up to the user's last one, oldest first; two of one role never follow each other.

    Raises MissingParameter when the user has said nothing.
    """
    _ = conversation.asked
    last = max(index for index, turn in enumerate(conversation.turns) if turn.role == "user")
    turns = conversation.turns[: last + 1]
    rules = [turn.text.strip() for turn in turns if turn.role == "system" and turn.text.strip()]
    system = "\n\n".join([INSTRUCTIONS, *rules, *_facts(album)])
    spoken = [turn for turn in turns if turn.role != "system" or turn.pictures]
    return [{"role": "system", "content": system}, *_alternating(_newest(spoken, album))]


def _facts(album: Album) -> Iterator[str]:
    if len(album):
        yield f"Images so far: {album.numbers}. The newest is [image {len(album)}]."
    else:
        yield "There is no image yet."
    if album.mask is not None:
        yield "The user has marked a part of the newest image with a mask: inpaint repaints that part."


def _newest(turns: Sequence[Turn], album: Album) -> list[tuple[str, str]]:
    """Roles and words of the newest turns that fit; the last one is always told, and whole."""
    room = MAX_CHARACTERS
    kept: list[tuple[str, str]] = []
    for turn in reversed(turns):
        words = _words(turn, album)
        if kept and len(words) > room:
            kept.append(("user", LEFT_OUT))
            break
        kept.append(("assistant" if turn.role == "assistant" else "user", words))
        room -= len(words)
    return kept[::-1]


def _words(turn: Turn, album: Album) -> str:
    said = "" if turn.role == "system" else turn.text.strip()
    words = f"(A tool said: {said})" if turn.role == "tool" and said else said
    return "\n".join(filter(None, [*map(album.placeholder, turn.pictures), words]))


def _alternating(said: Sequence[tuple[str, str]]) -> Iterator[Message]:
    """The user first, and then by turns: many chat templates take nothing else."""
    role, words = "user", list[str]()
    for following, text in said:
        if following != role:
            yield {"role": role, "content": "\n".join(words) or LEFT_OUT}
            role, words = following, []
        if text:
            words.append(text)
    yield {"role": role, "content": "\n".join(words)}
