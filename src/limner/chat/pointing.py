"""Which pictures are meant: by number, by order, by "it", or several at once.

Owns that choice. Numbers count the pictures as the user sees them in the conversation; when two or more came with the
message and the numbers fit them, they count those, since that is what somebody who has just attached them counts.
"The second one" counts within the newest message that shows several, unless it is gone "back to"; "the second balloon"
counts within the pictures of one drawing of a balloon.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from limner.chat.conversation import Shown
from limner.chat.regions import region_of
from limner.chat.scene import Scene, asked_before, drawing_before, is_mask
from limner.chat.words import data, expand, number, pattern, patterns
from limner.core import Operation

_BARE_ENDS = re.compile(  # what is left around a picture's name that was taken out
    r"^(?:(?:take|use|pick|choose|go back to|return to|with|on|for|from|in)(?= and| ?[,:]))?[ ,:的]*(?:and(?: then)? )?"
    r"|[ ,:]*(?: (?:of|from|in|on|for|the))*[ ,:]*$"
)
_INTO = re.compile(  # what stands before the picture that something is put into
    r"\b(?:put|place|insert|add|use|apply|transfer|copy|paste|move|give)\b"
    r".{0,200}\b(?:in|into|on|onto|to|for|at|beside)\b(?: the [\w ]{1,30}?(?: in| of| from)?)? ?(?:the )?$"
)


@dataclass(frozen=True, slots=True)
class Mention:
    """A picture that the words point at: where they do so, and its place among the visible ones."""

    start: int
    end: int
    index: int


@dataclass(frozen=True, slots=True)
class Picked:
    """The pictures, the first of which is changed, why those, and the mentions that chose them.

    ``missing`` is a number that was said though there are not so many pictures.
    """

    pictures: tuple[Shown, ...]
    reason: str
    mentions: tuple[Mention, ...] = ()
    missing: int | None = None


def pick(scene: Scene, operation: Operation) -> Picked:
    """The pictures that the words of ``scene`` are about; at least one must be visible."""
    mentions, missing = _mentions(scene)
    if missing is not None:
        return Picked((), f"picture {missing} was asked for", missing=missing)
    if len({mention.index for mention in mentions}) > 1:
        return _in_order(scene, mentions)
    if mentions:
        return _one_named(scene, mentions, operation)
    return _unnamed(scene, operation)


def readings(scene: Scene) -> tuple[str, ...]:
    """The words as they are, and with every picture that they name put as "it" or left out, so that "image 2 without
    background" reads like "without background"."""
    mentions, missing = _mentions(scene)
    core = scene.heard.core
    if missing is not None or not mentions:
        return (core,)
    put, dropped = core, core
    for mention in reversed(mentions):
        pronoun = "it" if core[mention.start : mention.end].isascii() else "它"
        put = f"{put[: mention.start]}{pronoun}{put[mention.end :]}"
        dropped = f"{dropped[: mention.start].removesuffix('in ')}{dropped[mention.end :]}"
    return core, put, _BARE_ENDS.sub("", " ".join(dropped.split()))


def names_picture(scene: Scene) -> bool:
    """Whether what reads like a part of a picture names a whole one: "the second one", "the second balloon"."""
    as_it = readings(scene)[1:2]
    return any(region_of(replace(scene.heard, core=core, shown=core)) is None for core in as_it)


def renumbered(prompt: str, scene: Scene, picked: Picked) -> str:
    """The prompt with its picture numbers made those that the model will see; ``prompt`` where nothing changes."""
    sources = [picture.source for picture in picked.pictures]
    start = scene.heard.text.find(scene.heard.core)
    if not picked.mentions or len(scene.heard.core) != len(prompt.rstrip(" .,!?;:。！？")) or start < 0:
        return prompt
    for mention in sorted(picked.mentions, key=lambda one: -one.start):
        place = sources.index(scene.visible[mention.index].source) + 1
        said, read = prompt[mention.start : mention.end], scene.heard.core[mention.start : mention.end]
        prompt = prompt[: mention.start] + _name(said, read, place) + prompt[mention.end :]
    return prompt


