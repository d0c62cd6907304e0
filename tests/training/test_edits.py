"""Edits: the target differs from the source as the instruction says."""

import random
from typing import get_args

import numpy as np
import pytest

from training import heldout
from training.edits import Edit, Operation, instruction, propose_edit, sample_edit
from training.palette import COLOR_SYNONYMS
from training.render import render

OPERATIONS: tuple[Operation, ...] = get_args(Operation)


def edits(operation: Operation, count: int = 25) -> list[Edit]:
    rng = random.Random(f"test {operation}")
    return [propose_edit(rng, operation) for _ in range(count)]


def test_the_same_seed_gives_the_same_edits() -> None:
    one, two = random.Random(3), random.Random(3)
    assert [sample_edit(one) for _ in range(20)] == [sample_edit(two) for _ in range(20)]


def test_training_edits_use_no_held_out_combination() -> None:
    rng = random.Random(5)
    for _ in range(800):
        edit = sample_edit(rng)
        assert not any(heldout.is_held_out(scene) for scene in (*edit.sources, edit.target))


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o != "identity"])
def test_the_picture_changes(operation: Operation) -> None:
    for edit in edits(operation, 10):
        assert not np.array_equal(render(edit.sources[0], 64), render(edit.target, 64))


def test_identity_changes_nothing() -> None:
    assert all(edit.target == edit.sources[0] for edit in edits("identity"))


def test_removing_takes_the_subject_away() -> None:
    for edit in edits("remove"):
        assert edit.subject in edit.sources[0].things
        assert edit.subject not in edit.target.things
        assert len(edit.target.things) == len(edit.sources[0].things) - 1


def test_adding_keeps_what_was_there() -> None:
    for edit in edits("add"):
        assert edit.target.things == (*edit.sources[0].things, edit.new)


def test_recolouring_names_the_new_colour() -> None:
    rng = random.Random(1)
    for edit in edits("recolor"):
        text = instruction(edit, rng)
        assert any(word in text for word in (edit.value, *COLOR_SYNONYMS.get(edit.value, ()))), text
        assert edit.subject is not None
        assert all(t.color == edit.value for t in edit.target.things if t.kind == edit.subject.kind)


def test_a_new_background_keeps_the_things() -> None:
    assert all(edit.target.things == edit.sources[0].things for edit in edits("background"))


def test_combining_takes_the_thing_of_one_and_the_background_of_the_other() -> None:
    for edit in edits("combine"):
        assert len(edit.sources) == 2
        shape, backdrop = edit.sources if edit.value == "first" else edit.sources[::-1]
        assert edit.target.things == shape.things
        assert edit.target.background == backdrop.background


def test_every_operation_has_words() -> None:
    rng = random.Random(2)
    for operation in OPERATIONS:
        assert all(instruction(edit, rng) for edit in edits(operation, 5))
