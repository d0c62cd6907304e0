"""Scores an exported model on prompts and edits it never saw, with two checks of the judge itself.

Every picture comes from the standard pipeline, called as the server calls it. "all" is the share of pictures with
everything right. True renders show what the judge lets pass; shuffled prompts what it lets slip.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from training import heldout
from training.captions import article, plural
from training.edits import Edit, propose_edit
from training.judge import SEEN, Mask, Verdict, apart_nearby, grow, judge
from training.palette import BACKGROUNDS, pick_color
from training.redrawing import apart
from training.render import Picture, render
from training.scenes import (
    OBJECTS,
    POSITIONS,
    SHAPES,
    Background,
    Relation,
    Scene,
    Thing,
    make_thing,
    pick_kind_color,
    plain,
    propose_background,
    propose_land,
    propose_two,
    relate,
    repeat,
)
from training.sheet import call_for, draw, load_pipeline

SKY_WORDS = {"day": "under a blue sky", "sunset": "at sunset", "night": "at night"}
GROUND_WORDS = {"grass": "on grass", "sea": "on the sea", "sand": "in the desert", "snow": "in the snow"}
FAIR_SIDE_PX = 128
GAP_PX = 3
"""How far a silhouette is grown, in pixels at `FAIR_SIDE_PX`, before it may not touch another's."""
LEAST_VISIBLE = 0.75
"""Share of a thing's silhouette that must stand out from the background."""
Shares = dict[str, float]


@dataclass(frozen=True, slots=True)
class Case:
    """A prompt, the scene it asks for, and the edit it belongs to, if any."""

    category: str
    prompt: str
    scene: Scene
    edit: Edit | None = None


def plain_noun(thing: Thing) -> str:
    """Return size, colour and kind of a thing in their first words."""
    size = {"small": "small", "large": "large"}.get(thing.size, "")
    return " ".join(word for word in (size, thing.color, thing.kind) if word)


def plain_background(background: Background) -> str:
    """Return the plainest phrase for a background."""
    match background.pattern:
        case "plain":
            return f"on {article(background.color)} background"
        case "gradient":
            way = "vertical" if background.upright else "horizontal"
            return f"on a {way} gradient from {background.color} to {background.color2}"
        case "checker":
            return f"on {article(background.color)} and {background.color2} checkerboard"
        case "stripes":
            way = "vertical" if background.upright else "horizontal"
            return f"on {way} {background.color} and {background.color2} stripes"
        case "land":
            ground = GROUND_WORDS[background.ground] if background.ground else ""
            return f"{ground} {SKY_WORDS[background.sky]}".strip()


def plain_prompt(scene: Scene) -> str:
    """Return the plainest prompt for a scene."""
    behind = plain_background(scene.background)
    match scene.form:
        case "one":
            place = "" if scene.position == "center" else f" {in_place(scene.position)}"
            return f"{article(plain_noun(scene.things[0]))}{place} {behind}"
        case "two":
            words = {"left": "to the left of", "right": "to the right of", "inside": "inside"}
            relation = words.get(scene.relation or "", scene.relation)
            return f"{article(plain_noun(scene.subject))} {relation} {article(plain_noun(scene.other))} {behind}"
        case "many":
            number = {2: "two", 3: "three", 4: "four"}[len(scene.things)]
            return f"{number} {scene.things[0].color} {plural(scene.things[0].kind)} {behind}"
        case "land":
            names = [article(plain_noun(t)) for t in scene.things if t.color]
            sky = [f"with {article(t.kind)}" for t in scene.things if not t.color]
            return " ".join([*names, behind, *sky])
        case "empty" | "three":
            return behind.removeprefix("on ")


def in_place(position: str) -> str:
    """Return "on the left", "at the top", "in the top left corner" or "in the center"."""
    preposition = "on" if position in ("left", "right") else "at" if position in ("top", "bottom") else "in"
    return f"{preposition} the {position}"


