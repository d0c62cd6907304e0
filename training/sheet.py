"""Contact sheets: captioned grids of pictures drawn by an exported model through its standard pipeline."""

import copy
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image, ImageDraw

from limner.engine.samplers import scheduler_for, seed_noise
from training.networks import TEXT_LAYERS
from training.render import Picture
from training.tokenizer import text_length

CALL: dict[str, Any] = {
    "text_encoder_out_layers": TEXT_LAYERS,
    "guidance_scale": 3.0,
    "num_inference_steps": 12,
}
"""How the pipeline has to be called, besides the length of text; its own defaults are for a far bigger model."""
SAMPLER = "Euler a"
"""What the server draws with where there is nothing to edit."""


def call_for(pipeline: Any, prompts: Iterable[str]) -> dict[str, Any]:
    """Return CALL with the length of text that the server would pass for `prompts`."""
    return {**CALL, "max_sequence_length": text_length(pipeline.tokenizer, prompts)}


PROMPTS = (
    "a red circle on a white background",
    "a blue square",
    "a yellow star on a dark blue background",
    "a green triangle",
    "a purple heart",
    "an orange ring on black",
    "a small red circle in the top left corner",
    "a large green square",
    "a red circle to the left of a blue square",
    "a green triangle above a yellow circle",
    "a white star inside a red circle",
    "four blue circles",
    "three pink hearts",
    "a blue diamond on a red and yellow checkerboard",
    "a cyan cross on a white to pink gradient",
    "a brown hexagon below a black circle",
    "a house with a red roof on green grass under a blue sky with a sun",
    "a red boat on the sea at sunset",
    "a tree in the snow at night with a moon",
    "an orange cat on a light blue background",
    "a pink flower",
    "a blue car on a meadow on a sunny day",
    "a mountain in the desert under a blue sky",
    "a yellow smiley on a purple background",
    "Draw me a big RED heart please!",
    "a cat",
    "sun over the sea",
    "a green fish",
    "a dog in a spaceship",
    "night sky with stars",
    "a purple house",
    "red",
    "hello",
    "",
    "a rocket in space",
    "an apple",
    "a mushroom in a field",
    "two red balloons",
    "a moon",
    "a cat to the left of a fish",
)


def load_pipeline(folder: Path, device: str = "cpu") -> Any:
    """Load an exported model in float32, silent."""
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(
    pipeline: Any, prompts: list[str], *, seed: int = 0, size: tuple[int, int] = (256, 256), **more: Any
) -> Iterator[Picture]:
    """Yield the pictures of `prompts`, each from its own seed; `size` is width and height in pixels."""
    own, pipeline = pipeline.scheduler, copy.copy(pipeline)
    for start in range(0, len(prompts), 16):
        part = prompts[start : start + 16]
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        call = {**call_for(pipeline, part), **more}
        pipeline.scheduler = scheduler_for(SAMPLER, own)
        seed_noise(pipeline.scheduler, generators)
        images = pipeline(prompt=part, generator=generators, width=size[0], height=size[1], **call).images
        yield from (np.asarray(image.convert("RGB")) for image in images)


def label(picture: Picture, text: str, cell_px: int) -> Image.Image:
    """Return `picture` scaled to `cell_px` wide under two lines of text."""
    image = Image.fromarray(picture)
    image = image.resize((cell_px, round(cell_px * image.height / image.width)), Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (cell_px, image.height + 28), "white")
    cell.paste(image, (0, 28))
    pen = ImageDraw.Draw(cell)
    for i, line in enumerate(textwrap.wrap(text or "(empty prompt)", cell_px // 6)[:2]):
        pen.text((2, 2 + 12 * i), line, fill="black")
    return cell


def grid(cells: list[Image.Image], columns: int) -> Image.Image:
    """Lay equal cells out in rows."""
    width, height = cells[0].size
    whole = Image.new("RGB", (width * columns, height * -(-len(cells) // columns)), "white")
    for i, cell in enumerate(cells):
        whole.paste(cell, (width * (i % columns), height * (i // columns)))
    return whole


def sheet(
    folder: Path,
    target: Path,
    *,
    cell_px: int = 150,
    columns: int = 8,
    size: tuple[int, int] = (256, 256),
    seed: int = 7,
) -> None:
    """Draw `PROMPTS` with the model in `folder` and save the sheet."""
    pictures = draw(load_pipeline(folder), list(PROMPTS), size=size, seed=seed)
    cells = [label(picture, text, cell_px) for picture, text in zip(pictures, PROMPTS, strict=True)]
    grid(cells, columns).save(target, optimize=True)


HERO = (
    ("a house with a red roof on green grass under a blue sky with a sun", 23),
    ("an orange cat on a light blue background", 26),
    ("a mountain in the desert under a blue sky", 29),
    ("a yellow star on a dark blue background", 9),
    ("a pink flower", 27),
    ("a red boat on the sea at sunset", 24),
    ("a purple heart", 11),
    ("a mushroom in a field", 43),
)
"""Prompts and seeds of the pictures at the top of the README; chosen among the better ones."""


def hero(folder: Path, target: Path, *, cell_px: int = 192, gap_px: int = 8) -> None:
    """Draw `HERO` with the model in `folder` as a strip of four by two pictures without words."""
    pipeline = load_pipeline(folder)
    whole = Image.new("RGB", (4 * cell_px + 3 * gap_px, 2 * cell_px + gap_px), "white")
    for i, (prompt, seed) in enumerate(HERO):
        (picture,) = draw(pipeline, [prompt], seed=seed)
        image = Image.fromarray(picture).resize((cell_px, cell_px), Image.Resampling.LANCZOS)
        whole.paste(image, ((cell_px + gap_px) * (i % 4), (cell_px + gap_px) * (i // 4)))
    whole.save(target, optimize=True)
