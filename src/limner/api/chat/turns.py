"""What a turn of a conversation asks for and which served model does it: shared by every dialect that converses.

Owns that choice. A name that means whichever model fits is routed turn by turn; a model that is named does what it
can: draws, or answers in words. Reads no pictures.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.requests import Request as HttpRequest

from limner.api.chat.pictures import MASK, REFERENCES
from limner.api.chat.prompt import wanted
from limner.api.composing import model_for, require_pictures, takes_pictures
from limner.api.drawing import OTHER_NAMES, DrawFields, Drawing
from limner.api.gateway import gateway_of
from limner.api.sources import Named
from limner.catalogue.images import image_params
from limner.catalogue.sizing import fit, problem, unlike
from limner.catalogue.spec import ModelSpec
from limner.catalogue.values import shown
from limner.chat import Abilities, Conversation, Decision, Shown, Turn, decide
from limner.chat.asides import for_client
from limner.core import Operation, ParamValue, Said, Size, Warning
from limner.errors import InvalidRequest
from limner.roster import Roster

TALKERS = "multimodal"  # the catalogue's family of models that speak, and draw only when asked
HISTORY_CHARS = 32_000  # of earlier words that a model which speaks is told; the newest
OF_ANY_ANSWER = frozenset({"n", "seed", "timeout"})  # fields that do not tell a drawing from words
DRAWING = frozenset(Operation) - {Operation.DESCRIBE}


@dataclass(frozen=True, slots=True)
class Asking:
    """A conversation and what is said beside it: the model's name, words that replace the last turn's, what the reply
    may consist of (None: whatever fits), and the names of all fields, of which some may bring pictures or a mask."""

    model: str | None
    conversation: Conversation
    prompt: str | None = None
    modalities: Collection[str] | None = None
    fields: Collection[str] = ()

    @property
    def says_only_words(self) -> bool:
        """Whether nothing but the conversation says what the answer shall be."""
        return self.modalities is None and self.prompt is None and OF_ANY_ANSWER.issuperset(self.fields)

    def brings_pictures(self, spec: ModelSpec | None = None) -> bool:
        """Whether pictures stand beside the conversation, in the words of ``spec`` too."""
        own = () if spec is None else (param.name for param in image_params(spec))
        return not {REFERENCES, *own}.isdisjoint(self.fields)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done. ``reply`` is all of the answer where nothing is to be run; otherwise ``spec`` is the model.

    ``operation`` None is whatever the pictures make it. ``routed``: the model was chosen for the turn.
    """

    prompt: str
    reason: str
    spec: ModelSpec | None = None
    operation: Operation | None = None
    pictures: tuple[Shown, ...] = ()
    mask: Shown | None = None
    size: Size | None = None
    size_is_exact: bool = True
    n: int | None = None
    params: Mapping[str, ParamValue] = field(default_factory=dict)
    reply: str | None = None
    history: tuple[Said, ...] = ()
    routed: bool = False

    @property
    def speaks(self) -> bool:
        """Whether the answer is words."""
        return self.reply is not None or self.operation is Operation.DESCRIBE

    @property
    def named_mask(self) -> Named | None:
        """The mask, as it is to be read."""
        return None if self.mask is None else (self.mask.param, self.mask.source)

    def sized(self, drawing: Drawing, fields: Mapping[str, Any], *, in_prompt: bool = True) -> Drawing:
        """``drawing`` at the size that the fields say, or else the words of an edit, with a warning where it becomes
        another; what is drawn anew takes it from the prompt, unless that does not have it (not ``in_prompt``)."""
        if drawing.size is not None or self.size is None or self.spec is None or not (self.pictures or not in_prompt):
            return drawing
        if "size" in fields or any(param.sizing and param.name in fields for param in self.spec.params.values()):
            return drawing
        rules = self.spec.sizes
        if self.size_is_exact and drawing.tier_pixels is None and problem(self.size, rules) is None:
            return replace(drawing, size=self.size)
        pixels = drawing.tier_pixels or (rules.edit_pixels if self.pictures else rules.default.pixels)
        size = fit(rules, self.size.width_px, self.size.height_px, pixels)
        told = unlike(self.size, size) if self.size_is_exact else ()
        return replace(drawing, size=size, warnings=(*drawing.warnings, *told))


