"""Edits: one or two source scenes, the scene they become, and the instruction that says so, fresh at every call.

Owns which edits exist and their words. The sampler never uses a held-out combination on either side.
"""

import math
import random
from dataclasses import dataclass, replace
from typing import Literal

from training import heldout
from training.captions import (
    RELATION_PHRASES,
    SKY_PHRASES,
    article,
    background_phrase,
    color_word,
    describe,
    kind_word,
    noun_phrase,
    position_phrase,
)
from training.palette import BACKGROUNDS, CONTRAST, distance, jitter, pick_color, stands_out
from training.scenes import (
    EXTENTS,
    POSITIONS,
    Background,
    Scene,
    Sky,
    Thing,
    land_thing,
    make_thing,
    pick_kind,
    pick_kind_color,
    plain,
    propose_background,
    propose_land_background,
    sample_scene,
    sky_thing,
)

Operation = Literal[
    "recolor",
    "remove",
    "add",
    "move",
    "background",
    "time",
    "resize",
    "replace",
    "identity",
    "fill",
    "combine",
    "color_from",
]
WEIGHTS: dict[Operation, float] = {
    "recolor": 0.19,
    "remove": 0.23,
    "add": 0.12,
    "move": 0.1,
    "background": 0.1,
    "time": 0.03,
    "resize": 0.11,
    "replace": 0.13,
    "identity": 0.01,
    "fill": 0.05,
    "combine": 0.02,
    "color_from": 0.01,
}
"""What is learnt last (which thing is meant, what comes instead) is drawn most."""

