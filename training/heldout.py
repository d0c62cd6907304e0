"""Which combinations are kept from training, so that the evaluation asks for pictures never drawn.

One in twelve of every (kind, colour, background), (kind, kind, relation), (kind, colour, count) and
(kind, colour, sky, ground) is held out, by a hash that never changes.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.scenes import Scene

ONE_IN = 12
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}


def hashed_out(*parts: object) -> bool:
    """Tell whether the combination `parts` is held out."""
    return zlib.crc32("|".join(map(str, parts)).encode()) % ONE_IN == 0


def single_held_out(kind: str, color: str, background: str) -> bool:
    """Tell whether one coloured thing on one plain colour is held out."""
    return hashed_out("one", kind, color, background)


def pair_held_out(subject: str, other: str, relation: str) -> bool:
    """Tell whether two kinds in a relation are held out, whichever way round it is said."""
    if relation in ("right", "below"):
        subject, other, relation = other, subject, OPPOSITE[relation]
    return hashed_out("two", subject, other, relation)


def count_held_out(kind: str, color: str, count: int) -> bool:
    """Tell whether a number of equal things is held out."""
    return hashed_out("many", kind, color, count)


def land_held_out(kind: str, color: str, sky: str, ground: str | None) -> bool:
    """Tell whether a thing in a landscape is held out."""
    return hashed_out("land", kind, color, sky, ground)


def is_held_out(scene: Scene) -> bool:
    """Tell whether `scene` shows a combination kept for the evaluation."""
    background = scene.background
    things = scene.things
    if background.pattern == "land":
        return any(land_held_out(t.kind, t.color, background.sky, background.ground) for t in things if t.color)
    match scene.form:
        case "one" if background.pattern == "plain" and things:
            return single_held_out(things[0].kind, things[0].color, background.color)
        case "two" if scene.relation is not None:
            return pair_held_out(scene.subject.kind, scene.other.kind, scene.relation)
        case "many":
            return count_held_out(things[0].kind, things[0].color, len(things))
        case _:
            return False
