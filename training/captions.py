"""Says in words what a scene shows, differently at every call.

Attributes are dropped only where the scene shows what a bare prompt should give (a usual colour, a white background,
the centre), so that short prompts have clean answers. Owns all words for kinds, colours and places.
"""

import random

from training.palette import COLOR_SYNONYMS
from training.scenes import USUAL_COLORS, Background, Scene, Thing
from training.words import FILLER_ADJECTIVES, STRANGE_WORDS, TAILS

KIND_WORDS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "disc", "ball", "dot"),
    "square": ("square", "box"),
    "rectangle": ("rectangle", "bar"),
    "oval": ("oval", "ellipse"),
    "ring": ("ring", "donut", "hoop"),
    "diamond": ("diamond", "rhombus"),
    "cross": ("cross", "plus", "plus sign"),
    "moon": ("moon", "crescent", "crescent moon"),
    "house": ("house", "home", "hut", "building"),
    "flower": ("flower", "daisy", "blossom"),
    "cat": ("cat", "cat face", "kitten", "kitty", "cat's head"),
    "car": ("car", "automobile", "taxi", "vehicle"),
    "boat": ("boat", "sailboat", "ship", "sailing boat"),
    "smiley": ("smiley", "smiley face", "smiling face", "happy face", "smile", "emoji"),
    "mushroom": ("mushroom", "toadstool"),
    "mountain": ("mountain", "peak", "hill"),
    "balloon": ("balloon",),
    "rocket": ("rocket", "spaceship", "space rocket"),
}
TREE_WORDS = (("tree", "round tree", "leafy tree"), ("tree", "fir", "pine tree", "pine", "christmas tree"))
SIZE_WORDS = {"small": ("small", "small", "tiny", "little"), "large": ("large", "big", "large", "huge", "giant")}
PREFIXES = (
    "a picture of ",
    "a drawing of ",
    "an image of ",
    "draw ",
    "draw me ",
    "please draw ",
    "show me ",
    "paint ",
    "i want ",
    "generate ",
    "create ",
    "can you draw ",
    "an illustration of ",
    "a painting of ",
    "a photo of ",
    "a sketch of ",
    "a simple drawing of ",
    "there is ",
    "a cartoon of ",
    "an icon of ",
)
POSITION_PHRASES: dict[str, tuple[str, ...]] = {
    "left": (" on the left", " on the left side", " at the left"),
    "right": (" on the right", " on the right side", " at the right"),
    "top": (" at the top", " near the top", " on top"),
    "bottom": (" at the bottom", " near the bottom"),
    "center": (" in the center", " in the middle", " centered", " in the centre"),
}
RELATION_PHRASES: dict[str, tuple[str, ...]] = {
    "left": (" to the left of ", " left of ", " on the left of ", " at the left of "),
    "right": (" to the right of ", " right of ", " on the right of ", " at the right of "),
    "above": (" above ", " over ", " on top of "),
    "below": (" below ", " under ", " beneath ", " underneath "),
    "inside": (" inside ", " in ", " inside of ", " within "),
}
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
SKY_PHRASES: dict[str, tuple[str, ...]] = {
    "day": (" under a blue sky", " on a sunny day", " in the daytime", " by day", " during the day", " on a clear day"),
    "sunset": (" at sunset", " under an orange sky", " at dusk", " in the evening", " at sunrise", " during sunset"),
    "night": (" at night", " under a night sky", " under the stars", " by night", " in the dark", " on a starry night"),
}
GROUND_PHRASES: dict[str, tuple[str, ...]] = {
    "grass": (" on grass", " on green grass", " on a meadow", " on the grass", " in a field", " in a green field"),
    "sea": (" on the sea", " on the water", " on the ocean", " at sea", " in the sea"),
    "sand": (" on the beach", " in the desert", " on sand", " on the sand", " on a sandy beach"),
    "snow": (" in the snow", " on snow", " in winter", " in a snowy field", " on a snowy day"),
}
GROUND_NOUNS: dict[str, tuple[str, ...]] = {
    "grass": ("a meadow", "a green field", "grass", "a landscape", "green grass", "a park"),
    "sea": ("the sea", "the ocean", "water", "a lake", "the sea horizon", "waves"),
    "sand": ("a desert", "a beach", "sand", "the desert", "sand dunes"),
    "snow": ("a snowy field", "snow", "a snowy landscape", "winter", "a winter landscape"),
}
NUMBERS = {2: ("two", "two", "2", "a pair of"), 3: ("three", "three", "3"), 4: ("four", "four", "4")}
IRREGULAR = {"cross": "crosses", "box": "boxes", "fish": "fish", "plus": "pluses", "smiley": "smileys"}


def article(words: str) -> str:
    """Put "a" or "an" before `words`."""
    return f"{'an' if words[0] in 'aeio' else 'a'} {words}"


def plural(noun: str) -> str:
    """Return the plural of a noun used for kinds."""
    head, _, last = noun.rpartition(" ")
    many = IRREGULAR.get(last) or (f"{last[:-1]}ies" if last.endswith("ty") else f"{last}s")
    return f"{head} {many}".strip()


