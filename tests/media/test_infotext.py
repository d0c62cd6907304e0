"""Reading infotext: ours, and what other generators write."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.media.infotext import parsed
from limner.media.recipe_text import infotext

A1111S = """masterpiece, a cat <lora:fluffy:0.8>
in two lines
Negative prompt: blurry,
lowres
Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 965400086, Size: 512x768, \
Model hash: d8722b4a4d, Model: anything, Lora hashes: "fluffy: aa, other: bb", Version: v1.10.1"""


def test_what_a1111_writes_is_read() -> None:
    read = parsed(A1111S)
    assert read["Prompt"] == "masterpiece, a cat <lora:fluffy:0.8>\nin two lines"
    assert read["Negative prompt"] == "blurry,\nlowres"
    assert read["Sampler"] == "DPM++ 2M"
    assert read["Schedule type"] == "Karras"
    assert read["CFG scale"] == "7.5"
    assert (read["Size"], read["Size-1"], read["Size-2"]) == ("512x768", "512", "768")
    assert read["Lora hashes"] == "fluffy: aa, other: bb"


@pytest.mark.parametrize("text", ["just a prompt", "a cat: with, commas", "Steps: 1, a: b", ""])
def test_a_prompt_alone_stays_a_prompt(text: str) -> None:
    assert parsed(text) == {"Prompt": text, "Negative prompt": ""}


@pytest.mark.parametrize("text", ["a" * 60_000, "a " * 30_000, "x" + " " * 60_000, 'a:"\\",' * 10_000, 'a:"b' * 15_000])
def test_a_long_line_takes_no_longer_than_it_is_long(text: str) -> None:
    began = time.perf_counter()
    parsed(f"a cat\n{text}.")
    assert time.perf_counter() - began < 2


def test_long_values_are_settings_and_a_line_beyond_all_of_them_is_prompt() -> None:
    line = 'Steps: 20, Sampler: Euler, Template: "a, b: {}", Seed: 1'
    assert parsed(line.format("c" * 10_000))["Template"] == "a, b: " + "c" * 10_000
    assert parsed(line.format("c" * 100_000))["Prompt"] == line.format("c" * 100_000)


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Cs"]), max_size=40).map(str.strip)


@given(WORDS, WORDS, st.integers(0, 2**63), st.sampled_from(["plain", "a, b: c", 'quo"ted', "back\\slash, x"]))
def test_what_we_write_we_read(prompt: str, negative: str, seed: int, model: str) -> None:
    if prompt.startswith("Negative prompt:"):
        return
    params = {"num_inference_steps": 20, "guidance_scale": 7.0, "negative_prompt": negative or None}
    recipe = {"prompt": prompt, "params": params, "seed": seed, "size": "64x32", "model": model, "limner": "0"}
    read = parsed(infotext(recipe))
    assert read["Prompt"] == prompt
    assert read["Negative prompt"] == negative
    assert read["Seed"] == str(seed)
    assert read["CFG scale"] == "7"
    assert read["Size-2"] == "32"
    assert read["Model"] == model or '"' in model  # a quote alone is no reason for quotes