LONE_SHARE = 0.4
"""Share of the edits of a lone thing that are kept: there nothing has to be told from others, which is learnt last."""


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit. `subject` is what it is about in the first source, `new` what comes instead, `value` a word."""

    operation: Operation
    sources: tuple[Scene, ...]
    target: Scene
    subject: Thing | None = None
    new: Thing | None = None
    value: str = ""


class NotApplicable(Exception):
    """The drawn operation makes no sense for the drawn scene."""


def sample_edit(rng: random.Random) -> Edit:
    """Draw a training edit; held-out combinations are drawn again, and most of those that change a lone thing."""
    while True:
        edit = propose_edit(rng)
        if edit.subject is not None and not tells_apart(edit) and rng.random() > LONE_SHARE:
            continue
        if not heldout.is_held_out(edit.target) and not any(map(heldout.is_held_out, edit.sources)):
            return edit


def tells_apart(edit: Edit) -> bool:
    """Tell whether the thing that is meant has to be recognised among things of other kinds."""
    return edit.subject is not None and len({thing.kind for thing in edit.sources[0].things}) > 1


def is_hard(edit: Edit) -> bool:
    """Tell whether the thing that is meant has to be told from others, or a thing has to be drawn anew."""
    return edit.operation in ("add", "replace", "resize", "background") or tells_apart(edit)


def propose_edit(rng: random.Random, operation: Operation | None = None) -> Edit:
    """Draw any edit, held out or not; of one `operation` if given."""
    chosen = operation or rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    while True:
        try:
            return propose(rng, chosen, sample_scene(rng))
        except NotApplicable:
            continue


def propose(rng: random.Random, operation: Operation, scene: Scene) -> Edit:
    """Apply one kind of edit to `scene`; NotApplicable when it does not fit."""
    match operation:
        case "recolor":
            return recolor(rng, scene)
        case "remove":
            return remove(rng, scene)
        case "add":
            return add(rng, scene)
        case "move":
            return move(rng, scene)
        case "background":
            return change_background(rng, scene)
        case "time":
            return change_time(rng, scene)
        case "resize":
            return resize(rng, scene)
        case "replace":
            return replace_thing(rng, scene)
        case "identity":
            return Edit("identity", (scene,), scene)
        case "fill":
            return fill(rng, scene)
        case "combine":
            return combine(rng, scene)
        case "color_from":
            return color_from(rng, scene)


def named(scene: Scene) -> list[Thing]:
    """Return the things one can point at by kind, each kind once."""
    kinds = [thing.kind for thing in scene.things]
    return [thing for thing in scene.things if kinds.count(thing.kind) == 1]


def single(scene: Scene) -> Thing:
    """Return the only thing of `scene`; NotApplicable when there is not exactly one."""
    if scene.form != "one":
        raise NotApplicable
    return scene.things[0]


def swap(scene: Scene, old: Thing, new: Thing | None) -> tuple[Thing, ...]:
    """Return the things of `scene` with `old` replaced or left out."""
    return tuple(new if thing is old else thing for thing in scene.things if new is not None or thing is not old)  # type: ignore[misc]


def recolor(rng: random.Random, scene: Scene) -> Edit:
    """Give a thing, or all things of a group, another colour."""
    behind = scene.background.behind
    group = scene.form == "many"
    candidates = list(scene.things[:1]) if group else [t for t in named(scene) if t.color and t.kind != "mountain"]
    if not candidates:
        raise NotApplicable
    subject = rng.choice(candidates)
    near = tuple(t.rgb for t in scene.things if t is not subject and not group)
    color = pick_color(rng, (*behind, *near, subject.rgb, subject.accent_rgb))
    if color == subject.color:
        raise NotApplicable
    rgb = jitter(BACKGROUNDS[color], rng)
    if group:
        things = tuple(replace(t, color=color, rgb=rgb) for t in scene.things)
    else:
        things = swap(scene, subject, replace(subject, color=color, rgb=rgb))
    return Edit("recolor", (scene,), replace(scene, things=things), subject=subject, value=color)


def remove(rng: random.Random, scene: Scene) -> Edit:
    """Take a thing away."""
    candidates = named(scene)
    if not candidates or scene.form == "many":
        raise NotApplicable
    subject = rng.choice(candidates)
    if scene.relation == "inside" and subject is scene.things[0]:
        raise NotApplicable
    return Edit("remove", (scene,), without(scene, subject), subject=subject)


def without(scene: Scene, subject: Thing) -> Scene:
    """Return `scene` less one thing, with a form that fits what is left."""
    left = swap(scene, subject, None)
    if scene.background.pattern == "land":
        return replace(scene, things=left)
    form: Literal["empty", "one", "three"] = "three" if len(left) > 1 else "one" if left else "empty"
    return Scene(form, scene.background, left, position="")


def free_places(scene: Scene, extent: float) -> list[str]:
    """Return the named positions where a thing of `extent` touches nothing."""
    return [
        name
        for name, (x, y) in POSITIONS.items()
        if all(math.hypot(x - t.x, y - t.y) > 1.1 * (extent + t.extent) for t in scene.things)
    ]


def add(rng: random.Random, scene: Scene) -> Edit:
    """Put something new where there is room."""
    if scene.background.pattern == "land":
        return add_to_land(rng, scene)
    if scene.form not in ("one", "empty"):
        raise NotApplicable
    places = free_places(scene, EXTENTS["small"])
    kinds = {t.kind for t in scene.things}
    kind = pick_kind(rng, 0.35)
    if not places or kind in kinds:
        raise NotApplicable
    place = rng.choice(places)
    behind = (*scene.background.behind, *(t.rgb for t in scene.things))
    new = make_thing(
        rng, kind, pick_kind_color(rng, kind, behind), POSITIONS[place], extent=EXTENTS["small"], behind=behind
    )
    target = Scene("three", scene.background, (*scene.things, new), position="")
    return Edit("add", (scene,), target, new=new, value=place)


def add_to_land(rng: random.Random, scene: Scene) -> Edit:
    """Put something into an empty sky, or onto ground where nothing stands."""
    if scene.background.ground is None:
        raise NotApplicable
    above = [t for t in scene.things if not t.color]
    below = [t for t in scene.things if t.color]
    if not above and rng.random() < 0.6:
        new = sky_thing(rng, scene.background.sky)
    elif not below:
        kind = "boat" if scene.background.ground == "sea" else rng.choice(("house", "tree", "car", "flower"))
        new = land_thing(rng, kind, scene.background)
    else:
        raise NotApplicable
    return Edit("add", (scene,), replace(scene, things=(*scene.things, new)), new=new)


def move(rng: random.Random, scene: Scene) -> Edit:
    """Move the only thing elsewhere."""
    subject = single(scene)
    if subject.size == "large":
        raise NotApplicable
    places = [p for p, (x, y) in POSITIONS.items() if math.hypot(x - subject.x, y - subject.y) > 0.15]
    place = rng.choice(places)
    x, y = POSITIONS[place]
    moved = replace(subject, x=x + rng.uniform(-0.012, 0.012), y=y + rng.uniform(-0.012, 0.012))
    return Edit("move", (scene,), replace(scene, things=(moved,), position=place), subject=subject, value=place)


def change_background(rng: random.Random, scene: Scene) -> Edit:
    """Put what is there onto another plain, patterned or landscape background."""
    if scene.background.pattern == "land":
        raise NotApplicable
    if rng.random() < 0.12:
        background = propose_land_background(rng)
    else:
        background = plain(rng, rng.choice(list(BACKGROUNDS))) if rng.random() < 0.8 else propose_background(rng)
    visible = all(stands_out(t.rgb, background.behind) for t in scene.things)
    if not visible or same_look(background, scene.background):
        raise NotApplicable
    return Edit("background", (scene,), replace(scene, background=background))


def same_look(first: Background, second: Background) -> bool:
    """Tell whether two backgrounds could be taken for each other."""
    return first.pattern == second.pattern == "plain" and distance(first.rgb, second.rgb) < CONTRAST / 2


def change_time(rng: random.Random, scene: Scene) -> Edit:
    """Change the time of day of a landscape; sun and moon follow."""
    if scene.background.pattern != "land" or scene.background.ground is None:
        raise NotApplicable
    times: tuple[Sky, ...] = ("day", "sunset", "night")
    sky = rng.choice([s for s in times if s != scene.background.sky])
    things = []
    for thing in scene.things:
        if thing.color or (thing.kind == "cloud" and sky == "day"):
            things.append(thing)
            continue
        celestial = sky_thing(rng, sky, "moon" if sky == "night" else "sun")
        things.append(replace(celestial, x=thing.x, y=thing.y, extent=thing.extent))
    target = replace(scene, background=replace(scene.background, sky=sky), things=tuple(things))
    return Edit("time", (scene,), target, value=sky)


def resize(rng: random.Random, scene: Scene) -> Edit:
    """Make the only thing one size bigger or smaller."""
    subject = single(scene)
    order = ("small", "", "large")
    step = rng.choice((-1, 1))
    index = order.index(subject.size) + step
    if not 0 <= index < 3 or (order[index] == "large" and scene.position != "center"):
        raise NotApplicable
    changed = replace(subject, size=order[index], extent=EXTENTS[order[index]] * rng.uniform(0.96, 1.04))
    value = "bigger" if step > 0 else "smaller"
    return Edit("resize", (scene,), replace(scene, things=(changed,)), subject=subject, value=value)


def replace_thing(rng: random.Random, scene: Scene) -> Edit:
    """Put another kind in the place of a thing, in its colour unless the instruction names one."""
    candidates = [t for t in named(scene) if t.color and t.kind not in ("mountain",)]
    if not candidates or scene.background.pattern == "land" or scene.relation == "inside":
        raise NotApplicable
    subject = rng.choice(candidates)
    kind = pick_kind(rng, 0.4)
    if kind in {t.kind for t in scene.things}:
        raise NotApplicable
    behind = (*scene.background.behind, *(t.rgb for t in scene.things if t is not subject))
    color = subject.color if rng.random() < 0.6 else pick_kind_color(rng, kind, behind)
    fresh = make_thing(rng, kind, color, (0, 0), behind=behind)
    new = replace(fresh, x=subject.x, y=subject.y, extent=subject.extent, size=subject.size)
    value = "" if color == subject.color else color
    target = replace(scene, things=swap(scene, subject, new))
    return Edit("replace", (scene,), target, subject=subject, new=new, value=value)


def fill(rng: random.Random, scene: Scene) -> Edit:
    """What inpainting asks: the prompt only names the new thing; it comes somewhere free or in place of the old."""
    if rng.random() < 0.5:
        edit = add(rng, scene)
        return replace(edit, operation="fill", value="")
    edit = replace_thing(rng, scene)
    return replace(edit, operation="fill", value="all")


def combine(rng: random.Random, scene: Scene) -> Edit:
    """Put the thing of one picture onto the background of another."""
    subject = single(scene)
    second = sample_scene(rng)
    if second.form not in ("empty", "one") or same_look(scene.background, second.background):
        raise NotApplicable
    if not stands_out(subject.rgb, second.background.behind):
        raise NotApplicable
    backdrop = second if rng.random() < 0.5 else Scene("empty", second.background)
    target = replace(scene, background=second.background)
    if rng.random() < 0.5:
        return Edit("combine", (scene, backdrop), target, subject=subject, value="first")
    return Edit("combine", (backdrop, scene), target, subject=subject, value="second")


def color_from(rng: random.Random, scene: Scene) -> Edit:
    """Give the thing of the first picture the colour of the second picture's thing."""
    subject = single(scene)
    second = sample_scene(rng)
    if second.form != "one" or not stands_out(second.things[0].rgb, (*scene.background.behind, subject.rgb)):
        raise NotApplicable
    changed = replace(subject, color=second.things[0].color, rgb=second.things[0].rgb)
    return Edit("color_from", (scene, second), replace(scene, things=(changed,)), subject=subject)