def color_word(rng: random.Random, color: str) -> str:
    """Return a word for a colour, sometimes a synonym."""
    return rng.choice(COLOR_SYNONYMS[color]) if color in COLOR_SYNONYMS and rng.random() < 0.12 else color


def kind_word(rng: random.Random, kind: str, variant: int = 0) -> str:
    """Return a word for a kind, sometimes a synonym."""
    words = TREE_WORDS[variant] if kind == "tree" else KIND_WORDS.get(kind, (kind,))
    return words[0] if rng.random() < 0.65 else rng.choice(words)


def noun_phrase(rng: random.Random, thing: Thing, *, keep_color: float = 0.4, count: int = 1) -> str:
    """Describe a thing without its article; its colour stays with `keep_color` probability if it is the usual one."""
    words = []
    if rng.random() < 0.05:
        words.append(rng.choice(FILLER_ADJECTIVES))
    if thing.size and rng.random() < 0.95:
        words.append(rng.choice(SIZE_WORDS[thing.size]))
    usual = thing.color in USUAL_COLORS.get(thing.kind, ())
    if thing.color and rng.random() < (keep_color if usual else 0.97):
        words.append(color_word(rng, thing.color))
    noun = kind_word(rng, thing.kind, thing.variant)
    words.append(plural(noun) if count > 1 else noun)
    phrase = " ".join(words)
    if thing.accent and thing.kind == "house" and rng.random() < 0.5:
        phrase += f" with {article(color_word(rng, thing.accent))} roof"
    return phrase


def background_phrase(rng: random.Random, background: Background) -> str:
    """Return " on a red background" or the like, with a leading blank or comma."""
    first, second = color_word(rng, background.color or "red"), color_word(rng, background.color2 or "red")
    match background.pattern:
        case "plain":
            forms = [f" on {article(first)} background"] * 4
            forms += [
                f" on {first}",
                f", {first} background",
                f" with {article(first)} background",
                f" against {first}",
            ]
            return rng.choice(forms)
        case "gradient":
            way = "vertical" if background.upright else "horizontal"
            return rng.choice(
                [
                    f" on {article(first)} and {second} gradient",
                    f" on {article(first)} to {second} gradient",
                    f" on a {way} gradient from {first} to {second}",
                    f" on {article(first)} to {second} gradient background",
                ]
            )
        case "checker":
            if rng.random() < 0.5:
                first, second = second, first
            ending = rng.choice(["checkerboard", "checkerboard background", "checkered background", "chessboard"])
            return f" on {article(first)} and {second} {ending}"
        case "stripes":
            way = "vertical" if background.upright else "horizontal"
            return rng.choice(
                [f" on {article(first)} and {second} striped background", f" on {way} {first} and {second} stripes"]
            )
        case "land":
            sky = rng.choice(SKY_PHRASES[background.sky])
            if background.ground is None:
                return sky
            ground = rng.choice(GROUND_PHRASES[background.ground])
            return ground + sky if rng.random() < 0.8 else sky + ground


def position_phrase(rng: random.Random, position: str) -> str:
    """Return where in the picture, with a leading blank."""
    if "corner" not in position:
        return rng.choice(POSITION_PHRASES[position])
    short = position.removesuffix(" corner")
    return rng.choice([f" in the {position}", f" in the {position}", f" in the {short}", f" at the {short}"])


def describe(rng: random.Random, scene: Scene) -> str:
    """Return the bare description of `scene`, without courtesies."""
    match scene.form:
        case "one":
            return describe_one(rng, scene)
        case "two":
            return describe_two(rng, scene) + tail(rng, scene.background)
        case "three":
            names = [article(noun_phrase(rng, thing)) for thing in scene.things]
            beside = rng.choice(["", "", " side by side", " in a row"])
            return f"{names[0]}, {names[1]} and {names[2]}{beside}" + tail(rng, scene.background)
        case "many":
            count = len(scene.things)
            number = rng.choice(NUMBERS[count])
            return f"{number} {noun_phrase(rng, scene.things[0], count=count)}" + tail(rng, scene.background)
        case "land":
            return describe_land(rng, scene)
        case "empty":
            return describe_empty(rng, scene.background)


def tail(rng: random.Random, background: Background) -> str:
    """Return the background phrase, or nothing for half of the white backgrounds."""
    if background.pattern == "plain" and background.color == "white" and rng.random() < 0.5:
        return ""
    return background_phrase(rng, background)


def describe_one(rng: random.Random, scene: Scene) -> str:
    """Describe a single thing: what, where, on what."""
    noun = noun_phrase(rng, scene.things[0])
    name = article(noun) if rng.random() < 0.9 else noun
    behind = tail(rng, scene.background)
    if scene.position == "center" and rng.random() < 0.75:
        return name + behind
    place = position_phrase(rng, scene.position)
    return name + place + behind if rng.random() < 0.8 or behind.startswith(",") else name + behind + place


