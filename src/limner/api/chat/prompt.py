"""From what a conversation says to what is to be drawn now: the words, and the pictures that they are about.

Owns that choice, made by plain rules from the conversation alone. Pure; it looks at no pixels.
"""

from dataclasses import dataclass

from limner.chat import Conversation, Shown


@dataclass(frozen=True, slots=True)
class Wanted:
    """The prompt, the pictures it is about in their order, and why those."""

    prompt: str
    pictures: tuple[Shown, ...]
    reason: str


def wanted(conversation: Conversation, *, prompt: str | None, has_references: bool, takes_pictures: bool) -> Wanted:
    """What the user's last turn asks for.

    ``prompt`` replaces its words. Where it comes without pictures, and there are no references beside the
    conversation, it speaks of the picture that was shown last, as "now make it blue" does; a model that does not take
    pictures draws anew. Raises MissingParameter when the user has said nothing.
    """
    asked = conversation.asked
    words = asked.text if prompt is None else prompt
    if asked.pictures:
        return Wanted(words, asked.pictures, f"the last message comes with {_counted(asked.pictures)}")
    if has_references:
        return Wanted(words, (), "the request comes with references")
    earlier = conversation.pictures
    if not earlier:
        return Wanted(words, (), "no picture in the conversation")
    if not takes_pictures:
        return Wanted(words, (), "the model takes no pictures; those of the conversation are left aside")
    return Wanted(words, earlier[-1:], f"the picture shown last, by the {earlier[-1].role}")


def _counted(pictures: tuple[Shown, ...]) -> str:
    return "a picture" if len(pictures) == 1 else f"{len(pictures)} pictures"
