"""Answers questions from captions alone: what the embedded reader saw, put into the words that were asked for.

Pure text to text, in English whatever the language of the question. Beyond the reader's world it says so plainly.
"""

from collections.abc import Sequence
from dataclasses import replace

from limner.engine.speaking.asking import Asked, matching, understand
from limner.engine.speaking.canonical import UNKNOWN, Group, Seen, parse, plural
from limner.engine.speaking.comparing import compared, which
from limner.engine.speaking.phrases import (
    NUMBERS,
    UNREADABLE,
    WORLD,
    background_words,
    capital,
    everything,
    listed,
    noun,
    sentence,
    the,
    what_is_seen,
)

NO_PICTURE = f"There is no picture to look at. {WORLD}: show me one and I will say what is on it."
WAYS = {"left": ("to the left of", "to the right of"), "above": ("above", "below"), "inside": ("inside", "around")}


def answer(captions: Sequence[str], question: str) -> str:
    """Answer `question` about the pictures whose canonical captions are given; an empty question asks for them."""
    asked = understand(question)
    if not captions:
        return NO_PICTURE
    if len(captions) == 1:
        return about(captions[0], asked)
    match asked.intent:
        case "same" | "compare":
            found = " ".join(compared(captions[i], captions[i + 1], i + 1) for i in range(len(captions) - 1))
            differ = len(set(captions)) > 1 and None not in map(parse, captions)
            return f"No. {found}" if asked.intent == "same" and differ else found
        case "which":
            return which(captions, asked)
        case "beyond" | "other":
            return f"{WORLD}, so I cannot tell. {each(captions, Asked('describe'))}"
        case _:
            return each(captions, asked)


def each(captions: Sequence[str], asked: Asked) -> str:
    """Answer about every picture, one line for each."""
    return "\n".join(f"Image {i}: {about(caption, asked)}" for i, caption in enumerate(captions, 1))


def about(caption: str, asked: Asked) -> str:
    """Answer about one picture."""
    if caption.strip() == UNKNOWN:
        return UNREADABLE
    seen = parse(caption)
    if seen is None:
        return sentence(caption)
    match asked.intent:
        case "beyond" | "other":
            return f"{WORLD}, so I cannot tell. {what_is_seen(caption)}"
        case "count":
            return count(seen, asked)
        case "where":
            return where(seen, asked)
        case "size":
            return size(seen, asked)
        case "background":
            return background(seen, asked)
        case "color":
            return color(seen, asked)
        case "presence":
            return presence(caption, seen, asked)
        case _ if asked.colors and not asked.kinds:
            return of_color(seen, asked)
        case _:
            return sentence(caption)


def missing(seen: Seen, asked: Asked) -> str:
    """Say that there is nothing of what a question names."""
    wanted = " ".join([*asked.colors[:1], asked.kinds[0] if asked.kinds else "thing"])
    return f"There is no {wanted} here; I see {everything(seen)}."


def count(seen: Seen, asked: Asked) -> str:
    """Answer how many there are, of every kind by itself."""
    if len(asked.kinds) > 1:
        return " ".join(count(seen, replace(asked, kinds=(kind,))) for kind in asked.kinds)
    aloft = sum(kind in asked.kinds for kind in seen.aloft) if asked.kinds else 0
    total = sum(group.number for group in matching(seen, asked)) + (0 if asked.colors else aloft)
    kind = asked.kinds[0] if asked.kinds else "thing"
    words = [*filter(None, [" or ".join(asked.colors)]), kind if total == 1 else plural(kind)]
    number = NUMBERS[total] if total < len(NUMBERS) else str(total)
    rest = f": {everything(seen)}" if not asked.kinds and total else ""
    return f"There {'is' if total == 1 else 'are'} {number} {' '.join(words)}{rest}."


def where(seen: Seen, asked: Asked) -> str:
    """Answer where the things are that a question names."""
    places = [f"{capital(f'the {kind}')} is in the sky." for kind in seen.aloft if kind in asked.kinds]
    places += [place(seen, group) for group in matching(seen, asked)]
    return " ".join(places) if places else missing(seen, asked)