def planned(http: HttpRequest, asking: Asking) -> Plan:
    """What the last turn of the user asks for. What the client asks for itself, such as a title for its list of chats,
    is answered in words whatever the model, unless the request says how to draw.

    Raises MissingParameter when the user has said nothing, ModelNotFound, and InvalidRequest for an answer of a kind
    that nothing here gives.
    """
    roster = gateway_of(http).service.roster
    asking = replace(asking, conversation=_with_prompt(asking.conversation, asking.prompt))
    is_open = not asking.model or roster.is_virtual(asking.model)
    has_pictures = bool(asking.conversation.pictures or asking.brings_pictures())
    spec = None if is_open else model_for(http, asking.model, has_pictures=has_pictures)
    aside = for_client(asking.conversation) if asking.says_only_words else None
    if aside is not None:
        return Plan(aside.prompt, aside.reason, reply=aside.reply)
    if spec is None:
        return _routed(http, roster, asking)
    _check_modalities(http, asking, spec)
    if _draws(spec, asking.modalities):
        return _drawn(asking, spec, routed=False)
    return _said(asking, _speaker(roster, spec, asking.modalities), routed=False)


def abilities_of(roster: Roster) -> Abilities:
    """What the served models can do together."""
    specs = [model.spec for model in roster]
    operations = frozenset(operation for spec in specs for operation in spec.operations)

    def most(among: Collection[Operation]) -> int:
        return max((spec.max_images for spec in specs if spec.operations.intersection(among)), default=0)

    return Abilities(operations, most(DRAWING), most({Operation.DESCRIBE}))


def planned_for(http: HttpRequest, name: str, decision: Decision) -> Plan:
    """``decision`` as a plan for the served model that fits it best. Raises ModelNotFound."""
    if decision.operation is None:
        return Plan(decision.prompt, decision.reason, reply=decision.reply or "", routed=True)
    roster = gateway_of(http).service.roster
    model = roster.route(name, decision.operation, has_images=bool(decision.pictures))
    return Plan(
        prompt=decision.prompt,
        reason=decision.reason,
        spec=model.spec,
        operation=decision.operation,
        pictures=decision.pictures,
        mask=decision.mask,
        size=decision.size,
        size_is_exact=decision.size_is_exact,
        n=decision.n,
        params=decision.params,
        routed=True,
    )


def fitted(given: Mapping[str, Any], plan: Plan) -> tuple[dict[str, Any], tuple[Warning, ...]]:
    """``given`` with what the words say beside it; and without what an operation that was chosen by words has no use
    for, which whoever asked could not know."""
    assert plan.spec is not None, "fields are for a model"
    params = plan.spec.params
    said = {name: value for name, value in plan.params.items() if name in params}
    if plan.n is not None:
        said["n"] = min(plan.n, plan.spec.max_n)
    numbered = any(name in given for name in ("n", *OTHER_NAMES))
    fields = {**{name: value for name, value in said.items() if name != "n" or not numbered}, **given}
    if not plan.routed or plan.operation in (None, Operation.GENERATE, Operation.EDIT):
        return fields, ()
    known = {*params, *DrawFields.model_fields, *OTHER_NAMES}
    strange = [name for name in fields if name not in known]
    told = tuple(
        Warning(name, "ignored", f"{name!r} has no effect: {plan.spec.id} does what was asked without it")
        for name in strange
    )
    return {name: value for name, value in fields.items() if name in known}, told


def told_history(conversation: Conversation) -> tuple[Said, ...]:
    """What was said before the last turn of the user: the system's words, then the newest of the others."""
    last = max((i for i, turn in enumerate(conversation.turns) if turn.role == "user"), default=0)
    earlier = [turn if turn.text.strip() else _named(turn) for turn in conversation.turns[:last]]
    earlier = [turn for turn in earlier if turn.text]
    rules = [Said("system", turn.text) for turn in earlier if turn.role == "system"]
    room, kept = HISTORY_CHARS, list[Said]()
    for turn in reversed(earlier):
        if turn.role not in ("user", "assistant"):
            continue
        room -= len(turn.text)
        if room < 0:
            break
        kept.append(Said("user" if turn.role == "user" else "assistant", turn.text))
    return (*rules, *reversed(kept))


def _named(turn: Turn) -> Turn:
    """A turn without words, with its pictures in their place: that something was answered matters."""
    return Turn(turn.role, " ".join(["(a picture)"] * len(turn.pictures)))


