"""The rules of routing, one function each: a Decision when the rule applies to the scene, None when it does not.

Every rule says in its docstring why it stands where it does; their order is `routing`'s. Whether anybody here can do
what a rule decides is `fallback`'s business.
"""

from collections.abc import Mapping
from dataclasses import replace

from limner.chat.asides import done_elsewhere, small_talk
from limner.chat.canvas import fill_words, how_many, named_ratio, named_size, scale, sides, without_count, worded_size
from limner.chat.conversation import Shown
from limner.chat.decision import Decision, in_words
from limner.chat.heard import Heard
from limner.chat.pointing import Picked, names_picture, pick, readings, renumbered
from limner.chat.regions import region_of
from limner.chat.scene import Scene, drawing_before, is_question, refers
from limner.chat.words import patterns
from limner.core import Operation, ParamValue

NEEDS_PICTURE = "Please attach the picture that this is about, or ask for a new one: “draw a cat in a hat”."
ONE_AT_A_TIME = "That works on one picture at a time; say on which, such as “picture 1”."
LONG_WORDS = 9  # a description of that many words that speaks of nothing shown is a new drawing, not a change


def nothing_said(scene: Scene) -> Decision | None:
    """First: without words there is nothing to match: a picture alone is described."""
    if scene.heard.core:
        return None
    if scene.masks and not scene.attached:
        return in_words("Say what to paint where the mask is white.", "a mask without words")
    if not scene.attached:
        return in_words("Say what to draw, or attach a picture and say what to do with it.", "nothing was said")
    prompt = "Describe this picture." if len(scene.attached) == 1 else "Compare these pictures."
    return Decision(Operation.DESCRIBE, prompt, scene.attached, reason="a picture without words is described")


def chatter(scene: Scene) -> Decision | None:
    """Greetings and thanks draw nothing, but only when they are all that is said and no picture came along."""
    said = small_talk(scene.heard)
    if said is None or scene.masks or (said[0] == "other" and scene.visible and refers(scene)):
        return None
    if scene.attached and said[0] != "undo":
        prompt = "Describe this picture."
        return Decision(Operation.DESCRIBE, prompt, scene.attached, reason="a picture with a greeting")
    return in_words(said[1], f"small talk ({said[0]})")


def masked(scene: Scene) -> Decision | None:
    """Before every other operation: whoever sends a mask has said where, whatever the words are."""
    mask = scene.masks[0] if scene.masks else _worded_mask(scene)
    if mask is None:
        return None
    others = tuple(picture for picture in (*scene.visible, *scene.attached) if picture.source != mask.source)
    own = tuple(picture for picture in scene.attached if picture.source != mask.source)
    if not others:
        return in_words("Please attach the picture that the mask is for.", "a mask, and no picture to paint in")
    pictures = own[:1] or others[-1:]
    return Decision(Operation.INPAINT, scene.heard.prompt, pictures, mask, reason="a mask came with the message")


def _worded_mask(scene: Scene) -> Shown | None:
    """The attached picture that the words call a mask: the last one, or the first when they say so."""
    if not scene.attached or len(scene.visible) < 2 or not patterns("mask").search(scene.heard.core):
        return None
    first = len(scene.attached) > 1 and patterns("mask", "first").search(scene.heard.core)
    return scene.attached[0 if first else -1]


def elsewhere(scene: Scene) -> Decision | None:
    """Before questions, since "how do I save it?" is none about the picture: what no model does to a whole picture,
    which an edit would only pretend to do."""
    asked = done_elsewhere(readings(scene))
    if asked is None or (asked[0] == "square" and not scene.visible):
        return None
    return in_words(asked[1], f"nobody here does that to a picture ({asked[0]})")


