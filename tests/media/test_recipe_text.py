import json
import re
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.core import ImageFormat, Output, Picture, Size
from limner.media.encode import encode
from limner.media.picture_text import read_recipe, read_text
from limner.media.recipe_text import infotext, recipe_text

SQUARE = Picture("RGB", Size(16, 16), bytes(16 * 16 * 3))
RECIPE: dict[str, Any] = {
    "operation": "generate",
    "model": "sketch",
    "prompt": "a red circle",
    "size": "512x256",
    "output": {"format": "png", "compression": None, "background": "auto"},
    "params": {"num_inference_steps": 12, "guidance_scale": 3.0, "negative_prompt": "", "lora": []},
    "seed": 2**63 - 1,
    "model_revision": "abc",
    "inputs_sha256": [],
    "mask_sha256": None,
    "limner": "1.2.3",
}


def parsed(text: str) -> dict[str, str]:
    """Read an infotext as A1111 and its kin do: the settings are the last line, "Negative prompt:" begins a line."""
    *lines, last = text.strip().split("\n")
    start = next((i for i, line in enumerate(lines) if line.startswith("Negative prompt:")), len(lines))
    negative = "\n".join(lines[start:]).removeprefix("Negative prompt:").strip()
    found = {"prompt": "\n".join(lines[:start]), "negative": negative}
    for name, value in re.findall(r'(\w[\w /-]+): ("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)', last):
        found[name] = json.loads(value) if value.startswith('"') else value
    return found


def test_the_infotext_is_what_others_write() -> None:
    params = {**RECIPE["params"], "negative_prompt": "blue", "sampler": "euler", "strength": 0.75}
    assert infotext({**RECIPE, "params": params}) == (
        "a red circle\nNegative prompt: blue\nSteps: 12, Sampler: euler, CFG scale: 3, Seed: 9223372036854775807, "
        "Size: 512x256, Model: sketch, Denoising strength: 0.75, Version: limner 1.2.3"
    )
    assert infotext({**RECIPE, "params": {}}) == (
        "a red circle\nSeed: 9223372036854775807, Size: 512x256, Model: sketch, Version: limner 1.2.3"
    )


def test_a_true_guidance_scale_is_the_one_that_others_mean() -> None:
    found = parsed(infotext({**RECIPE, "params": {"true_cfg_scale": 4.5, "guidance_scale": 1.0}}))
    assert (found["CFG scale"], found["Distilled CFG Scale"]) == ("4.5", "1")


def test_values_that_hold_the_marks_of_the_line_are_quoted() -> None:
    loras = [{"path": "a/b.safetensors", "scale": 0.5, "name": None}, {"path": 'c "d", e', "scale": 1.0, "name": "x"}]
    found = parsed(infotext({**RECIPE, "model": 'me/model:v1, \\ "x"', "params": {"lora": loras}}))
    assert found["Model"] == 'me/model:v1, \\ "x"'
    assert found["Loras"] == 'a/b.safetensors: 0.5, c "d", e: 1'
    assert found["Version"] == "limner 1.2.3"


PROMPTS = [
    "円を描く 🎨, \"quoted\" 'too', back\\slash",
    "several\nlines: with colons, commas\n\nand a gap",
    '<lora:x:1> & <b>markup</b> ]]> &amp; {json: "too"}',
    "tab\tbell\x07 next line\x85 no character\uffff\ufffe",
    "long " * 6_000 + "end",
    "長い" * 15_000,
]


@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_any_prompt_comes_back_out_of_png_and_webp(prompt: str, image_format: ImageFormat) -> None:
    recipe = {**RECIPE, "prompt": prompt, "params": {**RECIPE["params"], "negative_prompt": "nicht, grün"}}
    data = encode(SQUARE, Output(image_format), recipe_text(recipe))
    assert read_recipe(data) == recipe
    found = parsed(read_text(data)["parameters"])
    assert found["prompt"] == prompt
    assert found["negative"] == "nicht, grün"
    assert (found["Seed"], found["Size"]) == ("9223372036854775807", "512x256")


@pytest.mark.parametrize("prompt", PROMPTS[:5], ids=range(5))
def test_a_jpeg_carries_the_recipe_when_it_fits(prompt: str) -> None:
    assert read_recipe(encode(SQUARE, Output("jpeg"), recipe_text({**RECIPE, "prompt": prompt}))) == {
        **RECIPE,
        "prompt": prompt,
    }


def test_a_jpeg_is_whole_without_a_recipe_that_does_not_fit() -> None:
    data = encode(SQUARE, Output("jpeg"), recipe_text({**RECIPE, "prompt": PROMPTS[5] * 2}))
    assert read_recipe(data) is None
    assert read_text(data) == {}


@given(prompt=st.text(st.characters(codec="utf-8"), max_size=40), image_format=st.sampled_from(get_args(ImageFormat)))
def test_every_text_survives(prompt: str, image_format: ImageFormat) -> None:
    recipe = {**RECIPE, "prompt": prompt}
    assert read_recipe(encode(SQUARE, Output(image_format), recipe_text(recipe))) == recipe
