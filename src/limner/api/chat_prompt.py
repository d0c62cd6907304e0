"""From what a conversation says to what is to be drawn now: the words, and the pictures that they are about.

Owns that choice, made by plain rules from the conversation alone. Pure; it looks at no pixels.
"""

from collections.abc import Collection
from dataclasses import dataclass

from limner.api.chat_messages import Conversation, Shown, without_repeats
from limner.core import Operation

WITH_PICTURES = (Operation.EDIT, Operation.UPSCALE, Operation.VARY, Operation.REMOVE_BACKGROUND)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The prompt, the pictures it is about in their order, and why those."""

    prompt: str
    pictures: tuple[Shown, ...]
    reason: str

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """(parameter, source) of every picture, as they are read."""
        return tuple((picture.param, picture.source) for picture in self.pictures)


def wanted(
    conversation: Conversation, *, prompt: str | None, references: tuple[Shown, ...], takes_pictures: bool
) -> Wanted:
    """What the user's last turn asks for.

    ``prompt`` replaces its words, ``references`` come after its pictures. Where it has no pictures, it speaks of the
    one that was shown last, as "now make it blue" does; a model that ``takes_pictures`` not draws anew.
    Raises MissingParameter when the user has said nothing.
    """
    asked = conversation.asked
    words = asked.text if prompt is None else prompt
    own = without_repeats((*asked.pictures, *references))
    if own:
        return Wanted(words, own, f"the last message comes with {_counted(own)}")
    earlier = conversation.pictures
    if not earlier:
        return Wanted(words, (), "no picture in the conversation")
    if not takes_pictures:
        return Wanted(words, (), "the model takes no pictures; those of the conversation are left aside")
    return Wanted(words, earlier[-1:], f"the picture shown last, by the {earlier[-1].role}")


def operation_for(able: Collection[Operation], *, has_pictures: bool, has_mask: bool) -> Operation:
    """What is asked of a model that is ``able`` to do these; where none fits, what is refused most helpfully."""
    if has_mask:
        return Operation.INPAINT
    if not has_pictures and Operation.GENERATE in able:
        return Operation.GENERATE
    return next((one for one in WITH_PICTURES if one in able), Operation.EDIT if has_pictures else Operation.GENERATE)


def _counted(pictures: tuple[Shown, ...]) -> str:
    return "a picture" if len(pictures) == 1 else f"{len(pictures)} pictures"