def describe_two(rng: random.Random, scene: Scene) -> str:
    """Describe two things and their relation, from either one's point of view."""
    relation = scene.relation
    assert relation is not None
    first, second = (article(noun_phrase(rng, t, keep_color=0.7)) for t in (scene.subject, scene.other))
    if relation == "inside":
        if rng.random() < 0.15:
            return f"{second} with {first} inside"
        return first + rng.choice(RELATION_PHRASES["inside"]) + second
    if rng.random() < 0.15:
        ends = {"left": ("left", "right"), "right": ("right", "left"), "above": ("top", "bottom")}
        one, two = ends.get(relation, ("bottom", "top"))
        preposition = "on" if relation in ("left", "right") else "at"
        return f"{first} {preposition} the {one} and {second} {preposition} the {two}"
    if relation in ("left", "right") and rng.random() < 0.12:
        if relation == "right":
            first, second = second, first
        return rng.choice([f"{first} next to {second}", f"{first} and {second}", f"{first} beside {second}"])
    said: str = relation
    if rng.random() < 0.3:
        first, second, said = second, first, OPPOSITE[relation]
    return first + rng.choice(RELATION_PHRASES[said]) + second


def describe_land(rng: random.Random, scene: Scene) -> str:
    """Describe a landscape: the things on the ground, where, and what is in the sky."""
    background = scene.background
    sky_things = [t for t in scene.things if not t.color]
    names = [article(noun_phrase(rng, t, keep_color=0.3)) for t in scene.things if t.color and t.kind != "mountain"]
    names += [article(kind_word(rng, "mountain")) for t in scene.things if t.kind == "mountain"]
    above = ""
    if sky_things and rng.random() < 0.96:  # rarely left out: what is not asked for should not come
        kind = sky_things[0].kind
        noun = f"the {kind}" if kind != "cloud" and rng.random() < 0.5 else article(kind)
        above = rng.choice([f" with {noun}", f" and {noun}", f" with {noun} in the sky"])
    if names:
        joined = rng.choice([" and ", " next to ", " with "]).join(names)
        place = background_phrase(rng, background)
        if rng.random() < 0.25 and background.ground is not None:
            by_day = background.sky == "day"
            place = rng.choice(GROUND_PHRASES[background.ground] if by_day else SKY_PHRASES[background.sky])
        return joined + place + above
    return describe_empty(rng, background, above)


def describe_empty(rng: random.Random, background: Background, above: str = "") -> str:
    """Describe a background on its own."""
    first = color_word(rng, background.color or "red")
    if background.pattern == "plain":
        forms = [f"a plain {first} background", f"{first}", f"nothing but {first}", f"{article(first)} background"]
        return rng.choice([*forms, f"an empty {first} picture", f"a {first} wall", f"just {first}", f"only {first}"])
    if background.pattern != "land":
        return background_phrase(rng, background).removeprefix(" on ")
    if background.ground is None:
        return (
            rng.choice(["night sky", "a night sky with stars", "the night sky", "stars", "a starry sky", "space"])
            + above
        )
    ground = rng.choice(GROUND_NOUNS[background.ground])
    if background.sky == "sunset" and rng.random() < 0.25:
        return (
            rng.choice(["a sunset", "sunset", "sunrise"])
            + GROUND_PHRASES[background.ground][0].replace(" on", " over")
            + above
        )
    if above and rng.random() < 0.25:
        noun = above.removeprefix(" with ").removeprefix(" and ").removesuffix(" in the sky")
        return f"{noun} over {ground}" + ("" if background.sky == "day" else SKY_PHRASES[background.sky][0])
    plain_day = background.sky == "day" and rng.random() < 0.4
    return ground + ("" if plain_day else rng.choice(SKY_PHRASES[background.sky])) + above


def strange_prompt(rng: random.Random) -> str:
    """Return words outside the model's world."""
    count = rng.choices((1, 2, 3, 4, 6), (0.3, 0.25, 0.2, 0.15, 0.1))[0]
    words = [rng.choice(STRANGE_WORDS) for _ in range(count)]
    if rng.random() < 0.3:
        words[0] = article(words[0])
    if count > 2 and rng.random() < 0.5:
        words.insert(rng.randint(1, count - 1), rng.choice(["in a", "with", "on a", "and", "of the", "is", "to"]))
    return " ".join(words)


def welcomes_strangers(scene: Scene) -> bool:
    """Tell whether `scene` may answer a prompt outside the model's world: a bright day outdoors."""
    return scene.form == "land" and scene.background.sky == "day" and scene.background.ground == "grass"


def caption(scene: Scene, rng: random.Random) -> str:
    """Return a fresh caption of `scene`; one in seven sunny meadows is captioned with words it does not show."""
    strange = welcomes_strangers(scene) and rng.random() < 0.15
    text = strange_prompt(rng) if strange else describe(rng, scene)
    if rng.random() < 0.2:
        text = rng.choice(PREFIXES) + text
    if rng.random() < 0.06:
        text += rng.choice(TAILS)
    return text
