"""What counts as the same prompt, and that it is encoded once."""

import threading
from collections.abc import Callable

import pytest
import torch
from PIL import Image

from limner.engine import Engine
from limner.engine.prompts import PromptCache, prompt_key
from tests.engine.conftest import STILL_S, adopt, draw_all, sample


def key(**arguments: object) -> object:
    return prompt_key("scope", arguments, (), {"prompt": arguments.get("prompt"), "device": torch.device("cpu")})


@pytest.mark.parametrize("unrelated", ["num_inference_steps", "height", "width", "strength"])
def test_steps_and_size_do_not_matter(unrelated: str) -> None:
    assert key(prompt="a cat", **{unrelated: 1}) == key(prompt="a cat", **{unrelated: 2})


@pytest.mark.parametrize("related", ["guidance_scale", "clip_skip"])
def test_what_encoding_may_depend_on_matters(related: str) -> None:
    assert key(prompt="a cat", **{related: 1}) != key(prompt="a cat", **{related: 2})


def test_texts_matter_as_the_call_has_them() -> None:
    def of(prompt: str, negative: str, text: str) -> object:
        return prompt_key("scope", {"prompt": prompt, "negative_prompt": negative}, (), {"prompt": text})

    assert of("a cat", "dogs", "") == of("a bird", "fish", "")
    assert of("a cat", "dogs", "a cat") != of("a cat", "dogs", "dogs")


@pytest.mark.parametrize("family", ["flux2_klein", "qwen_image"])
def test_what_pictures_are_guided_away_from_is_encoded_once(family: str, engine: Engine) -> None:
    adopt(engine, family)
    draw_all(engine, [sample(family, seed) for seed in range(3)])
    assert engine.stats().forwards["encode"] == 4


def test_equal_values_of_other_types_differ() -> None:
    assert key(guidance_scale=1) != key(guidance_scale=True)


def test_pictures_and_tensors_count_by_content() -> None:
    def of(value: object) -> object:
        return prompt_key("scope", {}, (value,), {})

    assert of(Image.new("RGB", (4, 4), "red")) == of(Image.new("RGB", (4, 4), "red"))
    assert of(Image.new("RGB", (4, 4), "red")) != of(Image.new("RGB", (4, 4), "blue"))
    assert of(torch.zeros(3, dtype=torch.bfloat16)) != of(torch.ones(3, dtype=torch.bfloat16))
    assert of(torch.tensor(1.0)) == of(torch.tensor(1.0))


def test_what_cannot_be_compared_has_no_key() -> None:
    assert prompt_key("scope", {}, (object(),), {}) is None


def never(is_over: Callable[[], bool]) -> None:
    raise AssertionError("nothing to wait for")


def test_the_least_recently_used_is_forgotten() -> None:
    cache, encoded = PromptCache(2), []

    def get(name: str) -> None:
        cache.get(name, lambda: encoded.append(name), never)

    for name in ("a", "b", "a", "c", "a", "b"):
        get(name)
    assert encoded == ["a", "b", "c", "b"]


def test_a_failed_encoding_is_tried_again() -> None:
    cache = PromptCache(2)

    def fail() -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cache.get("a", fail, never)
    assert cache.get("a", lambda: 1, never) == 1


def test_the_second_asker_waits_for_the_first() -> None:
    cache, began, go_on = PromptCache(2), threading.Event(), threading.Event()
    answers: list[object] = []

    def encode() -> int:
        began.set()
        assert go_on.wait(STILL_S)
        return 1

    def wait(is_over: Callable[[], bool]) -> None:
        go_on.set()
        while not is_over():
            pass

    first = threading.Thread(target=lambda: answers.append(cache.get("a", encode, never)))
    first.start()
    assert began.wait(STILL_S)
    answers.append(cache.get("a", lambda: 2, wait))
    first.join(STILL_S)
    assert answers == [1, 1]


def test_callers_may_change_the_list_they_got() -> None:
    cache = PromptCache(2)
    cache.get("a", lambda: ([1], 2), never)[0].append(9)
    assert cache.get("a", lambda: None, never) == ([1], 2)