def instruction(edit: Edit, rng: random.Random) -> str:
    """Return a fresh instruction for `edit`."""
    text = say(edit, rng)
    if rng.random() < 0.07:
        text = rng.choice(["please ", "can you ", "now ", "could you "]) + text
    if rng.random() < 0.06:
        text += rng.choice([".", "!", " please", ", please", "?"])
    return text


def point_at(rng: random.Random, edit: Edit) -> str:
    """Return "the red star", "the star" or, when nothing else is there, "it"."""
    assert edit.subject is not None
    thing = edit.subject
    alone = len(edit.sources[0].things) == 1
    if alone and rng.random() < 0.4:
        return "it"
    noun = kind_word(rng, thing.kind, thing.variant)
    color = f"{color_word(rng, thing.color)} " if thing.color and rng.random() < 0.25 else ""
    return f"the {color}{noun}"


def say(edit: Edit, rng: random.Random) -> str:
    """Return the bare instruction."""
    value = edit.value
    match edit.operation:
        case "recolor":
            return say_recolor(edit, rng)
        case "remove":
            return rng.choice(["remove", "delete", "erase", "take away", "get rid of"]) + f" {point_at(rng, edit)}"
        case "add":
            return say_add(edit, rng)
        case "move":
            what = point_at(rng, edit)
            place = position_phrase(rng, value).strip()
            to = f"to the {value}" if rng.random() < 0.7 else place
            return rng.choice([f"move {what} {to}", f"move {what} {to}", f"put {what} {place}", f"shift {what} {to}"])
        case "background":
            return say_background(edit, rng)
        case "time":
            phrase = rng.choice(SKY_PHRASES[value]).strip()
            noun = {"day": "day", "sunset": "sunset", "night": "night"}[value]
            return rng.choice(
                [f"make it {noun}", f"change it to {noun}", f"{noun} time", f"show it {phrase}", f"turn it into {noun}"]
            )
        case "resize":
            return say_resize(edit, rng)
        case "replace":
            return say_replace(edit, rng)
        case "identity":
            return rng.choice(
                [
                    "keep it",
                    "do nothing",
                    "leave it as it is",
                    "the same picture",
                    "no change",
                    "keep it the same",
                    "copy it",
                ]
            )
        case "fill":
            return say_fill(edit, rng)
        case "combine":
            return say_combine(edit, rng)
        case "color_from":
            what = point_at(rng, edit)
            return rng.choice(
                [
                    f"give {what} the color of image 2",
                    f"paint {what} in the color of the second image",
                    "use the color of image 2",
                ]
            )


