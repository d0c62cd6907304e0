"""The judge lets true renders pass, soft ones too, and refuses pictures of something else."""

import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from training.evaluate import Case, edit_cases, is_fair, judge_case, prompts, shuffled
from training.judge import judge
from training.palette import BACKGROUNDS, COLORS
from training.render import Picture, render
from training.scenes import POSITIONS, Background, Scene, Thing, make_thing, plain, relate, repeat

WHITE = plain(random.Random(0), "white")
STAR = make_thing(random.Random(1), "star", "red", POSITIONS["center"])
ONE = Scene("one", WHITE, (STAR,))
CHECKER = Background("checker", color="gray", rgb=COLORS["gray"], color2="green", rgb2=COLORS["green"], cells=8)
TWO = relate(random.Random(2), "left", WHITE, ("square", "blue"), ("circle", "orange"))
INSIDE = relate(random.Random(3), "inside", WHITE, ("star", "white"), ("circle", "blue"))
THREE = repeat(random.Random(4), 3, WHITE, "heart", "purple")
CAR = Thing("car", "red", COLORS["red"], 0.4, 0.6, 0.22)
SUN = Thing("sun", "", (250, 215, 30), 0.8, 0.2, 0.115)
LAND = Scene("land", Background("land", sky="sunset", ground="sand", horizon=0.61), (SUN, CAR))


def only(scene: Scene, thing: Thing) -> Scene:
    return replace(scene, things=(thing,))


def swapped(scene: Scene, index: int, **changes: object) -> Scene:
    """Return the scene with one thing changed."""
    things = list(scene.things)
    things[index] = replace(things[index], **changes)  # type: ignore[arg-type]
    return replace(scene, things=tuple(things))


def soft(picture: Picture, radius: float = 1.5) -> Picture:
    """Return a picture as an autoencoder might give it back: blurred and a little noisy."""
    blurred = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)), np.float32)
    noise = np.random.default_rng(0).normal(0, 5, blurred.shape)
    return np.clip(blurred + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(prompts(seed=1, share=0.05))


def test_true_renders_pass(cases: list[Case]) -> None:
    for case in [*cases, *edit_cases(seed=1, share=0.02)][::2]:
        verdict = judge_case(render(case.scene), case)
        assert verdict["all"], (case.prompt, verdict)


def test_soft_renders_pass(cases: list[Case]) -> None:
    both = [*cases, *edit_cases(seed=1, share=0.02)][1::4]
    verdicts = [judge_case(soft(render(case.scene)), case)["all"] for case in both]
    assert np.mean(verdicts) >= 0.97, [case.prompt for case, right in zip(both, verdicts, strict=True) if not right]


def test_pictures_of_other_prompts_fail(cases: list[Case]) -> None:
    pairs = list(zip(cases, shuffled(cases, seed=1), strict=True))[::3]
    verdicts = [judge(render(a.scene), b.scene)["all"] for a, b in pairs]
    assert np.mean(verdicts) < 0.1


def test_a_blank_picture_fails(cases: list[Case]) -> None:
    blank = np.full((256, 256, 3), 250, np.uint8)
    assert not any(judge(blank, case.scene)["all"] for case in cases[::3])


def test_an_unedited_source_fails() -> None:
    for case in list(edit_cases(seed=2, share=0.02))[::3]:
        assert case.edit is not None
        if len(case.edit.sources) == 1:
            assert not judge_case(render(case.edit.sources[0]), case)["all"], case.prompt
            assert judge_case(render(case.scene), case)["kept"], case.prompt


WRONG = {
    "kind": (swapped(ONE, 0, kind="cross"), ONE, "kind"),
    "near kind": (swapped(ONE, 0, kind="hexagon"), swapped(ONE, 0, kind="circle"), "kind"),
    "oval for circle": (swapped(ONE, 0, kind="oval"), swapped(ONE, 0, kind="circle"), "kind"),
    "object": (swapped(ONE, 0, kind="cat"), swapped(ONE, 0, kind="smiley"), "kind"),
    "color": (swapped(ONE, 0, rgb=COLORS["orange"]), ONE, "color"),
    "position": (swapped(ONE, 0, x=POSITIONS["left"][0]), ONE, "position"),
    "bigger": (swapped(ONE, 0, extent=0.37), ONE, "size"),
    "smaller": (swapped(ONE, 0, extent=0.125), ONE, "size"),
    "background": (replace(ONE, background=plain(random.Random(0), "light pink")), ONE, "background"),
    "pattern": (ONE, replace(ONE, background=CHECKER), "background"),
    "kind on a pattern": (
        swapped(replace(ONE, background=CHECKER), 0, kind="heart"),
        replace(ONE, background=CHECKER),
        "kind",
    ),
    "cells": (
        replace(ONE, background=replace(CHECKER, color2="pink", rgb2=COLORS["pink"])),
        replace(ONE, background=CHECKER),
        "background",
    ),
    "one more": (replace(ONE, things=(STAR, replace(STAR, x=0.2, y=0.2, extent=0.1))), ONE, "kind"),
    "second kind": (swapped(TWO, 1, kind="hexagon"), TWO, "kind"),
    "other side": (relate(random.Random(2), "right", WHITE, ("square", "blue"), ("circle", "orange")), TWO, "kind"),
    "second color": (swapped(TWO, 1, rgb=COLORS["pink"]), TWO, "color"),
    "inner kind": (swapped(INSIDE, 1, kind="cross"), INSIDE, "kind"),
    "inner color": (swapped(INSIDE, 1, rgb=COLORS["yellow"]), INSIDE, "color"),
    "nothing inside": (only(INSIDE, INSIDE.things[0]), INSIDE, "relation"),
    "two of three": (replace(THREE, things=THREE.things[:2]), THREE, "count"),
    "two for three": (repeat(random.Random(4), 2, WHITE, "heart", "purple"), THREE, "kind"),
    "four for three": (repeat(random.Random(4), 4, WHITE, "heart", "purple"), THREE, "kind"),
    "one of three is another": (swapped(THREE, 1, kind="circle"), THREE, "kind"),
    "no sun": (only(LAND, CAR), LAND, "sky"),
    "a sun too many": (LAND, only(LAND, CAR), "sky"),
    "a moon for the sun": (swapped(LAND, 0, kind="moon"), LAND, "sky"),
    "a disc for the sun": (swapped(LAND, 0, kind="circle", extent=0.1), LAND, "sky"),
    "a blue sun": (swapped(LAND, 0, rgb=COLORS["blue"]), LAND, "sky"),
    "no car": (only(LAND, SUN), LAND, "kind"),
    "a boat for the car": (swapped(LAND, 1, kind="boat"), LAND, "kind"),
    "a car too many": (LAND, only(LAND, SUN), "kind"),
    "a green car": (swapped(LAND, 1, rgb=COLORS["green"]), LAND, "color"),
    "another sky": (replace(LAND, background=replace(LAND.background, sky="day")), LAND, "background"),
    "another ground": (replace(LAND, background=replace(LAND.background, ground="grass")), LAND, "background"),
}


# Redrawing takes its time: a third runs every day, the others with the heavy suites.
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.heavy] if i % 3 else []) for i, name in enumerate(WRONG)]
)
def test_a_wrong_picture_fails(name: str) -> None:
    drawn, wanted, attribute = WRONG[name]
    verdict = judge(soft(render(drawn)), wanted)
    assert not verdict[attribute], verdict
    assert not verdict["all"]


