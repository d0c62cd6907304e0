"""A sample's next calls are guessed from its last step, and only an equal call is answered with a guess."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from limner.engine import Engine
from limner.engine.foresight import Foresight, Guess
from tests.engine.conftest import Forwards, adopt, draw, sample, tiny
from tests.engine.test_merging import alone

WITH, WITHOUT = torch.ones(1, 4), torch.zeros(1, 4)


def call(step: int, text: torch.Tensor, **more: Any) -> dict[str, Any]:
    return {"hidden_states": torch.full((1, 3), float(step)), "timestep": torch.tensor([1.0 / (1 + step)])} | {
        "encoder_hidden_states": text,
        **more,
    }


def always(_: dict[str, Any]) -> bool:
    return True


def answer(guesses: tuple[Guess, ...]) -> None:
    for guess in guesses:
        guess.output = "ahead"


def guided(foresight: Foresight, step: int) -> tuple[Guess, ...]:
    """One step with guidance; the guesses made at its first call, which are answered."""
    assert foresight.answer(call(step, WITH)) is None
    guesses = foresight.next(call(step, WITH), always)
    answer(guesses)
    if foresight.answer(call(step, WITHOUT)) is None:
        assert foresight.next(call(step, WITHOUT), always) == ()
    return guesses


def test_the_second_call_is_guessed_from_the_second_step_on() -> None:
    foresight = Foresight("hidden_states")
    assert guided(foresight, 0) == ()
    for step in (1, 2, 3):
        (guess,) = guided(foresight, step)
        assert torch.equal(guess.arguments["encoder_hidden_states"], WITHOUT)
        assert torch.equal(guess.arguments["hidden_states"], call(step, WITH)["hidden_states"])


def test_a_guess_answers_one_equal_call() -> None:
    foresight = Foresight("hidden_states")
    guided(foresight, 0)
    foresight.answer(call(1, WITH))
    answer(foresight.next(call(1, WITH), always))
    assert foresight.answer(call(1, WITHOUT + 0.5)) is None
    assert foresight.answer(call(1, WITHOUT, guidance=2.0)) is None
    assert foresight.answer(call(1, WITHOUT)) is not None
    assert foresight.answer(call(1, WITHOUT)) is None


def test_guidance_that_ends_ends_the_guessing() -> None:
    foresight = Foresight("hidden_states")
    guided(foresight, 0)
    guided(foresight, 1)
    answer(foresight.next(call(2, WITH), always))
    assert foresight.next(call(3, WITH), always) == ()
    assert [guided(foresight, step) for step in (4, 5, 6)] == [(), (), ()]


def test_a_guess_without_room_is_no_miss() -> None:
    foresight = Foresight("hidden_states")
    guided(foresight, 0)
    assert len(foresight.next(call(1, WITH), always)) == 1
    assert foresight.next(call(1, WITHOUT), always) == ()
    assert len(foresight.next(call(2, WITH), always)) == 1


def test_other_shapes_are_not_guessed() -> None:
    foresight = Foresight("hidden_states")
    longer = torch.zeros(1, 5)
    for step in range(3):
        assert foresight.next(call(step, WITH), always) == ()
        assert foresight.next(call(step, longer), always) == ()


def test_a_guess_that_cannot_merge_is_none() -> None:
    foresight = Foresight("hidden_states")
    guided(foresight, 0)
    assert foresight.next(call(1, WITH), lambda _: False) == ()


def test_a_guess_that_failed_is_the_last() -> None:
    foresight = Foresight("hidden_states")
    guided(foresight, 0)
    (guess,) = foresight.next(call(1, WITH), always)
    guess.failed = True
    assert foresight.next(call(1, WITHOUT), always) == ()
    assert foresight.next(call(2, WITH), always) == ()


def test_a_container_that_changes_between_calls_is_another() -> None:
    foresight, given = Foresight("hidden_states"), {"mode": "read"}
    for step in range(3):
        given["mode"] = "read"
        assert foresight.answer(call(step, WITH, cache=given)) is None
        answer(foresight.next(call(step, WITH, cache=given), always))
        given["mode"] = "skip"
        assert foresight.answer(call(step, WITH, cache=given)) is None
        foresight.next(call(step, WITH, cache=given), always)


def test_objects_with_a_state_are_not_foreseen() -> None:
    foresight, state = Foresight("hidden_states"), object()
    for step in range(3):
        answer(foresight.next(call(step, WITH, cache=state), always))
        assert foresight.answer(call(step, WITHOUT, cache=state)) is None
        foresight.next(call(step, WITHOUT, cache=state), always)


@pytest.mark.parametrize("family", ["flux2_klein", "flux1", "sd3"])
def test_a_lone_guided_sample_runs_in_pairs(
    family: str, engine: Engine, count_forwards: Callable[[Any], Forwards]
) -> None:
    options: dict[str, Any] = {"flux1": {"true_cfg_scale": 3.0, "negative_prompt": "a dog"}}.get(
        family, {"guidance_scale": 3.0}
    ) | {"num_inference_steps": 6}
    expected = alone(family, 5, **options)
    forwards = count_forwards(tiny(family).transformer)
    adopt(engine, family)
    drawn = draw(engine, sample(family, 5, **options))
    assert np.abs(drawn - expected).max() <= 1
    if family == "sd3":  # doubles its batch by itself
        assert set(forwards.rows) == {2}
    else:
        assert forwards.rows.count(2) >= 3, forwards.rows
