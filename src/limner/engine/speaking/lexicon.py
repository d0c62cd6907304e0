"""The words by which questions name what the embedded reader knows, in English, German, Spanish, French and Chinese.

Pure text. Accents do not matter: everything is compared folded. Chinese words are looked for anywhere, others as words.
"""

import re
import unicodedata
from collections.abc import Mapping

from limner.engine.speaking.canonical import COLORS

ENDINGS = r"(?:s|es|e|n|en|er|em|x)?"

KINDS: Mapping[str, str] = {
    "circle": "circle disc disk ball dot kreis circulo bola cercle 圆形 圆圈 圆",
    "square": "square box quadrat cuadrado carre 正方形 方块 方形",
    "rectangle": "rectangle bar rechteck rectangulo 长方形 矩形",
    "oval": "oval ellipse ovalo elipse ovale 椭圆",
    "triangle": "triangle dreieck triangulo 三角",
    "star": "star stern estrella etoile 星星 星",
    "heart": "heart herz corazon corazones coeur 心形 心",
    "ring": "ring donut hoop anillo anneau anneaux 环 圆环",
    "diamond": "diamond rhombus raute rombo losange 菱形",
    "cross": "cross plus kreuz cruz cruces croix 十字",
    "hexagon": "hexagon sechseck hexagono hexagone 六边形 六角形",
    "moon": "moon crescent mond luna lune 月亮 月",
    "house": "house home building haus hauser casa maison 房子 房屋 屋",
    "tree": "tree fir pine baum baume arbol arbre sapin 树",
    "flower": "flower daisy blossom blume flor fleur 花",
    "cat": "cat kitten kitty katze gato chat 猫",
    "fish": "fish fisch pez peces pescado poisson 鱼",
    "car": "car automobile taxi vehicle auto wagen coche carro voiture 汽车 车",
    "boat": "boat ship sailboat boot(?!s\\b) schiff segelboot barco bateau bateaux 船",
    "smiley": "smiley emoji smile gesicht carita 笑脸",
    "sun": "sun sonne sol soleil 太阳",
    "cloud": "cloud wolke nube nuage 云",
    "mountain": "mountain hill peak berg montana montagne 山",
    "apple": "apple apfel manzana pomme 苹果",
    "mushroom": "mushroom toadstool pilz seta hongo champignon 蘑菇",
    "balloon": "balloon ballon luftballon globo 气球",
    "rocket": "rocket spaceship rakete cohete fusee 火箭",
}
COLOR_WORDS: Mapping[str, str] = {
    "red": "red crimson rot rojo roja rouge 红",
    "green": "green grun verde vert verte 绿",
    "blue": "blue blau azul azules bleu bleue 蓝",
    "yellow": "yellow gold golden gelb amarillo amarilla jaune 黄",
    "orange": "orange naranja 橙",
    "purple": "purple violet lila violett morado morada violette 紫",
    "pink": "pink magenta rosa 粉",
    "brown": "brown braun marron 棕 褐",
    "black": "black schwarz negro negra noir noire 黑",
    "white": "white weiss blanco blanca blanc blanche 白",
    "gray": "gray grey grau gris 灰",
    "cyan": "cyan turquoise teal turkis 青",
    "light blue": "hellblau 浅蓝",
    "light green": "hellgrun mint 浅绿",
    "light pink": "hellrosa 浅粉",
    "beige": "beige cream 米色",
    "dark blue": "navy dunkelblau 深蓝",
    "dark green": "dunkelgrun 深绿",
}
SCENERY: Mapping[str, str] = {
    "grass": "grass meadow lawn field gras wiese hierba cesped pasto herbe 草",
    "sea": "sea ocean water lake meer wasser mar agua mer eau 海 水",
    "sand": "sand beach desert strand wuste arena playa desierto sable plage 沙",
    "snow": "snow winter schnee nieve neige 雪",
    "day": "day daytime daylight tag dia jour 白天",
    "sunset": "sunset dusk sunrise evening sonnenuntergang abend atardecer 日落 傍晚",
    "night": "night nacht noche nuit 夜",
}


def fold(text: str) -> str:
    """Return text in small letters without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def _pattern(words: str) -> re.Pattern[str]:
    """Compile one entry: Latin words with the endings of plurals and cases, Chinese anywhere."""
    latin = [word for word in words.split() if word.isascii()]
    others = [word for word in words.split() if not word.isascii()]
    return re.compile("|".join([rf"\b(?:{'|'.join(latin)}){ENDINGS}\b", *others]))


_KINDS = {kind: _pattern(words) for kind, words in KINDS.items()}
_COLORS = {color: _pattern(words) for color, words in COLOR_WORDS.items()}
_SCENERY = {word: _pattern(words) for word, words in SCENERY.items()}
_TWO_WORDS = [color for color in COLORS if " " in color]


def named(folded: str, table: Mapping[str, re.Pattern[str]]) -> tuple[str, ...]:
    """Return what of `table` a folded text names, in the order of the text."""
    found = {word: match.start() for word, pattern in table.items() if (match := pattern.search(folded))}
    return tuple(sorted(found, key=lambda word: found[word]))


def kinds_in(folded: str) -> tuple[str, ...]:
    """Return the kinds of thing a folded text names."""
    return named(folded, _KINDS)


def scenery_in(folded: str) -> tuple[str, ...]:
    """Return the grounds and times a folded text names."""
    return named(folded, _SCENERY)


def colors_in(folded: str) -> tuple[str, ...]:
    """Return the colours a folded text names; "light blue" is one colour."""
    both = [color for color in _TWO_WORDS if color in folded]
    for color in both:
        folded = folded.replace(color, " ")
    return (*both, *named(folded, _COLORS))