def question(scene: Scene) -> Decision | None:
    """A question is answered, not drawn; suggestions put as one ("what if …", "how about …") are no questions."""
    core = scene.heard.core
    if not is_question(scene.heard) or (patterns("draw").search(core) and not scene.visible):
        return None
    if scene.visible:
        return _about(scene, Operation.DESCRIBE, scene.heard.prompt, "a question")
    if refers(scene) or patterns("question", "compare").search(core) or core.startswith(("describe", "caption")):
        return _ask_for_picture("a question about a picture")
    return in_words("I answer questions about pictures; attach one, or say what to draw.", "a question, and no picture")


def new_drawing(scene: Scene) -> Decision | None:
    """Words that ask for a drawing and speak of nothing shown; an attached picture is always meant to be used."""
    heard = scene.heard
    if scene.attached:
        return None
    if not heard.fresh and not _asks_to_draw(scene):
        return None
    return drawing_of(scene.heard, "the words ask for a new drawing")


def _asks_to_draw(scene: Scene) -> bool:
    core = scene.heard.core
    if not patterns("draw").search(core) or patterns("draw", "not").search(core) or patterns("vary").search(core):
        return False
    if patterns("cut").search(core) or patterns("upscale").search(core) or region_of(scene.heard) or _extends(core):
        return False
    return not scene.visible or not refers(scene, _before_clauses(scene.heard.core))


def _extends(core: str) -> bool:
    return patterns("outpaint").search(core) is not None


def _before_clauses(core: str) -> str:
    """Without what hangs on the thing to draw: in "a dog with a ball beside it", "it" is the dog."""
    clause = patterns("draw", "clause").search(core)
    return core if clause is None else core[: clause.start()]


def cut_out(scene: Scene) -> Decision | None:
    """Only where the words are about the background or about keeping one thing; other removals are edits."""
    if not _says(scene, "cut"):
        return None
    return _about(scene, Operation.REMOVE_BACKGROUND, scene.heard.prompt, "the background is to go")


def more_pixels(scene: Scene) -> Decision | None:
    """Said of the picture when nothing else is named: "make it bigger"; "make the cat bigger" is an edit."""
    if not _says(scene, "upscale"):
        return None
    reason = "the picture is to have more pixels"
    return _about(scene, Operation.UPSCALE, scene.heard.prompt, reason, scale(scene.heard))


def more_canvas(scene: Scene) -> Decision | None:
    """Words about the canvas. "Make it taller" means the picture, but a tower when a tower was drawn: of a thing whose
    own height is spoken of, people say "it" and mean the thing."""
    if _says(scene, "outpaint"):
        why = "the words are about the canvas"
    elif _says(scene, "outpaint", "thing"):
        if _is_thing(scene):
            return _about(scene, Operation.EDIT, scene.heard.prompt, "the thing drawn is meant, not the canvas")
        why = "the canvas is meant: nothing was drawn whose own extent that could be"
    else:
        return None
    return _about(scene, Operation.OUTPAINT, fill_words(scene.heard), why, sides(scene.heard))


def _is_thing(scene: Scene) -> bool:
    drawn = None if scene.attached else drawing_before(scene)
    if drawn is None:
        return False
    along = patterns("outpaint", "along").search(scene.heard.core)
    things = patterns("outpaint", "tall_things" if along else "wide_things").search(drawn.heard.core)
    return things is not None or patterns("outpaint", "things").search(drawn.heard.core) is not None


def variations(scene: Scene) -> Decision | None:
    """After drawings, since "three versions of a house" is one; these words name nothing to draw."""
    if not _says(scene, "vary"):
        return None
    return _about(scene, Operation.VARY, "", "variations of the picture")


def part_of_it(scene: Scene) -> Decision | None:
    """One named part that becomes something else is painted in its place, so that the rest stays as it is."""
    region = None if names_picture(scene) else region_of(scene.heard)
    if region is None or len(scene.attached) > 1:
        return None
    reason, named = f"{region.region} becomes {region.becomes}", {"region": region.region}
    decision = _about(scene, Operation.REGION_EDIT, region.becomes, reason, named)
    if len(decision.pictures) > 1:
        return None
    return decision


