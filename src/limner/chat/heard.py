"""What was said, made ready for reading: case, accents and slips of typing put right, politeness taken off.

Owns the text only. The user's own spelling is kept beside what is read, letter by letter, so that whatever is found
can be handed on as it was written.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from limner.chat.words import data, expand, patterns

HEARD_CHARS = 4000  # nobody names an operation later than that; the prompt itself is never cut
_QUOTED = re.compile(r"\"[^\"\n]{1,500}\"|“[^”\n]{1,500}”|„[^“”\n]{1,500}[“”]|«[^»\n]{1,500}»|「[^」\n]{1,500}」")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_EDGE = " \t,.;:!?…，。！？、；：~-–—¿¡\"'"
_FOREIGN_QUOTES = str.maketrans({"’": "'", "‘": "'", "`": "'", "´": "'"})


@dataclass(frozen=True, slots=True)
class Heard:
    """``core`` is what is read; ``shown`` has the user's spelling, character for character as long.

    ``prompt`` is all that was written, without politeness at its ends. ``fresh`` when the words leave what was shown
    aside ("forget that, ..."). ``text`` is everything as read, politeness included.
    """

    text: str
    core: str
    shown: str
    prompt: str
    fresh: bool

    def words(self) -> int:
        """How many words; a Chinese character counts as half of one."""
        chinese = sum("一" <= letter <= "鿿" for letter in self.core)
        return len(self.core.split()) + chinese // 2


_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))  # letters of no width


def hear(raw: str) -> Heard:
    """``raw`` made ready; pure, in time linear in its length."""
    raw = raw if raw.translate(_INVISIBLE).strip() else ""
    letters = _read(raw[:HEARD_CHARS])
    text = "".join(letter for letter, _, _ in letters)
    start, end, fresh = _ends(text)
    prompt = raw.strip()
    if 0 < end - start < len(text):
        stop = len(raw.rstrip()) if end == len(text) else letters[end - 1][2] + 1
        prompt = _closed(raw, letters[start][2], stop)
    core = text[start:end].rstrip(_EDGE)
    shown = "".join(letter for _, letter, _ in letters[start : start + len(core)])
    return Heard(text, core, shown, prompt, fresh)


def _closed(raw: str, start: int, stop: int) -> str:
    """The part of ``raw``, with its own closing mark unless that closed a polite question."""
    rest = raw[start:stop].strip()
    was_polite = start > 0 and rest.endswith(("?", "？")) and not _is_question(rest)
    return rest.rstrip("?？ ") if was_polite else rest.rstrip(" ,，")


def _is_question(text: str) -> bool:
    from_reading = "".join(letter for letter, _, _ in _read(text[:200]))
    return patterns("question").search(from_reading.strip(_EDGE)) is not None


def _read(raw: str) -> list[tuple[str, str, int]]:
    """Letters as (read, shown, place in ``raw``), spaces collapsed."""
    plain = _QUOTED.sub(lambda match: '"' + "·" * (len(match[0]) - 2) + '"', raw.translate(_FOREIGN_QUOTES))
    letters: list[tuple[str, str, int]] = []
    for word in re.finditer(r"\S+", plain):
        if letters:
            letters.append((" ", " ", word.start() - 1))
        letters += _spelled(word[0], raw, word.start())
    return letters


def _spelled(word: str, raw: str, start: int) -> Iterator[tuple[str, str, int]]:
    places = [index for index, letter in enumerate(word) if not unicodedata.combining(letter)]
    read = "".join(_bare(word[index]) for index in places)
    match = _WORD.search(read)
    better = None if match is None else _corrected(match[0])
    if match is None or better is None:
        yield from ((letter, raw[start + at], start + at) for letter, at in zip(read, places, strict=True))
        return
    whole = read[: match.start()] + better + read[match.end() :]
    for index, letter in enumerate(whole):
        yield letter, letter, start + min(index, len(word) - 1)


@cache
def _bare(letter: str) -> str:
    """One lower-case letter without its accent."""
    lower = unicodedata.normalize("NFKD", letter.lower())[:1]
    return {"ß": "s", "œ": "o", "æ": "a", "ø": "o"}.get(lower, lower or " ")


def _corrected(word: str) -> str | None:
    """The word that was meant, or None when ``word`` stands as it is."""
    slips: dict[str, str] = data()["slips"]
    if word in slips:
        return slips[word]
    known: Sequence[str] = data()["correct"]["commands"]
    if len(word) < 5 or word in known or word in data()["correct"]["real"]:
        return None
    most = 2 if len(word) >= 8 else 1
    near = (command for command in known if command[0] == word[0] and abs(len(command) - len(word)) <= most)
    meant = (command for command in near if command not in (word + "s", word[:-1]) and _off(word, command) <= most)
    return next(meant, None)


def _off(one: str, other: str) -> int:
    """Letters missed, added, mistaken or swapped with their neighbour (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _ends(text: str) -> tuple[int, int, bool]:
    """Where what is said begins and ends, and whether it leaves aside what was before."""
    lead, tail, fresh = _edges()
    start, end, is_fresh = _skip(text, 0, len(text)), len(text), False
    while len(text) < HEARD_CHARS - 1 and (match := tail.search(text, start, end)):
        if not text[start : match.start()].strip(_EDGE):
            break
        end = match.start()
    while start < end:
        if match := fresh.match(text, start):
            is_fresh = True
        else:
            match = lead.match(text, start)
        if match is None or not text[match.end() : end].strip(_EDGE):
            break
        start = _skip(text, match.end(), end)
    return start, end, is_fresh


def _skip(text: str, start: int, end: int) -> int:
    while start < end and text[start] in " ,.;:!?，。！、：¿¡":
        start += 1
    return start


@cache
def _edges() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Patterns of what is taken off the beginning, off the end, and of what sets the past aside."""
    polite = data()["polite"]
    lead, marked = "|".join(polite["lead"]), "|".join(polite["marked"])
    ask, chinese = "|".join(polite["ask"]), "|".join(polite["zh_lead"])
    begin = rf"(?:{ask})(?:(?<= )|(?!\w))|(?:{marked})[,.!:;]+ ?|(?:{lead})(?:[,.!:;]+ ?| )|(?:{chinese})[，, ]?"
    finish = re.compile(
        rf"[ ,.]+(?:{'|'.join(polite['tail'])})[ .!?]*\Z|[，, ]?(?:{'|'.join(polite['zh_tail'])})[。！？!? ]*\Z"
    )
    return re.compile(expand(begin)), finish, re.compile(expand("|".join([*polite["fresh"], *polite["zh_fresh"]])))
