"""Understands questions as far as the embedded reader can answer them: what is wanted, and what is named.

Pure text. English, and the plain forms of German, Spanish, French and Chinese questions.
"""

import re
from dataclasses import dataclass
from typing import Literal

from limner.engine.speaking.canonical import Group, Seen
from limner.engine.speaking.lexicon import colors_in, fold, kinds_in, scenery_in

Intent = Literal[
    "beyond", "same", "which", "compare", "count", "where", "size", "background", "color", "presence", "describe",
    "other",
]  # fmt: skip

_INTENTS: tuple[tuple[Intent, str], ...] = (
    (
        "beyond",
        r"\b(text|read|says?|written|writing|letters?|words?|spell|who|whose|person|people|man|woman|child|emotions?|"
        r"feel(ing)?|mood|happy|sad|price|cost|worth|brand|artist|painted by|old|age|year|country|city|why|font|"
        r"logo|steht|geschrieben|wer|wessen|preis|kostet|warum|texto|escrito|quien|precio|cuesta|por que|texte|ecrit|"
        r"prix|coute|pourquoi)\b|^qui\b|文字|写|谁|价格|多少钱|为什么|情绪|"
        r"\b(more|less|\w+er)\b.{0,60}\bthan\b|\b(mehr|weniger|\w+er)\b.{0,60}\bals\b|"
        r"\b(mas|menos)\b.{0,60}\bque\b|\b(plus|moins)\b.{0,60}\bqu[e']|比(?!较).{1,20}[大小多少高矮亮暗]",
    ),
    (
        "same",
        r"\b(same|identical|equal|alike|gleich|identisch|igual(es)?|mism[oa]s?|identiques?|pareil(le)?s?|memes?)\b|"
        r"一样|相同",
    ),
    (
        "which",
        r"\b(which (one|picture|image|of)|in which|welches (bild|von)|auf welchem|in welchem|en cual|cual de|"
        r"cual imagen|laquelle|quelle image)\b|哪一?[张个幅]",
    ),
    (
        "compare",
        r"\b(chang\w*|differ\w*|compar\w*|between|unterschied\w*|geandert|anders|vergleich\w*|cambi\w*|diferen\w*|"
        r"compara\w*)\b|不同|区别|变化|变了|比较",
    ),
    ("count", r"\b(how many|number of|count|wie ?viele?|cuant[oa]s|combien)\b|多少|几[个只张颗朵辆条]"),
    ("where", r"\b(where|position|located|wo|donde|ou est|ou sont|ou se)\b|哪里|哪儿|在哪|位置"),
    ("size", r"\b(how (big|large|small)|what size|wie gross|que tamano|quelle taille)\b|多大"),
    ("background", r"\b(backgrounds?|backdrop|behind|hintergrund|fondo|fond|arriere)\b|背景"),
    ("color", r"\b(colou?rs?|coloured|farbe\w*|colores|couleurs?)\b|颜色|什么色"),
    (
        "presence",
        r"\b(is|are|does|do you see|can you see|has|have|any|contains?|gibt es|ist|sind|siehst|hat|hay|tiene|ves|"
        r"y a[- ]t[- ]il|il y a|est-ce|a-t-il|vois)\b|有没有|有|吗",
    ),
    (
        "describe",
        r"\b(what|what's|whats|describe|caption|explain|tell|show\w*|see|was|beschreib\w*|que|describ\w*|cual|quoi|decri\w*|"
        r"qu'est|montre)\b|什么|描述|说明",
    ),
)
_PATTERNS = tuple((intent, re.compile(pattern)) for intent, pattern in _INTENTS)
_SIDE = re.compile(
    r"\b(left|right|top|bottom|above|below|under|inside|corner|middle|cent(er|re)|next|beside|links|rechts|oben|unten|"
    r"neben|izquierda|derecha|arriba|abajo|gauche|droite|haut|bas)\b|左|右|上|下|中间|旁"
)
_OPEN = re.compile(r"\b(what|what's|was|que|quoi|qu'est|how|wie)\b|什么")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question understood as far as it goes: what it wants, and what it names.

    `open` asks for more than yes or no; `sided` speaks of places.
    """

    intent: Intent
    kinds: tuple[str, ...] = ()
    colors: tuple[str, ...] = ()
    scenery: tuple[str, ...] = ()
    open: bool = False
    sided: bool = False


def understand(question: str) -> Asked:
    """Find out what a question wants and names."""
    folded = fold(question)
    kinds, colors, scenery = kinds_in(folded), colors_in(folded), scenery_in(folded)
    intent: Intent = "describe" if not folded.strip(" ?!.。？") else "other"
    intent = next((name for name, pattern in _PATTERNS if pattern.search(folded)), intent)
    if intent == "other" and (kinds or scenery):
        intent = "presence"
    return Asked(intent, kinds, colors, scenery, bool(_OPEN.search(folded)), bool(_SIDE.search(folded)))


def matching(seen: Seen, asked: Asked) -> tuple[Group, ...]:
    """Return the groups that a question names by kind, colour or both; all of them when it names none."""
    return tuple(
        group
        for group in seen.groups
        if (not asked.kinds or group.kind in asked.kinds) and (not asked.colors or group.color in asked.colors)
    )