def change(scene: Scene) -> Decision | None:
    """Any other words beside a picture change it, unless they describe something new from its first word on."""
    if not scene.visible:
        asks = patterns("change").search(scene.heard.core) or patterns("several").search(scene.heard.core)
        return _ask_for_picture("words that change a picture") if asks else None
    if not scene.attached and _describes_anew(scene):
        return None
    return _about(scene, Operation.EDIT, scene.heard.prompt, "the words change the picture")


def _describes_anew(scene: Scene) -> bool:
    core = scene.heard.core
    picked = pick(scene, Operation.EDIT)
    if picked.mentions or picked.missing is not None or patterns("change").search(core):
        return False
    if refers(scene, _before_clauses(core)):
        return False
    if patterns("several").search(core) or patterns("change", "adds").search(core):
        return False
    return patterns("draw", "bare").search(core) is not None or scene.heard.words() >= LONG_WORDS


def drawing(scene: Scene) -> Decision:
    """Last: what is left describes a picture."""
    return drawing_of(scene.heard, "the words describe a picture")


def drawing_of(heard: Heard, reason: str) -> Decision:
    """The drawing that the words describe, of the size and number that they name."""
    exact = named_size(heard)
    n, prompt = how_many(heard), heard.prompt
    return Decision(
        Operation.GENERATE, without_count(prompt) if n else prompt, size=exact or worded_size(heard), n=n,
        reason=reason, size_is_exact=exact is not None,
    )  # fmt: skip


def _about(
    scene: Scene, operation: Operation, prompt: str, reason: str, params: Mapping[str, ParamValue] | None = None
) -> Decision:
    """The operation on the pictures that are meant, or the words that say which are missing."""
    if not scene.visible:
        return _ask_for_picture(reason)
    picked = pick(scene, operation)
    if picked.missing is not None:
        return in_words(_there_are(scene, picked.missing), f"{reason}; {picked.reason}, and there is no such picture")
    takes_several = operation in (Operation.EDIT, Operation.DESCRIBE, Operation.REGION_EDIT)
    if not takes_several and _means_several(scene, picked):
        return in_words(ONE_AT_A_TIME, f"{reason}, of several pictures")
    pictures = picked.pictures if takes_several else picked.pictures[:1]
    return _sized(scene, Decision(
        operation, renumbered(prompt, scene, picked), pictures, params=params or {}, reason=f"{reason}: {picked.reason}"
    ))  # fmt: skip


def _sized(scene: Scene, decision: Decision) -> Decision:
    """With the size and number that the words name; of an edit only what is named in figures, since "wide" and its
    like say there what a thing shall be."""
    n = how_many(scene.heard)
    if decision.operation is Operation.EDIT:
        exact = named_size(scene.heard)
        return replace(decision, size=exact or named_ratio(scene.heard), n=n, size_is_exact=exact is not None)
    return replace(decision, n=n) if decision.operation in (Operation.VARY, Operation.REGION_EDIT) else decision


def _means_several(scene: Scene, picked: Picked) -> bool:
    if picked.mentions:
        return len({mention.index for mention in picked.mentions}) > 1
    several = patterns("several").search(scene.heard.core)
    of_those_shown = patterns("several", "those").search(scene.heard.core)
    if len(scene.attached) > 1 or (len(scene.last_shown) > 1 and not scene.attached and of_those_shown is not None):
        return True
    return several is not None and len(scene.visible) > 1


def _says(scene: Scene, table: str, key: str = "any") -> bool:
    """Whether the words match, with the pictures that they name or without, and no "not" stands before that."""
    found = (patterns(table, key).search(reading) for reading in readings(scene))
    return any(match and not patterns("negated").search(match.string[: match.start()]) for match in found)


def _ask_for_picture(reason: str) -> Decision:
    return in_words(NEEDS_PICTURE, f"{reason}, and there is no picture")


def _there_are(scene: Scene, missing: int) -> str:
    count = len(scene.visible)
    there = "is 1 picture" if count == 1 else f"are {count} pictures"
    return f"There {there} in this conversation, so I do not know which one picture {missing} is."