def say_recolor(edit: Edit, rng: random.Random) -> str:
    """Say a change of colour."""
    color = color_word(rng, edit.value)
    what = point_at(rng, edit)
    if edit.sources[0].form == "many":
        what = rng.choice(["them", "the shapes", "all of them", "everything"])
    return rng.choice(
        [
            f"make {what} {color}",
            f"make {what} {color}",
            f"paint {what} {color}",
            f"turn {what} {color}",
            f"color {what} {color}",
            f"recolor {what} to {color}",
            f"change {what} to {color}",
            f"change the color of {what} to {color}",
        ]
    )


def say_add(edit: Edit, rng: random.Random) -> str:
    """Say an addition: where it comes, or where it stands to what is there."""
    assert edit.new is not None
    what = article(noun_phrase(rng, edit.new, keep_color=0.7))
    verb = rng.choice(["add", "add", "add", "put", "draw", "place", "insert"])
    scene = edit.sources[0]
    if not edit.value:
        return f"{verb} {what}" + (" in the sky" if not edit.new.color and rng.random() < 0.4 else "")
    relation = axis_relation(edit.new, scene.things[0]) if scene.things else None
    if relation and rng.random() < 0.6:
        anchor = kind_word(rng, scene.things[0].kind, scene.things[0].variant)
        return f"{verb} {what}{rng.choice(RELATION_PHRASES[relation])}{rng.choice(['it', f'the {anchor}'])}"
    return f"{verb} {what}" + (position_phrase(rng, edit.value) if rng.random() < 0.85 else "")


