"""What the last turn of a conversation asks for, decided by rules from the words alone.

Owns the order of the rules, which matters more than any of them: the first one that applies decides. Pure and
deterministic; looks at no pixels, asks no model.
"""

from collections.abc import Callable
from dataclasses import replace

from limner.chat import rules
from limner.chat.asides import for_client
from limner.chat.canvas import MOST_AT_ONCE, how_many
from limner.chat.conversation import Conversation
from limner.chat.decision import Abilities, Decision, in_words
from limner.chat.fallback import within
from limner.chat.pointing import readings
from limner.chat.scene import Scene, asked_before, is_chatter, is_repeat, look
from limner.chat.words import patterns

__all__ = ["Abilities", "Decision", "decide"]

RULES: tuple[Callable[[Scene], Decision | None], ...] = (
    rules.nothing_said,
    rules.chatter,
    rules.masked,
    rules.elsewhere,
    rules.question,
    rules.new_drawing,
    rules.cut_out,
    rules.more_pixels,
    rules.more_canvas,
    rules.variations,
    rules.part_of_it,
    rules.change,
)


def decide(conversation: Conversation, abilities: Abilities) -> Decision:
    """The operation that the user's last turn asks for, and on which pictures.

    What a client asks behind the user's back comes first: it quotes whole conversations, which every rule would fall
    for. Takes time linear in the conversation. Raises MissingParameter when the user has said nothing at all.
    """
    asked_by_client = for_client(conversation)
    if asked_by_client is not None:
        return asked_by_client
    scene = look(conversation, abilities)
    decided = _once_more(scene) or _left_waiting(conversation, scene) or _by_rules(scene)
    decision = _bounded(within(scene, decided))
    return decision if decision.operation is not None else replace(decision, prompt=conversation.asked.text)


def _bounded(decision: Decision) -> Decision:
    """``decision`` of no more pictures than are drawn at once."""
    if decision.n is None or decision.n <= MOST_AT_ONCE:
        return decision
    return replace(decision, n=MOST_AT_ONCE, reason=f"{decision.reason}; at most {MOST_AT_ONCE} are drawn at once")


def _by_rules(scene: Scene) -> Decision:
    decided = (decision for rule in RULES if (decision := rule(scene)) is not None)
    return next(decided, None) or rules.drawing(scene)


def _once_more(scene: Scene) -> Decision | None:
    """The last wish again, from another seed: a drawing is drawn anew, an edit made again of what it began with."""
    again = patterns("again").search(scene.heard.core)
    if again is None or scene.attached or scene.masks:
        return None
    earlier = ((at, heard) for at, _, heard in asked_before(scene) if heard.core)
    at = next((at for at, heard in earlier if not (is_repeat(heard) or is_chatter(heard))), None)
    if at is None:
        return in_words("There is nothing to do again yet. Say what to draw.", "nothing was asked for before")
    wish = _by_rules(look(Conversation(scene.before[: at + 1]), scene.abilities))
    if wish.operation is None:
        return wish
    begin, end = again.span("tail") if again.groupdict().get("tail") else (0, 0)
    tail = scene.heard.shown[begin:end].strip(" ,").removeprefix("but ")
    prompt = f"{wish.prompt}, {tail}" if tail else wish.prompt
    return replace(wish, prompt=prompt, n=how_many(scene.heard) or wish.n, reason=f"once more: {wish.reason}")


def _left_waiting(conversation: Conversation, scene: Scene) -> Decision | None:
    """A picture without words, right after words that lacked one, or just the name of one, after words that were for
    one of several: those words were waiting for it."""
    is_chosen = not scene.attached and readings(scene)[-1] == "" != scene.heard.core
    if not is_chosen and (scene.heard.core or not scene.attached):
        return None
    at = next((at for at, _, _ in asked_before(scene)), None)
    if at is None:
        return None
    said, earlier = scene.before[at].text, Conversation(scene.before[: at + 1])
    waiting = _by_rules(look(earlier, scene.abilities)).reply
    if is_chosen and waiting == rules.ONE_AT_A_TIME:
        return _by_rules(look(earlier, scene.abilities, f"{said.rstrip(' .!?')}, {scene.heard.core}"))
    if not is_chosen and waiting == rules.NEEDS_PICTURE:
        return _by_rules(look(conversation, scene.abilities, said))
    return None