def _name(said: str, read: str, place: int) -> str:
    """What points at a picture, which is read as ``read``, pointing at the ``place``-th."""
    chinese = pattern(data()["pointing"]["zh_pointed"]).match(read)
    if chinese is not None:
        return f"图{place}的{said[chinese.end() :]}"
    thing = pattern(_thing()).fullmatch(read)
    if thing is not None and pattern(data()["pointing"]["noun"]).fullmatch(thing[2]) is None:
        return f"{said[: thing.start(1)]}{said[thing.end(1) + 1 :]} of image {place}"
    if re.search(r"\d(?:st|nd|rd|th)\b", read):
        return f"image {place}"
    if re.search(r"\d", said):
        return re.sub(r"\d+", str(place), said)
    return said if not re.match(r"(?i)(?:the )?[a-z1-9]+(?: to)?(?: last)?(?: |$)", said) else f"image {place}"


def _in_order(scene: Scene, mentions: Sequence[Mention]) -> Picked:
    """All that are named, as they are named; what something is put into comes first."""
    named = list(dict.fromkeys(mention.index for mention in mentions))
    text = scene.heard.core
    if len(named) == 2 and not scene.attached and _INTO.search(text[: mentions[-1].start]):
        named.reverse()
    if len(scene.attached) > 1:
        numbers = {scene.number_of(picture) for picture in scene.attached}
        if set(named) <= numbers:
            return Picked(scene.attached, "the attached pictures, in their order")
    numbers_said = " and ".join(str(index + 1) for index in named)
    return Picked(tuple(scene.visible[index] for index in named), f"pictures {numbers_said} are named", tuple(mentions))


def _one_named(scene: Scene, mentions: Sequence[Mention], operation: Operation) -> Picked:
    """One is named: it is changed, unless it lends something to another or stands beside an attached one."""
    named, number_said = scene.visible[mentions[0].index], mentions[0].index + 1
    if len(scene.attached) > 1 and operation is Operation.EDIT:
        return Picked(scene.attached, "the attached pictures, in their order")
    others = tuple(picture for picture in scene.newest[-1:] if picture.source != named.source)
    if others and len(scene.attached) == 1:
        pair = (*others, named) if operation is Operation.DESCRIBE else (named, *others)
        return Picked(pair, f"the attached picture and picture {number_said}", tuple(mentions))
    if others and (_lends(scene, mentions[0]) or (patterns("question", "compare").search(scene.heard.core))):
        return Picked((*others, named), f"the newest picture with something of picture {number_said}", tuple(mentions))
    return Picked((named,), f"picture {number_said} is named", tuple(mentions))


def _lends(scene: Scene, mention: Mention) -> bool:
    text = scene.heard.core
    from_it = patterns("beside", "lends").search(text[: mention.start].removesuffix("the "))
    elsewhere = text[: mention.start] + " " + text[mention.end :]
    return from_it is not None and patterns("beside", "takes").search(elsewhere) is not None


def _unnamed(scene: Scene, operation: Operation) -> Picked:
    """No number: all that came along, several when the words say so, otherwise the newest."""
    core = scene.heard.core
    several = patterns("several").search(core) or (
        operation is Operation.DESCRIBE
        and (patterns("question", "compare").search(core) or patterns("question", "which").search(core))
    )
    if len(scene.attached) > 1:
        return Picked(scene.attached, f"the last message comes with {len(scene.attached)} pictures")
    if scene.attached and len(scene.visible) > 1 and operation is Operation.EDIT and patterns("beside").search(core):
        earlier = tuple(picture for picture in scene.visible if picture.source != scene.attached[0].source)
        return Picked((earlier[-1], *scene.attached), "the picture before, with the attached one as a reference")
    if several and len(scene.visible) > 1 and operation in (Operation.EDIT, Operation.DESCRIBE):
        return _several(scene, scene.abilities.most(operation))
    reason = "the attached picture" if scene.attached else f"the picture shown last, by the {scene.newest[-1].role}"
    return Picked(scene.newest[-1:], reason)