def held_out(rng: random.Random, make: Callable[[random.Random], Scene]) -> Scene:
    """Draw scenes until one is held out from training."""
    while True:
        scene = make(rng)
        if heldout.is_held_out(scene):
            return scene


def one(
    kinds: tuple[str, ...], *, size: str = "", positions: tuple[str, ...] = ("center",)
) -> Callable[[random.Random], Scene]:
    """Return a maker of single things on plain backgrounds."""

    def make(rng: random.Random) -> Scene:
        background = plain(rng, rng.choice(list(BACKGROUNDS)))
        kind, position = rng.choice(kinds), rng.choice(positions)
        color = pick_color(rng, background.behind)
        thing = make_thing(rng, kind, color, POSITIONS[position], size=size, behind=background.behind)
        return Scene("one", background, (thing,), position=position)

    return make


def make_sized(rng: random.Random) -> Scene:
    """Draw a small or large shape in the centre."""
    return one(SHAPES, size=rng.choice(("small", "large")))(rng)


def make_count(rng: random.Random) -> Scene:
    """Draw two to four equal shapes."""
    background = plain(rng, rng.choice(list(BACKGROUNDS)))
    kind = rng.choice(SHAPES)
    return repeat(rng, rng.choice((2, 3, 4)), background, kind, pick_color(rng, background.behind))


def make_relation(rng: random.Random) -> Scene:
    """Draw two shapes beside, above or below each other."""
    background = plain(rng, "white")
    relation: Relation = rng.choice(("left", "right", "above", "below"))
    first, second = rng.choice(SHAPES), rng.choice(SHAPES)
    color = pick_color(rng, background.behind)
    other = pick_color(rng, (*background.behind, BACKGROUNDS[color]))
    return relate(rng, relation, background, (first, color), (second, other))


def make_inside(rng: random.Random) -> Scene:
    """Draw a shape inside another."""
    while True:
        scene = propose_two(rng)
        if scene.relation == "inside" and scene.background.pattern == "plain":
            return scene


def make_land(rng: random.Random) -> Scene:
    """Draw a landscape with one thing on the ground."""
    while True:
        scene = propose_land(rng)
        named = [t for t in scene.things if t.color]
        if len(named) == 1 and named[0].kind not in ("mountain", "balloon"):
            return scene


def make_pattern(rng: random.Random) -> Scene:
    """Draw a shape on a gradient, checkerboard or stripes."""
    while True:
        background = propose_background(rng)
        if background.pattern != "plain":
            kind = rng.choice(SHAPES)
            thing = make_thing(rng, kind, pick_kind_color(rng, kind, background.behind), POSITIONS["center"])
            return Scene("one", background, (thing,))


def is_fair(scene: Scene) -> bool:
    """Tell whether a person could tell every thing from its background and from the others."""
    if scene.relation == "inside":
        return True
    empty = draw_at_fair_size(scene, ())
    covers = []
    for thing in scene.things:
        alone = draw_at_fair_size(scene, (thing,))
        cover = silhouette(thing)
        if float((apart(alone, empty)[cover] > SEEN).mean()) < LEAST_VISIBLE:
            return False
        covers.append(grow(cover, GAP_PX))
    return bool(np.sum(covers, 0).max(initial=0) <= 1)


def draw_at_fair_size(scene: Scene, things: tuple[Thing, ...]) -> Picture:
    """Draw the background of a scene with some things at the size at which fairness is measured."""
    return render(replace(scene, things=things), FAIR_SIDE_PX, FAIR_SIDE_PX)


def silhouette(thing: Thing) -> Mask:
    """Return what a thing covers: where it looks the same on black and on white."""
    on_black, on_white = (
        draw_at_fair_size(Scene("one", Background("plain", rgb=(grey, grey, grey))), (thing,)) for grey in (0, 255)
    )
    return apart(on_black, on_white) < 1


def draw_fair(rng: random.Random, make: Callable[[random.Random], Scene]) -> Scene:
    """Draw scenes until one is fair."""
    while not is_fair(scene := make(rng)):
        pass
    return scene


