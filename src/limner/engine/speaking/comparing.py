"""Compares pictures by their captions: which of them has something, and how two of them differ. Pure text."""

from collections.abc import Sequence

from limner.engine.speaking.asking import Asked, matching
from limner.engine.speaking.canonical import KINDS, Group, Seen, parse
from limner.engine.speaking.phrases import background_words, capital, listed, noun, sentence, the


def which(captions: Sequence[str], asked: Asked) -> str:
    """Answer which pictures have what a question names."""
    having = []
    for index, caption in enumerate(captions, 1):
        seen = parse(caption)
        if seen is not None and has(seen, asked):
            having.append(f"image {index}")
    if not having:
        return "None of them. " + " ".join(f"Image {i}: {sentence(c)}" for i, c in enumerate(captions, 1))
    return f"{capital(listed(having))}."


def has(seen: Seen, asked: Asked) -> bool:
    """Tell whether a picture has the named things, colours or scenery."""
    if asked.kinds:
        return bool(matching(seen, asked)) or (not asked.colors and bool(set(asked.kinds) & set(seen.aloft)))
    if asked.scenery:
        return asked.scenery[0] in (seen.behind.ground, seen.behind.time)
    if asked.intent == "which" and asked.colors:
        return bool(matching(seen, asked)) or asked.colors[0] in seen.behind.colors
    return False


def compared(before: str, after: str, index: int) -> str:
    """Say how the picture `index` differs from the next."""
    one, two = parse(before), parse(after)
    if one is None or two is None:
        return f"I cannot compare them. Image {index}: {sentence(before)} Image {index + 1}: {sentence(after)}"
    if before.strip() == after.strip():
        return f"As far as I can tell images {index} and {index + 1} show the same: {before.strip()}."
    found = differences(one, two, f"image {index}", f"image {index + 1}")
    return " ".join(f"{capital(line)}." for line in found)


def differences(one: Seen, two: Seen, first: str, second: str) -> list[str]:
    """List what differs: things changed, gone or new, what hangs in the sky, the background, the arrangement."""
    lines: list[str] = []
    for kind in KINDS:
        a, b = [g for g in one.groups if g.kind == kind], [g for g in two.groups if g.kind == kind]
        if len(a) == len(b) == 1:
            lines += changes(a[0], b[0], first, second)
        else:
            lines += [f"{noun(g)} {'is' if g.number == 1 else 'are'} only in {first}" for g in a if g not in b]
            lines += [f"{noun(g)} {'is' if g.number == 1 else 'are'} only in {second}" for g in b if g not in a]
    lines += [f"a {kind} is only in {first}" for kind in one.aloft if kind not in two.aloft]
    lines += [f"a {kind} is only in {second}" for kind in two.aloft if kind not in one.aloft]
    if one.behind != two.behind:
        lines.append(f"the background is {background_words(one)} in {first} and {background_words(two)} in {second}")
    return lines or ["the same things are there, but they are arranged differently"]


def changes(a: Group, b: Group, first: str, second: str) -> list[str]:
    """List how one thing differs between two pictures."""
    lines = []
    what = f"the {a.kind}"
    if a.number != b.number:
        lines.append(f"there {'is' if a.number == 1 else 'are'} {noun(a)} in {first} and {noun(b)} in {second}")
    elif a.color != b.color:
        lines.append(f"{what if a.number == 1 else the(a, colored=False)} {'is' if a.number == 1 else 'are'} "
                     f"{a.color} in {first} and {b.color} in {second}")  # fmt: skip
    if a.size != b.size and a.number == b.number:
        lines.append(f"{what} is {a.size or 'of middle size'} in {first} and {b.size or 'of middle size'} in {second}")
    if a.place != b.place and a.number == b.number:
        lines.append(f"{what} is {a.place or 'in the middle'} in {first} and {b.place or 'in the middle'} in {second}")
    return lines
