"""Samplers: each is a scheduler of its own for one sample, whatever else is drawn beside it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limner.catalogue import Catalogue
from limner.engine import Engine, Sample
from limner.engine.samplers import SAMPLERS, scheduler_for
from limner.errors import InvalidRequest
from tests.engine.conftest import Heard, adopt, draw, draw_all, sample, tiny
from tests.tiny_pipelines import build

quiet_schedulers = pytest.mark.filterwarnings("ignore:__array_.*:DeprecationWarning")  # of numpy 2, in diffusers


def alone(family: str, seed: int, sampler: str) -> Any:
    """What the plain pipeline draws with the sampler's scheduler, outside any engine."""
    pipeline, one = build(family), sample(family, seed)
    pipeline.scheduler = scheduler_for(sampler, pipeline.scheduler)
    image = pipeline(**one.arguments, generator=torch.Generator().manual_seed(seed)).images[0]
    return np.asarray(image).astype(np.int16)


def test_the_catalogue_has_the_same_names() -> None:
    for name in ("sd-1.5", "sdxl", "sdxl-turbo"):
        assert Catalogue.builtin().get(name).params["sampler"].choices == tuple(SAMPLERS)


@quiet_schedulers
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_keeps_what_the_model_says_of_its_noise(name: str) -> None:
    own = tiny("sd15").scheduler
    made = scheduler_for(name, own)
    assert type(made).__name__ == SAMPLERS[name][0]
    for key in ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps"):
        assert made.config[key] == own.config[key]
    made.set_timesteps(10)
    assert len(made.timesteps) >= 10


@quiet_schedulers
@pytest.mark.parametrize("name", SAMPLERS)
def test_different_samplers_draw_side_by_side_what_they_draw_alone(name: str, engine: Engine) -> None:
    adopt(engine, "sd15")
    own, chosen, again = draw_all(
        engine, [sample("sd15", 3), sample("sd15", 3, sampler=name), sample("sd15", 3, sampler=name)]
    )
    assert np.abs(chosen - again).max() <= 1
    assert np.abs(chosen - alone("sd15", 3, name)).max() <= 1
    if name != "PLMS":  # the tiny model's own
        assert np.abs(chosen - own).max() > 1


@quiet_schedulers
def test_a_sampler_holds_for_edits_and_previews_too(engine: Engine) -> None:
    adopt(engine, "sdxl")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    arguments = {"prompt": "a cat", "image": image, "strength": 0.75, "num_inference_steps": 8}
    for name in ("DPM++ 2M Karras", "Heun", "DPM2 a"):
        one = Sample("sdxl", "StableDiffusionXLImg2ImgPipeline", 3, arguments, sampler=name)
        heard = Heard()
        engine.submit(replace(one, previews=1), heard)
        plain = draw(engine, one)
        assert np.abs(heard.picture - plain).max() <= 1
        assert len(heard.previews) == 1


def test_what_cannot_be_used_is_refused_by_name(engine: Engine) -> None:
    adopt(engine, "sd15")
    adopt(engine, "flux1")
    with pytest.raises(InvalidRequest, match="no sampler 'Eulr'; there are: Euler, "):
        engine.submit(sample("sd15", 1, sampler="Eulr"), Heard())
    with pytest.raises(InvalidRequest, match="the model has its own, FlowMatchEuler"):
        engine.submit(sample("flux1", 1, sampler="Euler a"), Heard())
