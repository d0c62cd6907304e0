"""Puts what was seen into English phrases and sentences. Pure text; knows no question."""

from collections.abc import Sequence

from limner.engine.speaking.canonical import UNKNOWN, Group, Seen, parse, plural

WORLD = "I only know simple drawings of shapes and objects, such as circles, stars, houses and cats"
UNREADABLE = f"I cannot make out what this picture shows. {WORLD}."
NUMBERS = ("no", "one", "two", "three", "four", "five")


def sentence(caption: str) -> str:
    """Return a caption as a sentence."""
    seen = parse(caption)
    bare = seen is not None and not seen.groups and not seen.aloft and not seen.behind.time
    text = f"{caption.strip()} with nothing on it" if bare else caption.strip()
    return f"{text[:1].upper()}{text[1:]}." if text != UNKNOWN else UNREADABLE


def what_is_seen(caption: str) -> str:
    """Return "I see a red circle on a white background."."""
    return f"I see {caption.strip()}."


def noun(group: Group) -> str:
    """Return "a small red circle" or "two red circles"."""
    words = " ".join(word for word in (group.size, group.color) if word)
    if group.number > 1:
        return f"{NUMBERS[group.number]} {words} {plural(group.kind)}"
    return f"{'an' if words[0] in 'aeio' else 'a'} {words} {group.kind}"


def the(group: Group, *, colored: bool = True) -> str:
    """Return "the red circle" or "the two red circles"."""
    words = [NUMBERS[group.number] if group.number > 1 else "", group.color if colored else ""]
    return " ".join(["the", *filter(None, words), group.kind if group.number == 1 else plural(group.kind)])


def listed(parts: Sequence[str]) -> str:
    """Join parts with commas and "and"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def capital(text: str) -> str:
    """Return text with a capital first letter."""
    return text[:1].upper() + text[1:]


def everything(seen: Seen) -> str:
    """Return all things of a picture: "a red circle and a sun", or "nothing but the background"."""
    parts = [*map(noun, seen.groups), *(f"a {kind}" for kind in seen.aloft)]
    return listed(parts) if parts else "nothing but the background"


def background_words(seen: Seen) -> str:
    """Return the background as a noun phrase."""
    behind = seen.behind
    match behind.pattern:
        case "plain":
            return f"plain {behind.colors[0]}"
        case "gradient":
            return f"a {behind.direction} gradient from {behind.colors[0]} to {behind.colors[1]}"
        case "checkerboard":
            return f"a {behind.colors[0]} and {behind.colors[1]} checkerboard"
        case "stripes":
            return f"{behind.direction} {behind.colors[0]} and {behind.colors[1]} stripes"
        case "night sky":
            return "a night sky"
        case "land":
            return f"{behind.ground} {'by' if behind.time == 'day' else 'at'} {behind.time}"