ALL_POSITIONS = tuple(POSITIONS)
MAKERS: dict[str, tuple[int, Callable[[random.Random], Scene]]] = {
    "shape": (48, lambda rng: held_out(rng, one(SHAPES))),
    "object": (60, lambda rng: held_out(rng, one(OBJECTS))),
    "position": (36, lambda rng: held_out(rng, one(SHAPES, size="small", positions=ALL_POSITIONS))),
    "size": (24, lambda rng: held_out(rng, make_sized)),
    "count": (36, lambda rng: held_out(rng, make_count)),
    "relation": (40, lambda rng: held_out(rng, make_relation)),
    "inside": (20, lambda rng: held_out(rng, make_inside)),
    "landscape": (40, lambda rng: held_out(rng, make_land)),
    "pattern": (24, make_pattern),
}
EDITS: dict[str, int] = {
    "recolor": 16,
    "remove": 16,
    "add": 16,
    "move": 16,
    "background": 16,
    "time": 12,
    "resize": 12,
    "replace": 16,
    "combine": 12,
}


def prompts(seed: int, share: float) -> Iterator[Case]:
    """Yield the text-to-image cases; `share` scales their number."""
    for category, (count, make) in MAKERS.items():
        rng = random.Random(f"{category} {seed}")
        for _ in range(max(2, round(count * share))):
            scene = draw_fair(rng, make)
            yield Case(category, plain_prompt(scene), scene)


def edit_cases(seed: int, share: float) -> Iterator[Case]:
    """Yield the edits; things are named by kind, additions by colour, kind and place."""
    for operation, count in EDITS.items():
        rng = random.Random(f"{operation} {seed}")
        wanted = max(2, round(count * share))
        while wanted:
            edit = propose_edit(rng, operation)  # type: ignore[arg-type]
            text = plain_instruction(edit)
            if text is not None and is_fair(edit.target):
                wanted -= 1
                yield Case(f"edit: {operation}", text, edit.target, edit)


def plain_instruction(edit: Edit) -> str | None:
    """Return the plainest instruction for an edit; None where it would leave the result open."""
    thing, new, value = edit.subject, edit.new, edit.value
    landed = edit.target.background.pattern == "land"
    several = landed and len([t for t in edit.target.things if t.color]) > 1
    if several or (new is not None and (landed or new.kind in ("mountain", "balloon"))):
        return None
    what = f"the {thing.kind}" if thing else ""
    match edit.operation:
        case "recolor":
            return f"make {'them' if edit.target.form == 'many' else what} {value}"
        case "remove":
            return f"remove {what}"
        case "add" if new is not None:
            return f"add {article(plain_noun(new))} {in_place(value)}"
        case "move":
            return f"move {what} to the {value}"
        case "background":
            plain_color = edit.target.background.pattern == "plain"
            if plain_color:
                return f"change the background to {edit.target.background.color}"
            return f"put it {plain_background(edit.target.background)}" if not landed else None
        case "time":
            return f"make it {value}"
        case "resize":
            return f"make {what} {value}"
        case "replace" if new is not None:
            return f"replace {what} with {article(f'{value} {new.kind}'.strip())}"
        case "combine":
            one_, two = ("1", "2") if value == "first" else ("2", "1")
            return None if landed else f"put {what} from image {one_} on the background of image {two}"
        case _:
            return None


def judge_case(picture: Picture, case: Case) -> Verdict:
    """Judge a picture; for edits also that what should stay has stayed."""
    verdict = judge(picture, case.scene)
    if case.edit is not None and len(case.edit.sources) == 1:
        verdict["kept"] = kept(picture, case.edit)
        verdict["all"] = all(verdict.values())
    return verdict


