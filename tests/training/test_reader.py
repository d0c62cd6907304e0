"""The canonical captions, the reader's pictures, and a few steps of its training."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from limner.engine.speaking.canonical import COLORS, KINDS, Behind, Group, parse
from limner.engine.speaking.canonical import plural as plural_read
from training import checkpoint, reader, scenes
from training.captions import plural
from training.evaluate_words import Reader, agreement
from training.export import export_model
from training.palette import BACKGROUNDS
from training.reader_pictures import anywhere, degrade, foreign_picture, sample_free, sample_seen, seen_picture
from training.reader_words import LARGE, SMALL, say, vocabulary
from training.render import render
from training.scenes import Scene, make_thing, plain, relate, repeat
from training.stages import MODEL


def one(kind: str, color: str, place: tuple[float, float], extent: float) -> Scene:
    rng = random.Random(1)
    background = plain(rng, "white")
    return Scene("one", background, (make_thing(rng, kind, color, place, extent=extent, behind=background.behind),))


def test_the_parser_knows_the_words_of_the_training() -> None:
    assert set(COLORS) == set(BACKGROUNDS)
    assert set(KINDS) == set(scenes.KINDS)
    assert [plural_read(kind) for kind in scenes.KINDS] == [plural(kind) for kind in scenes.KINDS]


def test_every_caption_is_taken_apart_into_its_scene() -> None:
    rng = random.Random(3)
    for _ in range(800):
        scene = sample_seen(rng)
        caption = say(scene)
        seen = parse(caption)
        assert seen is not None, caption
        named = sorted((t.kind, t.color) for t in scene.things if t.color)
        assert sorted((g.kind, g.color) for g in seen.groups for _ in range(g.number)) == named, caption
        assert sorted(seen.aloft) == sorted(t.kind for t in scene.things if not t.color), caption
        assert set(seen.behind.colors) == {c for c in (scene.background.color, scene.background.color2) if c}, caption


def test_captions_use_no_word_that_is_not_a_token() -> None:
    rng, words = random.Random(4), set(vocabulary())
    for _ in range(500):
        assert set(say(sample_seen(rng)).split()) <= words


@pytest.mark.parametrize(
    ("scene", "caption"),
    [
        (one("circle", "red", (0.5, 0.5), 0.23), "a red circle on a white background"),
        (one("star", "red", (0.26, 0.74), 0.12), "a small red star in the bottom left corner on a white background"),
        (one("cat", "black", (0.73, 0.5), 0.38), "a large black cat on the right on a white background"),
        (
            relate(random.Random(1), "right", plain(random.Random(1), "white"), ("star", "red"), ("ring", "blue")),
            "a blue ring to the left of a red star on a white background",
        ),
        (
            relate(random.Random(1), "inside", plain(random.Random(1), "white"), ("star", "red"), ("circle", "blue")),
            "a red star inside a blue circle on a white background",
        ),
        (
            repeat(random.Random(1), 3, plain(random.Random(1), "pink"), "fish", "blue"),
            "three blue fish on a pink background",
        ),
    ],
)  # fmt: skip
def test_captions_follow_the_geometry(scene: Scene, caption: str) -> None:
    assert say(scene) == caption


def test_agreement_is_told_part_by_part() -> None:
    found = agreement("a red circle on a black background", "a red star on a white background")
    assert found["color"]
    assert found["count"]
    assert found["place"]
    assert not (found["exact"])
    assert not (found["kind"])
    assert not (found["background"])
    assert not any(agreement("unknown", "a red star on a white background").values())


def test_things_are_seen_at_any_size_and_place_that_has_one_name() -> None:
    rng = random.Random(8)
    single = one("circle", "red", (0.5, 0.5), 0.23)
    seen = [anywhere(rng, single).things[0] for _ in range(300)]
    assert {thing.kind for thing in seen} == {"circle"}
    extents = np.array([thing.extent for thing in seen])
    assert np.histogram(extents, bins=8, range=(0.08, 0.46))[0].min() > 10
    assert all(abs(extents - border).min() >= 0.01 for border in (SMALL, LARGE))
    for thing in seen:
        reach = min(1.15 * thing.extent, 0.5)
        assert all(reach <= at <= 1 - reach for at in (thing.x, thing.y))
    pair = relate(rng, "left", plain(rng, "white"), ("star", "red"), ("ring", "blue"))
    assert {say(anywhere(rng, pair)).replace("small ", "") for _ in range(50)} == {
        "a red star to the left of a blue ring on a white background"
    }
    assert anywhere(rng, replace(single, things=())).things == ()


def test_training_goes_on_from_the_reader_in_the_package(tmp_path: Path) -> None:
    reader.unpack(MODEL.with_name("reader"), tmp_path, seed=1, minutes=2)
    assert checkpoint.load(tmp_path)[1]["spent_s"] == 120
    picture = render(one("circle", "red", (0.5, 0.5), 0.37), 96)
    said = reader.read(reader.load_average(tmp_path), reader.make_tokenizer(), [picture])
    assert said == Reader.load(MODEL.with_name("reader")).read([picture])
    assert set(said[0].split()) <= set(vocabulary())


@pytest.mark.parametrize("share", [0.13, 0.17, 0.2, 0.24, 0.3, 0.36, 0.44])
def test_circles_of_any_size_are_no_hexagons_to_the_reader_in_the_package(share: float) -> None:
    pictures = []
    for color in ("red", "green", "blue"):
        image = Image.new("RGB", (512, 512), "white")
        ImageDraw.Draw(image).circle((256, 256), 512 * share, color)
        pictures.append(np.asarray(image))
    said = Reader.load(MODEL.with_name("reader")).read(pictures)
    assert all(" circle on a white background" in caption for caption in said), said


def test_bad_copies_keep_their_size_and_most_of_their_look() -> None:
    rng = random.Random(5)
    for _ in range(20):
        picture = render(sample_free(rng), 96, 64)
        copy = degrade(picture, rng)
        assert copy.shape == picture.shape
        assert np.abs(copy.astype(float) - picture).mean() < 40


def test_some_pictures_are_no_scenes() -> None:
    rng = random.Random(6)
    found = [seen_picture(rng, 48)[1] for _ in range(200)]
    assert 5 < sum(scene is None for scene in found) < 50
    assert foreign_picture(rng, 60, 40).shape == (40, 60, 3)


@pytest.mark.filterwarnings("ignore")
def test_a_trained_reader_speaks_the_grammars_words_through_the_standard_classes(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "seed": 1,
        "batch": 2,
        "width": 192,
        "drawn_share": 0.2,
        "device": "cpu",
    }
    reader.train(tmp_path / "run", minutes=0.001, drawn=tmp_path / "none", resume=False, **settings)
    model, tokenizer = reader.load_average(tmp_path / "run"), reader.make_tokenizer()
    export_model(tmp_path / "out", model=model, tokenizer=tokenizer, processor=reader.make_processor())
    (caption,) = Reader.load(tmp_path / "out").read([render(one("circle", "red", (0.5, 0.5), 0.23), 256)])
    assert set(caption.split()) <= set(vocabulary())


def test_pictures_are_fitted_as_the_exported_processor_does() -> None:
    picture = render(sample_free(random.Random(7)), 160, 128)
    ours = reader.pixels([picture])
    theirs = reader.make_processor()([Image.fromarray(picture)], return_tensors="pt").pixel_values
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().mean() < 0.02


def test_an_empty_landscape_has_ground_and_time() -> None:
    rng = random.Random(8)
    scene = Scene("empty", scenes.propose_land_background(rng, "sea"))
    seen = parse(say(scene))
    assert seen is not None
    assert seen.behind == Behind("land", ground="sea", time=scene.background.sky)
    assert Group("boat", "red") not in seen.groups