def _several(scene: Scene, limit: int) -> Picked:
    core, count = scene.heard.core, 2
    found = pattern(r"(?<!\w)<count>(?!\w)").search(core)
    is_which = patterns("question", "which").search(core) is not None
    if is_which or patterns("several", "all").search(core):
        count = len(scene.visible)
    if found is not None and not is_which:
        count = number(found[0]) or count
    most = min(count, len(scene.visible), max(limit, 1))
    if patterns("several", "first").search(core):
        return Picked(scene.visible[:most], f"the words ask for several pictures, the first {most}")
    return Picked(scene.visible[-most:], f"the words ask for several pictures, the last {most}")


def _mentions(scene: Scene) -> tuple[list[Mention], int | None]:
    """Every picture that the words point at, in the order of the words, or a number that there is no picture for."""
    found: list[Mention] = []
    pointed = {*_numbered(scene), *_ordered(scene), *_told(scene), *_one_of_a_set(scene)}
    for start, end, place in sorted(pointed, key=lambda one: one[:2]):
        if place is None:
            return [], _said_number(scene.heard.core[start:end])
        if not found or start >= found[-1].end:
            found.append(Mention(start, end, place))
    return found, None


def _said_number(said: str) -> int:
    digits = re.search(r"\d+", said)
    ordinals: dict[str, int] = data()["pointing"]["ordinals"]
    words = (number(word) or ordinals.get(word) for word in re.findall(r"\w", said) + said.split())
    return int(digits[0]) if digits else next((abs(word) for word in words if word), 0)


def _numbered(scene: Scene) -> list[tuple[int, int, int | None]]:
    table, core = data()["pointing"], scene.heard.core
    spaced = pattern(rf"(?<!\w)(?:{table['numbered']})(?!\w)").finditer(core)
    matches = [*spaced, *pattern(table["zh_numbered"]).finditer(core)]
    said = [(match.start(), match.end(), _counting(match, next(filter(None, match.groups()), ""))) for match in matches]
    said += _listed(core)
    counted = _counted(scene, max((abs(value or 0) for _, _, value in said), default=0))
    return [(start, end, _place(scene, counted, value)) for start, end, value in said if value is not None]


def _counting(match: re.Match[str], said: str) -> int | None:
    """The number that is said, below zero where it counts from the end."""
    value = number(said)
    return value if value is None or not match[0].startswith("倒数") else -value


def _listed(core: str) -> list[tuple[int, int, int | None]]:
    """Such as "pictures 1 and 3": each number, the first one with what it is of."""
    found: list[tuple[int, int, int | None]] = []
    for match in pattern(rf"(?<!\w){data()['pointing']['listed']}").finditer(core):
        numbers = list(pattern(r"(?<!\w)<pictured>").finditer(core, match.start(), match.end()))
        starts = (match.start(), *(one.start() for one in numbers[1:]))
        found += ((start, one.end(), number(one[1])) for start, one in zip(starts, numbers, strict=True))
    return found


def _told(scene: Scene) -> list[tuple[int, int, int | None]]:
    """Such as "the robot picture": the newest one that came after the user had asked for a robot."""
    found: list[tuple[int, int, int | None]] = []
    for match in pattern(rf"(?<!\w){data()['pointing']['told']}(?!\w)").finditer(scene.heard.core):
        index = None if match[1] in data()["pointing"]["ordinals"] else _made_for(scene, match[1])
        if index is not None:
            found.append((match.start(), match.end(), index))
    return found


def _made_for(scene: Scene, thing: str) -> int | None:
    for index, _, heard in asked_before(scene):
        if thing in heard.core.replace(",", " ").split():
            shown = next((turn.pictures for turn in scene.before[index:] if turn.pictures), None)
            return None if shown is None or is_mask(shown[-1]) else scene.number_of(shown[-1])
    return None


