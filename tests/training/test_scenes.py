"""Scenes, held-out combinations, captions and rendering."""

import random

import numpy as np
import pytest

from training import heldout
from training.captions import KIND_WORDS, TREE_WORDS, caption, strange_prompt, welcomes_strangers
from training.palette import COLOR_SYNONYMS
from training.render import render
from training.scenes import KINDS, Scene, make_thing, plain, propose_scene, sample_scene, usual_color


def scenes(seed: int, count: int) -> list[Scene]:
    rng = random.Random(seed)
    return [sample_scene(rng) for _ in range(count)]


def test_the_same_seed_gives_the_same_scenes_and_pictures() -> None:
    first, second = scenes(4, 12), scenes(4, 12)
    assert first == second
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(render(a, 64), render(b, 64))


def test_different_seeds_give_different_scenes() -> None:
    assert scenes(4, 12) != scenes(5, 12)


def test_training_never_shows_a_held_out_combination() -> None:
    assert not any(heldout.is_held_out(scene) for scene in scenes(1, 4000))


def test_some_combinations_are_held_out() -> None:
    rng = random.Random(1)
    share = np.mean([heldout.is_held_out(propose_scene(rng)) for _ in range(4000)])
    assert 0.03 < share < 0.15


@pytest.mark.parametrize(("one", "other"), [("left", "right"), ("above", "below")])
def test_a_relation_is_held_out_whichever_way_it_is_said(one: str, other: str) -> None:
    for a in KINDS:
        assert heldout.pair_held_out(a, "star", one) == heldout.pair_held_out("star", a, other)


def words_for(scene: Scene, index: int) -> tuple[str, ...]:
    thing = scene.things[index]
    return TREE_WORDS[thing.variant] if thing.kind == "tree" else KIND_WORDS.get(thing.kind, (thing.kind,))


def test_captions_name_the_single_thing_and_its_unusual_colour() -> None:
    rng = random.Random(2)
    for scene in scenes(2, 1500):
        if scene.form != "one":
            continue
        text = caption(scene, rng)
        assert any(word in text for word in words_for(scene, 0)), text


def test_captions_name_both_things_of_a_relation() -> None:
    rng = random.Random(3)
    for scene in scenes(3, 1500):
        if scene.form == "two":
            text = caption(scene, rng)
            assert all(any(word in text for word in words_for(scene, i)) for i in (0, 1)), text


def test_captions_name_an_empty_background() -> None:
    rng = random.Random(6)
    for scene in scenes(6, 1500):
        if scene.form == "empty" and scene.background.pattern == "plain":
            color = scene.background.color
            text = caption(scene, rng)
            assert any(word in text for word in (color, *COLOR_SYNONYMS.get(color, ()))), text


def test_captions_of_one_scene_differ() -> None:
    rng = random.Random(7)
    scene = scenes(7, 1)[0]
    assert len({caption(scene, rng) for _ in range(30)}) > 5


def test_words_without_a_picture_are_answered_by_a_sunny_meadow() -> None:
    assert strange_prompt(random.Random(1))
    welcoming = [scene for scene in scenes(8, 1500) if welcomes_strangers(scene)]
    assert welcoming
    assert all(scene.background.sky == "day" and scene.background.ground == "grass" for scene in welcoming)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn(kind: str) -> None:
    rng = random.Random(9)
    background = plain(rng, "dark blue")
    thing = make_thing(rng, kind, usual_color(rng, kind, background.behind), (0.5, 0.5), behind=background.behind)
    shown = render(Scene("one", background, (thing,)), 64)
    empty = render(Scene("empty", background), 64)
    assert 0.05 < (shown != empty).any(-1).mean() < 0.6


@pytest.mark.parametrize(("width", "height"), [(128, 128), (96, 64), (64, 160)])
def test_pictures_have_the_size_asked_for(width: int, height: int) -> None:
    for scene in scenes(10, 20):
        assert render(scene, width, height).shape == (height, width, 3)
