"""The judge lets true renders pass and refuses pictures of something else."""

import numpy as np
import pytest

from training.evaluate import Case, edit_cases, judge_case, prompts, shuffled
from training.judge import judge
from training.render import render


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(prompts(seed=1, share=0.09))


def test_true_renders_pass(cases: list[Case]) -> None:
    verdicts = [judge(render(case.scene), case.scene)["all"] for case in cases]
    assert np.mean(verdicts) > 0.9


def test_pictures_of_other_prompts_fail(cases: list[Case]) -> None:
    wrong = shuffled(cases, seed=1)
    verdicts = [judge(render(a.scene), b.scene)["all"] for a, b in zip(cases, wrong, strict=True)]
    assert np.mean(verdicts) < 0.1


def test_a_blank_picture_fails(cases: list[Case]) -> None:
    blank = np.full((256, 256, 3), 250, np.uint8)
    assert not any(judge(blank, case.scene)["all"] for case in cases)


def test_an_unedited_source_fails() -> None:
    for case in edit_cases(seed=2, share=0.05):
        assert case.edit is not None
        if len(case.edit.sources) == 1:
            assert not judge_case(render(case.edit.sources[0]), case)["all"], case.prompt
            assert judge_case(render(case.scene), case)["kept"], case.prompt