def _one_of_a_set(scene: Scene) -> list[tuple[int, int, int | None]]:
    """Such as "the second balloon", when the newest drawing is of a balloon and came in several pictures; what else is
    "the second balloon" is a thing within a picture."""
    drawn = None if scene.attached else drawing_before(scene)
    if drawn is None:
        return []
    answers = (turn.pictures for turn in scene.before[drawn.index :])
    shown = tuple(one for one in next(filter(None, answers), ()) if not is_mask(one))
    if len(shown) < 2:
        return []
    table, said = data()["pointing"], drawn.heard.core.replace(",", " ").split()
    spaced = pattern(rf"(?<!\w){_thing()}(?!\w)").finditer(scene.heard.core)
    things = [match for match in spaced if match[2] in said and not pattern(table["noun"]).fullmatch(match[2])]
    chinese = pattern(table["zh_thing"]).finditer(scene.heard.core)
    things += [match for match in chinese if match[2] in drawn.heard.core]
    values = ((match, table["ordinals"].get(match[1]) or _counting(match, match[1])) for match in things)
    placed = ((match, _place(scene, shown, value)) for match, value in values)
    return [(match.start(), match.end(), place) for match, place in placed if place is not None]


def _thing() -> str:
    thing: str = data()["pointing"]["thing"]
    return thing.replace("<ordinal>", _ordinal_words())


def _ordinal_words() -> str:
    return "|".join(sorted(data()["pointing"]["ordinals"], key=len, reverse=True))


def _ordered(scene: Scene) -> list[tuple[int, int, int | None]]:
    table, core = data()["pointing"], scene.heard.core
    ordinals: dict[str, int] = table["ordinals"]
    words = _ordinal_words()
    shape = "|".join((
        rf"(?<!\w)(?:the |das |die |la |el |le )?(?:very |toute? )?({words}) {table['noun']}(?!\w)",
        rf"(?<!\w)(?:the|das|la) (?:very )?({words})(?={table['after']})",
        r"(?<!\w)(?:imagen|image) (anterior|precedente)(?!\w)",
        r"(?<!\w)the one (before)(?: (?:that|this|it|the last)(?: one)?)?(?!\w)",
        r"^(undo)(?: (?:it|that|this|(?:the|my) last (?:one|change|edit|step)))?(?=,? (?:and|then) |, )",
    ))  # fmt: skip
    matches = list(re.finditer(expand(shape), core))
    values = [ordinals[next(filter(None, match.groups()))] for match in matches]
    counted = _counted(scene, max(map(abs, values), default=0), by_order=True)
    return [
        (match.start(), match.end(), _ordinal(scene, _from_beginning(scene, match, value) or counted, match[0], value))
        for match, value in zip(matches, values, strict=True)
    ]


def _from_beginning(scene: Scene, match: re.Match[str], value: int) -> Sequence[Shown]:
    """All pictures where the words go back to the first of them, else none."""
    named = next(at for at in range(1, len(match.groups()) + 1) if match[at])
    before = scene.heard.core[: match.start(named)]
    is_meant = value == 1 and len(scene.attached) < 2 and pattern(data()["pointing"]["beginning"]).search(before)
    return scene.visible if is_meant else ()


def _ordinal(scene: Scene, counted: Sequence[Shown], said: str, value: int) -> int | None:
    if "original" in said:
        own = next((index for index, picture in enumerate(scene.visible) if picture.role == "user"), 0)
        return own if scene.visible else None
    if value == -1 and len(scene.attached) == 1 and len(scene.visible) > 1:
        value = -2  # beside an attached picture, the last one is the one before it
    return _place(scene, counted if value > 0 else scene.visible, value)


def _counted(scene: Scene, most: int, *, by_order: bool = False) -> Sequence[Shown]:
    """What numbers up to ``most`` count: the attached ones when those are meant, or all."""
    if len(scene.attached) > 1 and most <= len(scene.attached):
        return scene.attached
    if by_order and not scene.attached and 1 < len(scene.last_shown) >= most:
        return scene.last_shown
    return scene.visible


def _place(scene: Scene, counted: Sequence[Shown], value: int | None) -> int | None:
    if not value or abs(value) > len(counted):
        return None
    return scene.number_of(counted[value - 1 if value > 0 else value])
