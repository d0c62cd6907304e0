"""What is done in place of an operation that nobody here can do, or the words that say so.

Owns those replacements. Never drops a picture or a mask in silence: what is done instead does what was asked for in
another way, and its reason says so; otherwise the answer is in words.
"""

from collections.abc import Mapping
from dataclasses import replace

from limner.chat.decision import Decision, in_words
from limner.chat.rules import drawing_of
from limner.chat.scene import Scene, asked_before, drawing_before, is_chatter, is_question, is_repeat
from limner.core import Operation

BY_WORDS = frozenset({Operation.REGION_EDIT, Operation.REMOVE_BACKGROUND, Operation.OUTPAINT})  # an edit can be told to
DRAWN_ANEW = frozenset({Operation.VARY, Operation.EDIT, Operation.REGION_EDIT, Operation.OUTPAINT})
WORDS_ONLY = (
    "An answer in words only was asked for, so nothing is drawn. Pictures come when the request allows them: with "
    "“image” among its “modalities”, or with the image_generation tool."
)
NAMES: Mapping[Operation, str] = {
    Operation.GENERATE: "draw new pictures",
    Operation.EDIT: "change pictures",
    Operation.INPAINT: "paint under a mask",
    Operation.OUTPAINT: "extend pictures",
    Operation.REGION_EDIT: "change a part of a picture",
    Operation.REMOVE_BACKGROUND: "remove backgrounds",
    Operation.UPSCALE: "enlarge pictures",
    Operation.VARY: "make variations",
    Operation.DESCRIBE: "answer questions about pictures",
}


def within(scene: Scene, decision: Decision) -> Decision:
    """``decision``, or what comes nearest to it within the scene's abilities."""
    if decision.operation is None:
        return decision
    if decision.operation not in scene.abilities.operations:
        decision = _instead(scene, decision.operation, decision)
    most = scene.abilities.most(decision.operation or Operation.EDIT)
    if len(decision.pictures) > most:
        count = len(decision.pictures)
        return in_words(
            f"That takes {count} pictures, and the model here takes at most {most} at once. Name fewer.",
            f"{count} pictures are more than the {most} that the model takes",
        )
    return decision


def _instead(scene: Scene, operation: Operation, decision: Decision) -> Decision:
    able = scene.abilities.operations
    if scene.abilities.words_only:
        return in_words(WORDS_ONLY, f"{decision.reason}; an answer in words was asked for")
    reason = f"{decision.reason}; nobody here does {operation}"
    if operation in BY_WORDS and Operation.EDIT in able:
        reason = f"{reason}, so it is an edit"
        return Decision(Operation.EDIT, scene.heard.prompt, decision.pictures, n=decision.n, reason=reason)
    drawn_here = decision.pictures and all(picture.role != "user" for picture in decision.pictures)
    drawable = drawn_here and Operation.GENERATE in able and drawing_before(scene) is not None
    if drawable and operation in DRAWN_ANEW:
        return _anew(scene, operation, decision, reason)
    if operation is Operation.VARY and Operation.EDIT in able:
        prompt = "Draw a variation of this picture."
        return replace(decision, operation=Operation.EDIT, prompt=prompt, reason=f"{reason}, so it is an edit")
    return in_words(f"The models here cannot {NAMES[operation]}.", reason)


def _anew(scene: Scene, operation: Operation, decision: Decision, reason: str) -> Decision:
    """The drawing once more, from all that was said of it; a variation adds nothing to that."""
    drawn = drawing_before(scene)
    assert drawn is not None, "the caller has seen that there is one"
    words = [drawn.prompt, *_said_since(scene, drawn.index)]
    if operation is not Operation.VARY:
        words.append(scene.heard.prompt)
    first = drawing_of(drawn.heard, reason=f"{reason}, so it is drawn anew from all that was said")
    return replace(first, prompt=", ".join(words), n=decision.n or first.n, size=decision.size or first.size)


def _said_since(scene: Scene, index: int) -> list[str]:
    later = [heard for at, _, heard in asked_before(scene) if at > index]
    return [
        heard.prompt
        for heard in reversed(later)
        if heard.core and not (is_chatter(heard) or is_repeat(heard) or is_question(heard))
    ]