def kept(picture: Picture, edit: Edit) -> bool:
    """Tell whether the parts that source and target share look as in the target."""
    height, width = picture.shape[:2]
    before, after = render(edit.sources[0], width, height), render(edit.target, width, height)
    moved = Image.fromarray(((apart(before, after) > 20) * 255).astype(np.uint8)).resize((32, 32), Image.Resampling.BOX)
    changed = np.asarray(moved.resize((width, height), Image.Resampling.NEAREST)) > 0
    if changed.all():
        return True
    return float((apart_nearby(picture, after)[~changed] < 50).mean()) > 0.98


def draw_cases(pipeline: Any, cases: list[Case], seed: int) -> list[Picture]:
    """Draw every case through the pipeline; prompts in batches, edits one by one with their source pictures."""
    plain_cases = [case for case in cases if case.edit is None]
    found = dict(zip(map(id, plain_cases), draw(pipeline, [c.prompt for c in plain_cases], seed=seed), strict=True))
    for index, case in enumerate(cases):
        if case.edit is not None:
            sources = [Image.fromarray(render(scene)) for scene in case.edit.sources]
            generator = torch.Generator().manual_seed(seed + index)
            call = call_for(pipeline, [case.prompt])
            image = pipeline(image=sources, prompt=case.prompt, generator=generator, **call).images[0]
            found[id(case)] = np.asarray(image.convert("RGB"))
    return [found[id(case)] for case in cases]


def shares(verdicts: list[Verdict]) -> Shares:
    """Return the share of each attribute that is right, over the pictures that have it."""
    collected: dict[str, list[bool]] = defaultdict(list)
    for verdict in verdicts:
        for name, value in verdict.items():
            collected[name].append(value)
    return {name: float(np.mean(values)) for name, values in collected.items()}


def by_category(cases: list[Case], verdicts: list[Verdict]) -> dict[str, Shares]:
    """Return `shares` by category."""
    groups: dict[str, list[Verdict]] = defaultdict(list)
    for case, verdict in zip(cases, verdicts, strict=True):
        groups[case.category].append(verdict)
    return {category: shares(group) for category, group in groups.items()}


def shuffled(cases: list[Case], seed: int) -> list[Case]:
    """Return the cases with the prompts of each category turned by one place: every picture gets a wrong prompt."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, case in enumerate(cases):
        groups[case.category].append(index)
    result = list(cases)
    for indices in groups.values():
        order = indices[1:] + indices[:1]
        for index, other in zip(indices, order, strict=True):
            result[index] = replace(cases[other], edit=None)
    return result


def table(scores: dict[str, Shares], truth: dict[str, Shares], wrong: dict[str, Shares], counts: dict[str, int]) -> str:
    """Return a Markdown table: everything right, each attribute, and the two checks of the judge."""
    lines = ["| category | n | all right | attributes | true renders | shuffled |", "|---|---|---|---|---|---|"]
    for category, found in scores.items():
        parts = ", ".join(f"{name} {value:.2f}" for name, value in found.items() if name != "all")
        checks = f"{truth[category]['all']:.2f} | {wrong[category]['all']:.2f}"
        lines.append(f"| {category} | {counts[category]} | {found['all']:.2f} | {parts} | {checks} |")
    return "\n".join(lines)


def evaluate(folder: Path, *, seed: int = 2026, share: float = 1.0, device: str = "cpu") -> str:
    """Draw and judge all cases with the model in `folder` and return the table."""
    cases = [*prompts(seed, share), *edit_cases(seed, share)]
    pictures = draw_cases(load_pipeline(folder, device), cases, seed)
    renders = [render(case.scene) for case in cases]
    scores = by_category(cases, [judge_case(p, c) for p, c in zip(pictures, cases, strict=True)])
    truth = by_category(cases, [judge_case(p, c) for p, c in zip(renders, cases, strict=True)])
    wrong = by_category(cases, [judge_case(p, c) for p, c in zip(pictures, shuffled(cases, seed), strict=True)])
    counts = {category: sum(c.category == category for c in cases) for category in scores}
    return table(scores, truth, wrong, counts)