def axis_relation(new: Thing, anchor: Thing) -> str | None:
    """Return how `new` stands to `anchor` when it is straight beside, above or below it."""
    dx, dy = new.x - anchor.x, new.y - anchor.y
    if abs(dy) < 0.1 < abs(dx):
        return "right" if dx > 0 else "left"
    if abs(dx) < 0.1 < abs(dy):
        return "below" if dy > 0 else "above"
    return None


def say_background(edit: Edit, rng: random.Random) -> str:
    """Say a change of background."""
    background = edit.target.background
    if background.pattern == "plain" and rng.random() < 0.75:
        color = color_word(rng, background.color)
        return rng.choice(
            [
                f"change the background to {color}",
                f"make the background {color}",
                f"{color} background",
                f"set the background to {color}",
                f"paint the background {color}",
            ]
        )
    return rng.choice(["put it", "place it", "show it", "move it"]) + background_phrase(rng, background).replace(
        ",", " on a"
    )


def say_resize(edit: Edit, rng: random.Random) -> str:
    """Say a change of size."""
    what = point_at(rng, edit)
    if edit.value == "bigger":
        return rng.choice([f"make {what} bigger", f"make {what} larger", f"enlarge {what}", f"grow {what}"])
    return rng.choice([f"make {what} smaller", f"shrink {what}", f"make {what} smaller", f"make {what} tiny"])


def say_replace(edit: Edit, rng: random.Random) -> str:
    """Say that one thing comes for another."""
    assert edit.new is not None
    what = point_at(rng, edit)
    noun = kind_word(rng, edit.new.kind, edit.new.variant)
    new = article(f"{color_word(rng, edit.value)} {noun}" if edit.value else noun)
    return rng.choice(
        [f"replace {what} with {new}", f"turn {what} into {new}", f"change {what} to {new}", f"swap {what} for {new}"]
    )


def say_fill(edit: Edit, rng: random.Random) -> str:
    """Say what the masked part shows."""
    assert edit.new is not None
    if edit.value and rng.random() < 0.5:
        return describe(rng, edit.target) if edit.target.form != "three" else article(noun_phrase(rng, edit.new))
    return article(noun_phrase(rng, edit.new, keep_color=0.9)) + ("" if rng.random() < 0.7 else tail_of(rng, edit))


def tail_of(rng: random.Random, edit: Edit) -> str:
    """Return the background phrase of the target."""
    return background_phrase(rng, edit.target.background)


def say_combine(edit: Edit, rng: random.Random) -> str:
    """Say a combination of two pictures."""
    assert edit.subject is not None
    one, two = ("1", "2") if edit.value == "first" else ("2", "1")
    ordinal = {"1": "first", "2": "second"}
    noun = rng.choice([kind_word(rng, edit.subject.kind, edit.subject.variant), "shape", "object", "thing"])
    if rng.random() < 0.5:
        return rng.choice(["put", "place", "move"]) + f" the {noun} from image {one} on the background of image {two}"
    if rng.random() < 0.5:
        return f"put the {noun} of the {ordinal[one]} image onto the background of the {ordinal[two]} image"
    return f"the {noun} from image {one} on the background from image {two}"
