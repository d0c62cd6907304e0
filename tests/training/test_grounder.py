"""Words and masks for the grounder, and a few steps of its training."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training import checkpoint, grounder
from training.drawn import Drawn
from training.evaluate_words import Grounder, overlap
from training.export import export_model
from training.grounder_words import absent_words, cover, covers, example, side_of, thing_words
from training.reader_pictures import sample_seen
from training.recipe import read_recipe
from training.render import render
from training.scenes import Scene, make_thing, plain, relate, repeat
from training.stages import MODEL


def pair(relation: str = "left") -> Scene:
    background = plain(random.Random(1), "white")
    return relate(random.Random(1), relation, background, ("star", "red"), ("circle", "blue"))  # type: ignore[arg-type]


def test_a_mask_is_where_the_thing_was_drawn() -> None:
    scene = pair()
    picture = render(scene, 128)
    red = (picture[..., 2] < 150) & (picture[..., 0] > 150)
    assert overlap((covers(scene, 128, 128)[0] > 0.5).astype(np.float32), red.astype(np.float32)) > 0.95


def test_a_mask_leaves_out_what_lies_in_front() -> None:
    scene = pair("inside")
    outer, inner = covers(scene, 96, 96)
    assert float((outer * inner).max()) < 0.3
    assert float(cover(scene.things[0], 96, 96).sum()) > float(outer.sum()) + 0.8 * float(inner.sum())


def test_masks_are_as_large_as_the_picture() -> None:
    assert [m.shape for m in covers(pair(), 90, 60)] == [(60, 90)] * 2


def test_words_for_a_thing_name_its_kind_or_colour() -> None:
    rng, scene = random.Random(2), pair()
    for _ in range(200):
        words, indices = thing_words(rng, scene)
        thing = scene.things[indices[0]]
        assert len(indices) == 1
        kinds = {"star": ("star", "red", "crimson", "scarlet"), "circle": ("circle", "disc", "ball", "dot", "blue")}
        assert any(word in words for word in kinds[thing.kind]), words


def test_equal_things_are_told_apart_by_their_side() -> None:
    scene = repeat(random.Random(3), 2, plain(random.Random(3), "white"), "star", "red")
    assert [side_of(scene, i, [0, 1]) for i in (0, 1)] == ["left", "right"]


def test_words_for_what_is_absent_name_nothing_that_is_there() -> None:
    rng, scene = random.Random(4), pair()
    for _ in range(200):
        words = absent_words(rng, scene)
        assert "red star" not in words, words
        assert "blue circle" not in words, words


def test_examples_come_with_masks_full_and_empty() -> None:
    rng = random.Random(5)
    shares = []
    for _ in range(60):
        scene = sample_seen(rng)
        found = example(rng, scene, covers(scene, 48, 48), (48, 48))
        assert found.words == found.words.strip() != ""
        assert found.mask.shape == (48, 48)
        assert 0 <= found.mask.min() <= found.mask.max() <= 1
        shares.append(float(found.mask.mean()))
    assert min(shares) == 0
    assert max(shares) > 0.5


def test_subject_and_background_share_the_picture() -> None:
    scene = Scene("one", plain(random.Random(6), "white"), (make_thing(random.Random(6), "cat", "black", (0.5, 0.5)),))
    masks, rng = covers(scene, 64, 64), random.Random(7)
    found = {e.words: e.mask for e in (example(rng, scene, masks, (64, 64)) for _ in range(300))}
    assert np.allclose(found["the subject"] + found["the background"], 1, atol=1e-6)


def test_any_text_fits_the_tokenizer() -> None:
    tokenizer = grounder.make_tokenizer(1)
    ids = tokenizer(["The RED circle", "das Häuschen 🏠 " * 40], truncation=True, padding=True).input_ids
    assert ids[0][0] == grounder.START
    assert grounder.END in ids[0]
    assert len(ids[1]) == grounder.MAX_TOKENS
    assert max(ids[1]) < len(tokenizer)
    assert tokenizer("the red circle").input_ids == tokenizer("The RED circle").input_ids


@pytest.mark.filterwarnings("ignore")
def test_a_trained_grounder_masks_through_the_standard_classes(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"seed": 1, "batch": 1, "words": 2, "width": 160, "drawn_share": 0.1, "device": "cpu"}
    grounder.train(tmp_path / "run", minutes=0.001, drawn=tmp_path / "none", resume=False, **settings)
    model, tokenizer = grounder.load_average(tmp_path / "run")
    processor = grounder.make_processor()
    export_model(tmp_path / "out", model=model, tokenizer=tokenizer, processor=processor)
    for mask in Grounder.load(tmp_path / "out").masks(render(pair(), 100, 80), "the red star"):
        assert mask.shape == (80, 100)
        assert set(np.unique(mask)) <= {0.0, 1.0}


def test_examples_for_training_are_squares_with_their_masks() -> None:
    rng = random.Random(9)
    for _ in range(6):
        lesson = grounder.draw_lesson(rng, Drawn(Path("nowhere")), 2, 0.5)
        assert lesson.picture.shape == (grounder.SIDE_PX, grounder.SIDE_PX, 3)
        assert [e.mask.shape for e in lesson.examples] == [lesson.picture.shape[:2]] * 2
        assert lesson.hints.shape == (2, grounder.GRID, grounder.GRID)


def test_training_goes_on_from_the_grounder_in_the_package(tmp_path: Path) -> None:
    shipped = Grounder.load(MODEL.with_name("grounder"))
    grounder.unpack(MODEL.with_name("grounder"), tmp_path, seed=read_recipe().grounder["seed"], minutes=2)
    model, tokenizer = grounder.load_average(tmp_path)
    assert tokenizer.get_vocab() == shipped.tokenizer.get_vocab()
    again = Grounder(model, tokenizer, shipped.processor)
    picture = render(pair(), 192)
    assert again.scores(picture, "the red star") == shipped.scores(picture, "the red star")
    parts, state = checkpoint.load(tmp_path)
    assert state["spent_s"] == 120
    assert parts["hints"]["weight"].shape == (sum(grounder.HINTS), 160)