def _routed(http: HttpRequest, roster: Roster, asking: Asking) -> Plan:
    """By what the words and pictures say, among all served models."""
    name, modalities = asking.model or "", asking.modalities
    named = roster.operation_of(name)
    if named is Operation.DESCRIBE:
        _check_modalities(http, asking, model_for(http, name, has_pictures=True))
        return _by_name(roster, asking, named)
    if MASK in asking.fields or asking.brings_pictures():
        operation = Operation.INPAINT if MASK in asking.fields else Operation.EDIT
        return _drawn(asking, roster.route(name, operation, has_images=True).spec, routed=True)
    if named is not None:
        return _by_name(roster, asking, named)
    abilities = abilities_of(roster)
    if modalities is not None and "image" not in modalities:
        if Operation.DESCRIBE not in abilities.operations:
            raise _wordless(modalities, "nothing that is served here answers in words")
        abilities = replace(abilities, operations=abilities.operations - DRAWING, words_only=True)
    decision = decide(asking.conversation, abilities)
    plan = _held_to(http, asking, planned_for(http, name, decision))
    return replace(plan, history=told_history(asking.conversation)) if plan.speaks else plan


def _by_name(roster: Roster, asking: Asking, operation: Operation) -> Plan:
    """What the name says is to be done, with the pictures that the last turn is about."""
    spec = roster.route(asking.model or "", operation, has_images=True).spec
    plan = _said(asking, spec, routed=True) if operation is Operation.DESCRIBE else _drawn(asking, spec, routed=True)
    return replace(plan, operation=operation, reason=f"{asking.model} does nothing else")


def _held_to(http: HttpRequest, asking: Asking, plan: Plan) -> Plan:
    """``plan``, but where the reply has to be pictures and it would be words: something is drawn then."""
    if not plan.speaks or asking.modalities is None or "text" in asking.modalities:
        return plan
    spec = model_for(http, asking.model, has_pictures=bool(asking.conversation.pictures))
    _check_modalities(http, asking, spec)
    return _drawn(asking, spec, routed=True)


def _check_modalities(http: HttpRequest, asking: Asking, spec: ModelSpec) -> None:
    """Raise InvalidRequest where the reply has to be pictures and ``spec`` has only words."""
    if asking.modalities is None or "text" in asking.modalities:
        return
    try:
        require_pictures(http, spec, has_pictures=bool(asking.conversation.asked.pictures))
    except InvalidRequest as error:
        error.param = "modalities"
        raise


def _draws(spec: ModelSpec, modalities: Collection[str] | None) -> bool:
    """Whether a model that was named is to draw: it can, and words are not what is asked for."""
    if not spec.operations & DRAWING:
        return False
    return "image" in modalities if modalities is not None else spec.family != TALKERS


def _drawn(asking: Asking, spec: ModelSpec, *, routed: bool) -> Plan:
    beside = asking.brings_pictures(spec)
    want = wanted(asking.conversation, prompt=None, has_references=beside, takes_pictures=takes_pictures(spec))
    return Plan(want.prompt, want.reason, spec, pictures=want.pictures, routed=routed)


def _speaker(roster: Roster, spec: ModelSpec, modalities: Collection[str] | None) -> ModelSpec:
    """The model that answers for ``spec`` in words: itself, or where it is not served itself, whichever is."""
    if Operation.DESCRIBE in spec.operations:
        return spec
    speakers = [model.spec for model in roster.own if Operation.DESCRIBE in model.spec.operations]
    if speakers and spec.family == TALKERS:  # nobody but a stand-in runs these
        return speakers[0]
    others = f"; {', '.join(one.id for one in speakers)} can" if speakers else ", and neither does any other here"
    raise _wordless(modalities, f"{spec.id} answers in no words{others}")


def _wordless(modalities: Collection[str] | None, why: str) -> InvalidRequest:
    given = shown(None if modalities is None else sorted(modalities))
    message = f"Invalid value for 'modalities': {given}: {why}. Allowed: with 'image', as in ['image', 'text']"
    return InvalidRequest(message, param="modalities")


def _said(asking: Asking, spec: ModelSpec, *, routed: bool) -> Plan:
    """The last turn's words to a model that speaks, with its pictures or else those shown last."""
    asked, every = asking.conversation.asked, asking.conversation.pictures
    pictures = asked.pictures or every[-spec.max_images :]
    return Plan(
        prompt=asked.text,
        reason=f"{spec.id} answers in words",
        spec=spec,
        operation=Operation.DESCRIBE,
        pictures=pictures,
        history=told_history(asking.conversation),
        routed=routed,
    )


def _with_prompt(conversation: Conversation, prompt: str | None) -> Conversation:
    """``conversation`` with other words in the last turn of the user."""
    if prompt is None:
        return conversation
    last = max((i for i, turn in enumerate(conversation.turns) if turn.role == "user"), default=None)
    if last is None:
        return conversation
    turn = conversation.turns[last]
    turns = (*conversation.turns[:last], Turn(turn.role, prompt, turn.pictures), *conversation.turns[last + 1 :])
    return Conversation(turns)
