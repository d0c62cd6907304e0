"""What a turn is heard against: the words now, the pictures in sight, and what earlier turns asked for.

Owns looking at a conversation; what it asks for is for `routing` to say. System messages are left out altogether:
neither their words nor their pictures are the user's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from limner.chat.conversation import Conversation, Shown, Turn, without_repeats
from limner.chat.decision import Abilities
from limner.chat.heard import Heard, hear
from limner.chat.words import data, patterns

# What Open WebUI puts before the user's words when documents or a web search go with them.
_DOCUMENTS = re.compile(r"\A\s*### Task:\s*Respond to the user query\b.*</context>\s*", re.DOTALL)
TALK = ("greeting", "thanks", "abilities", "other", "undo")
EARLIER_TURNS = 40  # of the user; what was drawn before those is no longer spoken of


@dataclass(frozen=True, slots=True)
class Scene:
    """``visible`` are the pictures as the user counts them, each once, the attached ones last unless they were shown
    before; ``attached`` came with the last message; ``masks`` did so, marked as such. ``newest`` was shown last."""

    heard: Heard
    before: tuple[Turn, ...]
    visible: tuple[Shown, ...]
    attached: tuple[Shown, ...]
    masks: tuple[Shown, ...]
    newest: tuple[Shown, ...]
    last_shown: tuple[Shown, ...]
    abilities: Abilities

    def number_of(self, picture: Shown) -> int:
        """The picture's place among the visible ones, from 0."""
        return next(index for index, one in enumerate(self.visible) if one.source == picture.source)


def look(conversation: Conversation, abilities: Abilities, words: str | None = None) -> Scene:
    """The scene of the user's last turn, or of ``words`` in its place. Raises MissingParameter as `asked` does."""
    asked = conversation.asked
    at = max(index for index, turn in enumerate(conversation.turns) if turn is asked)
    before = tuple(turn for turn in conversation.turns[:at] if turn.role != "system")
    masks = tuple(picture for picture in asked.pictures if is_mask(picture))
    attached = without_repeats(tuple(picture for picture in asked.pictures if not is_mask(picture)))
    shown = [tuple(picture for picture in turn.pictures if not is_mask(picture)) for turn in before]
    earlier = tuple(picture for pictures in shown for picture in pictures)
    newest = attached or earlier[-1:]
    last = next((pictures for pictures in reversed(shown) if pictures), ())
    visible = without_repeats((*earlier, *attached))
    heard = hear(_DOCUMENTS.sub("", asked.text) if words is None else words)
    return Scene(heard, before, visible, attached, masks, newest, last, abilities)


def is_mask(picture: Shown) -> bool:
    """Whether the client marked the picture as a mask."""
    return "mask" in picture.param.lower()


def asked_before(scene: Scene) -> Iterator[tuple[int, Turn, Heard]]:
    """The user's earlier turns, newest first, with their places among ``before``."""
    turns = [(index, turn) for index, turn in enumerate(scene.before) if turn.role == "user"]
    for index, turn in list(reversed(turns))[:EARLIER_TURNS]:
        yield index, turn, hear(turn.text)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawing that the user asked for: which of the turns ``before`` did so, and how it was heard."""

    index: int
    heard: Heard

    @property
    def prompt(self) -> str:
        """What was to be drawn, in the user's words."""
        return self.heard.prompt


def drawing_before(scene: Scene) -> Drawn | None:
    """The newest drawing that the user asked for."""
    first = next((at for at, turn in enumerate(scene.before) if turn.pictures), len(scene.before))
    for index, turn, heard in asked_before(scene):
        if not turn.pictures and _may_draw(heard) and (index < first or _draws(heard)):
            return Drawn(index, heard)
    return None


def _draws(heard: Heard) -> bool:
    drawn = any(patterns("draw", key).search(heard.core) for key in ("any", "bare"))
    return drawn and patterns("vary").search(heard.core) is None


def _may_draw(heard: Heard) -> bool:
    if not heard.core or is_repeat(heard) or is_chatter(heard) or is_question(heard):
        return False
    return patterns("change").search(heard.core) is None


def is_repeat(heard: Heard) -> bool:
    """Whether the words ask for the same once more."""
    return patterns("again").search(heard.core) is not None


def is_chatter(heard: Heard) -> bool:
    """Whether the words are a greeting, thanks, a question about us or what is not done here, and nothing else."""
    tables = (*(f"asides.{kind}" for kind in TALK), *(f"elsewhere.{kind}" for kind in data()["elsewhere"]))
    return any(patterns(table, "whole").whole(text) for table in tables for text in (heard.core, heard.text))


def is_question(heard: Heard) -> bool:
    """Whether the words want an answer; suggestions put as a question ("what if ...") do not."""
    return patterns("question").search(heard.core) is not None and not patterns("question", "not").search(heard.core)


def refers(scene: Scene, text: str | None = None) -> bool:
    """Whether the words are about something shown: a pronoun, "the picture", or "the cat" once a cat was asked for."""
    core = scene.heard.core if text is None else text
    return bool(patterns("refers").search(core)) or knows(scene, core)


def knows(scene: Scene, text: str) -> bool:
    """Whether ``text`` has, with a definite article, a thing that an earlier turn of the user named."""
    things = {match[1] for one in patterns("known", "the").compiled for match in one.finditer(text)}
    if not things:
        return False
    return any(things & set(heard.core.replace(",", " ").split()) for _, _, heard in asked_before(scene))
