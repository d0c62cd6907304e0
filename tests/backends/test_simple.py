"""Photographs are told from drawings, and whoever knows only drawings says so."""

import io
import random
from contextlib import aclosing

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from limner.backends.simple import Simple, is_simple
from limner.catalogue import Policy, resolve
from limner.core import Finished, Operation, Request
from limner.engine.pictures import picture_of
from tests.fakes import FakeBackend, builtin
from training.render import render
from training.scenes import sample_scene

READER = builtin().get("reader")


def photograph(width: int = 640, height: int = 400) -> Image.Image:
    """Light that falls off, things with soft edges and shading, and a sensor's noise."""
    rng = np.random.default_rng(7)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    image = coarse.resize((width, height), Image.Resampling.BICUBIC)
    ImageDraw.Draw(image).ellipse((width // 4, height // 4, width // 2, height // 2), fill=(90, 60, 40))
    light = np.linspace(0.4, 1.0, width)[None, :, None]
    noise = rng.normal(0, 9, (height, width, 3))
    shaded = np.asarray(image.filter(ImageFilter.GaussianBlur(2)), np.float64) * light + noise
    return Image.fromarray(shaded.clip(0, 255).astype(np.uint8))


def as_jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return Image.open(file).convert("RGB")


def drawings() -> list[Image.Image]:
    rng = random.Random(5)
    return [Image.fromarray(render(sample_scene(rng), 256)) for _ in range(30)]


@pytest.mark.parametrize("size", [(640, 400), (300, 900), (200, 200)])
def test_a_photograph_is_no_drawing(size: tuple[int, int]) -> None:
    assert not is_simple(photograph(*size))
    assert not is_simple(as_jpeg(photograph(*size)))


def test_what_the_embedded_models_have_learnt_from_is_simple_and_stays_so_as_a_jpeg_or_enlarged() -> None:
    for drawing in drawings():
        assert is_simple(drawing)
        assert is_simple(as_jpeg(drawing))
        assert is_simple(drawing.resize((700, 700), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3000, 1)])
def test_slivers_are_simple(size: tuple[int, int]) -> None:
    assert is_simple(Image.new("RGB", size, "red"))


async def told(image: Image.Image, **only: frozenset[Operation]) -> list[str]:
    asked = Request(Operation.DESCRIBE, "", "what is it?", (picture_of(image),), seed=1)
    backend = Simple(FakeBackend(), "reader", **only)
    async with aclosing(backend.generate(resolve(asked, READER, Policy()).request)) as events:
        [finished] = [event async for event in events if isinstance(event, Finished)]
    return [warning.message for warning in finished.warnings]


async def test_only_a_photograph_is_warned_of_and_only_where_it_matters() -> None:
    assert await told(drawings()[0]) == []
    [message] = await told(photograph())
    assert message.startswith("reader knows only simple drawings")
    assert await told(photograph(), operations=frozenset({Operation.EDIT})) == []