@pytest.mark.parametrize(
    "scene",
    [ONE, replace(ONE, background=CHECKER), TWO, INSIDE, THREE, LAND],
    ids=("one", "checker", "two", "inside", "three", "land"),
)
def test_what_those_are_wrong_about_passes_when_right(scene: Scene) -> None:
    assert judge(render(scene), scene)["all"]
    assert judge(soft(render(scene)), scene)["all"]


def edits(operation: str) -> list[Case]:
    """Return a few edits of one source."""
    return [case for case in edit_cases(seed=3, share=0.1) if case.category == f"edit: {operation}"]


def test_a_leftover_of_what_was_removed_fails() -> None:
    for case in edits("remove"):
        assert case.edit is not None
        before, after = render(case.edit.sources[0]).astype(float), render(case.scene).astype(float)
        ghost = (0.5 * before + 0.5 * after).astype(np.uint8)
        assert not judge_case(ghost, case)["all"], case.prompt


@pytest.mark.parametrize("operation", ["recolor", "remove", "move", "resize", "replace"])
def test_a_broken_background_fails(operation: str) -> None:
    for case in edits(operation):
        picture = render(case.scene).copy()
        picture[100:140, :30] = 255 - picture[100:140, :30] // 2
        picture[-30:, 100:140] = picture[-30:, 100:140] // 2
        assert not judge_case(picture, case)["all"], case.prompt


def test_what_hides_or_hardly_shows_is_no_fair_case() -> None:
    boat = Thing("boat", "green", COLORS["green"], 0.32, 0.57, 0.22, accent="white", accent_rgb=COLORS["white"])
    sea = Background("land", sky="day", ground="sea", horizon=0.61)
    assert not is_fair(Scene("land", sea, (replace(SUN, x=0.31), boat)))
    assert is_fair(Scene("land", sea, (SUN, boat)))
    gradient = Background("gradient", color="black", rgb=COLORS["black"], color2="pink", rgb2=BACKGROUNDS["pink"])
    moon = Thing("moon", "brown", COLORS["brown"], 0.5, 0.5, 0.23)
    assert not is_fair(Scene("one", gradient, (moon,)))
    assert is_fair(replace(ONE, background=gradient))