def place(seen: Seen, group: Group) -> str:
    """Say where one group is: beside, above or inside another, at a place, among others, or in the middle."""
    be = "is" if group.number == 1 else "are"
    behind = seen.behind
    on = f"{'in' if behind.ground == 'snow' else 'on'} the {behind.ground}" if behind.ground else ""
    if seen.relation and len(seen.groups) == 2:
        first = group == seen.groups[0]
        other = the(seen.groups[1] if first else seen.groups[0])
        spot = f"{WAYS[seen.relation][0 if first else 1]} {other}"
    elif len(seen.groups) > 1:
        spot = f"next to {listed([the(g) for g in seen.groups if g != group])}"
    elif group.number > 1:
        spot = f"side by side{', ' + on if on else ''}" if group.number < 4 else "one in each quarter of the picture"
    else:
        spot = ", ".join(filter(None, (on, group.place))) or "in the middle"
    return f"{capital(the(group))} {be} {spot}."


def size(seen: Seen, asked: Asked) -> str:
    """Answer how large the named things are."""
    found = matching(seen, asked)
    lines = [f"{capital(the(g))} {'is' if g.number == 1 else 'are'} {g.size or 'of middle size'}." for g in found]
    return " ".join(lines) if lines else missing(seen, asked)


def background(seen: Seen, asked: Asked) -> str:
    """Answer what the background is, or whether it has a colour."""
    text = f"The background is {background_words(seen)}."
    if not asked.colors or asked.open:
        return text
    return f"{'Yes' if asked.colors[0] in seen.behind.colors else 'No'}. {text}"


def color(seen: Seen, asked: Asked) -> str:
    """Answer which colours the named things have, or all colours of the picture."""
    if not asked.kinds:
        things = [f"{the(g, colored=False)} {'is' if g.number == 1 else 'are'} {g.color}" for g in seen.groups]
        return f"{capital(listed([*things, f'the background is {background_words(seen)}']))}."
    found = [f"{the(g, colored=False)} {'is' if g.number == 1 else 'are'} {g.color}"
             for g in seen.groups if g.kind in asked.kinds]  # fmt: skip
    found += [f"the {k} is {'white' if k == 'cloud' else 'yellow'}" for k in seen.aloft if k in asked.kinds]
    return f"{capital(listed(found))}." if found else missing(seen, asked)


def of_color(seen: Seen, asked: Asked) -> str:
    """Answer what has the named colour."""
    found = matching(seen, asked)
    if found:
        return f"{capital(listed([the(group, colored=False) for group in found]))}."
    if asked.colors[0] in seen.behind.colors:
        return f"Only the background: it is {background_words(seen)}."
    return f"Nothing here is {asked.colors[0]}; I see {everything(seen)}."


def presence(caption: str, seen: Seen, asked: Asked) -> str:
    """Answer whether something is there, and whether it has a colour."""
    if asked.kinds and (asked.open or asked.sided):
        return where(seen, asked)
    if asked.kinds:
        found = matching(seen, asked)
        if found or (not asked.colors and set(asked.kinds) & set(seen.aloft)):
            shown = [*map(noun, found), *(f"a {k}" for k in seen.aloft if k in asked.kinds and not asked.colors)]
            wanted = [k for k in asked.kinds if k not in {*(g.kind for g in found), *seen.aloft}]
            but = f", but no {wanted[0]}" if wanted else ""
            return f"Yes, I see {listed(shown)}{but}."
        other = [group for group in seen.groups if group.kind in asked.kinds]
        return (
            f"No, {listed([f'{the(g, colored=False)} is {g.color}' for g in other])}."
            if other
            else (f"No, I see {everything(seen)}.")
        )
    if asked.scenery:
        there = asked.scenery[0] in (seen.behind.ground, seen.behind.time)
        return f"{'Yes' if there else 'No'}. {what_is_seen(caption)}"
    if asked.colors:
        return of_color(seen, asked)
    return f"{WORLD}, so I cannot tell. {what_is_seen(caption)}" if not asked.open else sentence(caption)
