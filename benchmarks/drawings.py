"""What is drawn: the same words, seeds, sizes and steps for whoever is measured."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import orjson

import limner
from limner.catalogue import Catalogue
from limner.catalogue.spec import ModelSpec

MODEL = "sketch"
WEIGHTS = Path(limner.__file__).parent / "suite" / MODEL
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "black")
SHAPES = ("circle", "square", "triangle", "star", "house", "tree", "cat")
PLACES = ("above", "below", "to the left of", "to the right of")


@dataclass(frozen=True, slots=True)
class Drawing:
    """One picture to draw, in the words that both servers' wire and the pipeline use."""

    prompt: str
    seed: int
    width_px: int
    height_px: int
    num_inference_steps: int
    guidance_scale: float

    def body(self) -> bytes:
        """The body of ``POST /v1/images/generations``. The sampler is the one that the bare pipeline has."""
        return orjson.dumps(
            {
                "prompt": self.prompt,
                "seed": self.seed,
                "size": f"{self.width_px}x{self.height_px}",
                "num_inference_steps": self.num_inference_steps,
                "guidance_scale": self.guidance_scale,
                "sampler": "Euler",
            }
        )


@cache
def spec() -> ModelSpec:
    """The embedded model as the catalogue describes it."""
    return Catalogue.builtin().get(MODEL)


def prompt(seed: int) -> str:
    """Words that seldom come twice, of several lengths, so that a cache of prompts gains next to nothing."""
    rng = random.Random(seed)
    things = [f"a {rng.choice(COLOURS)} {rng.choice(SHAPES)}" for _ in range(rng.randint(1, 2))]
    return f" {rng.choice(PLACES)} ".join(things) + f" on a {rng.choice(COLOURS)} background"


def default_drawing(seed: int = 0) -> Drawing:
    """256 x 256 with the model's own steps and guidance."""
    steps, guidance = (spec().params[name].default for name in ("num_inference_steps", "guidance_scale"))
    assert isinstance(steps, int)
    assert isinstance(guidance, int | float)
    return Drawing(prompt(seed), seed, 256, 256, steps, float(guidance))


def same_size(count: int, first_seed: int = 0) -> list[Drawing]:
    """``count`` default drawings that differ in prompt and seed."""
    return [default_drawing(first_seed + i) for i in range(count)]


def mixed(count: int, first_seed: int = 0) -> list[Drawing]:
    """``count`` drawings that differ in everything: prompt, seed, size, steps."""
    sizes = cycle(_sizes(spec()))
    steps = cycle((4, 12, 8, 16, 6))
    return [
        replace(default_drawing(first_seed + i), width_px=w, height_px=h, num_inference_steps=s)
        for i, ((w, h), s) in enumerate(islice(zip(sizes, steps, strict=False), count))
    ]


def pipeline_arguments() -> dict[str, Any]:
    """The arguments that this model's pipeline needs in every call."""
    return dict(spec().routes[0].arguments)


def text_lengths() -> tuple[int, ...]:
    """Fewer tokens of text that the model reads where they hold all words."""
    return spec().routes[0].text_lengths


def bodies(drawings: Sequence[Drawing]) -> list[bytes]:
    """Their request bodies."""
    return [drawing.body() for drawing in drawings]


def _sizes(model: ModelSpec) -> list[tuple[int, int]]:
    """A handful of sizes the model takes."""
    if model.sizes.choices:
        return [(size.width_px, size.height_px) for size in model.sizes.choices]
    wanted = ((256, 256), (128, 128), (256, 192), (192, 256), (128, 256))
    return [(w, h) for w, h in wanted if min(w, h) >= model.sizes.min_side_px]
