"""Samplers: each is a scheduler of its own for one sample, whatever else is drawn beside it."""

from dataclasses import replace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from limner.catalogue import Catalogue
from limner.engine import Engine, EngineSettings, LoadedModel, Sample
from limner.engine.flow_ancestral import RENEWED_ABOVE
from limner.engine.model import Model
from limner.engine.samplers import FLOW_SAMPLERS, SAMPLERS, check_sampler, scheduler_for, seed_noise
from limner.errors import InvalidRequest
from tests.engine.conftest import Heard, adopt, draw, draw_all, sample, tiny
from tests.tiny_pipelines import build

quiet_schedulers = pytest.mark.filterwarnings("ignore:__array_.*:DeprecationWarning")  # of numpy 2, in diffusers


def alone(family: str, seed: int, sampler: str) -> Any:
    """What the plain pipeline draws with the sampler's scheduler, outside any engine."""
    pipeline, one = build(family), sample(family, seed)
    pipeline.scheduler = scheduler_for(sampler, pipeline.scheduler)
    generator = torch.Generator().manual_seed(seed)
    seed_noise(pipeline.scheduler, generator)
    image = pipeline(**one.arguments, generator=generator).images[0]
    return np.asarray(image).astype(np.int16)


def test_the_catalogue_has_the_same_names() -> None:
    for name in ("sd-1.5", "sdxl", "sdxl-turbo"):
        assert Catalogue.builtin().get(name).params["sampler"].choices == tuple(SAMPLERS)
    assert Catalogue.builtin().get("sketch").params["sampler"].choices == tuple(FLOW_SAMPLERS)


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


@quiet_schedulers
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_samplers_schedule_is_the_one_in_its_name(name: str) -> None:
    named = {"Karras": {"use_karras_sigmas"}, "Exponential": {"use_exponential_sigmas"}}.get(name.split()[-1], set())
    for schedule in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"):
        own = diffusers.DPMSolverMultistepScheduler.from_config(tiny("sd15").scheduler.config, **{schedule: True})
        made = scheduler_for(name, own)
        assert {key for key, value in made.config.items() if key.endswith("_sigmas") and value} == named


def test_ddim_does_not_clip_latents() -> None:
    assert not scheduler_for("DDIM", tiny("sdxl").scheduler).config.clip_sample


def test_what_cannot_be_used_is_refused_by_name(engine: Engine) -> None:
    adopt(engine, "sd15")
    adopt(engine, "flux1")
    with pytest.raises(InvalidRequest, match="no sampler 'Eulr'; there are: Euler, "):
        engine.submit(sample("sd15", 1, sampler="Eulr"), Heard())
    with pytest.raises(InvalidRequest, match="FlowMatchEulerDiscreteScheduler does it, has Euler, Euler a"):
        engine.submit(sample("flux1", 1, sampler="Heun"), Heard())


@quiet_schedulers
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_scheduler_set_up_for_flow_matching_has_the_samplers_that_can_be(name: str) -> None:
    """As Sana's is."""
    own = diffusers.DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    able = ("DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ 3M SDE", "UniPC")
    if name not in able:
        with pytest.raises(InvalidRequest, match=f"has {', '.join(able).replace('+', '.')}") as refused:
            check_sampler(name, own)
        assert refused.value.param == "sampler"
        return
    made = scheduler_for(name, own)
    made.set_timesteps(8)
    clean, noisy = torch.full((1, 4000), 0.5), torch.randn(1, 4000, generator=torch.Generator().manual_seed(1))
    for time in made.timesteps:
        velocity = (noisy - clean) / (float(time) / 1000)
        noisy = made.step(velocity, time, noisy, return_dict=False)[0]
    assert float((noisy - clean).abs().max()) < 0.01


@pytest.mark.parametrize("family", ["flux1", "flux2_klein"])
@pytest.mark.parametrize("name", FLOW_SAMPLERS)
def test_flow_matching_has_samplers_too(family: str, name: str, engine: Engine) -> None:
    adopt(engine, family)
    own, chosen, again, other = draw_all(
        engine,
        [sample(family, 3), *[sample(family, 3, sampler=name)] * 2, sample(family, 4, sampler=name)],
    )
    assert np.abs(chosen - again).max() <= 1
    assert np.abs(chosen - alone(family, 3, name)).max() <= 1
    assert (np.abs(chosen - own).max() > 1) == (name != "Euler")
    assert np.abs(chosen - other).max() > 1


def test_ancestral_steps_of_a_flow_renew_noise_while_there_is_much() -> None:
    own = tiny("flux1").scheduler
    own = type(own).from_config(own.config, stochastic_sampling=True, beta_schedule="linear")
    plain, renewing = scheduler_for("Euler", own), scheduler_for("Euler a", own)
    assert renewing.config.shift == own.config.shift
    clean, noise = torch.full((1, 4000), 0.5), torch.randn(1, 4000, generator=torch.Generator().manual_seed(1))
    for scheduler in (plain, renewing):
        scheduler.set_timesteps(sigmas=[1.0, 0.85, 0.4], mu=0.0)
    for index, time in enumerate(plain.timesteps):
        level, following = (float(sigma) for sigma in plain.sigmas[index : index + 2])
        noisy, velocity = (1 - level) * clean + level * noise, noise - clean
        (stepped,) = plain.step(velocity, time, noisy, return_dict=False)
        renewed = renewing.step(velocity, time, noisy, generator=torch.Generator().manual_seed(9 + index)).prev_sample
        left = renewed - (1 - following) * clean
        if level <= RENEWED_ABOVE:
            assert torch.equal(renewed, stepped)
            continue
        assert float(left.std()) == pytest.approx(following, rel=0.05)
        assert abs(float(torch.corrcoef(torch.cat([left, noise]))[0, 1])) < 0.1


def test_a_model_whose_own_scheduler_draws_noise_keeps_its_seeds(engine: Engine) -> None:
    pipeline = build("flux1")
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, stochastic_sampling=True)
    adopt(engine, "flux1", pipeline)
    one, again, other = draw_all(engine, [sample("flux1", 3), sample("flux1", 3), sample("flux1", 4)])
    assert np.abs(one - again).max() <= 1
    assert np.abs(one - other).max() > 1


class Guider:
    """Remembers the step, as guiders of some pipelines do."""

    def set_state(self, step: int) -> None:
        self.step = step


class Guided(diffusers.FluxPipeline):  # type: ignore[misc]  # untyped
    @property
    def components(self) -> dict[str, Any]:
        return {**super().components, "guider": self.guider}


def test_each_sample_has_its_own_of_what_counts_steps() -> None:
    pipeline = build("flux1")
    pipeline.__class__ = Guided
    object.__setattr__(pipeline, "guider", Guider())
    model = Model(LoadedModel("guided", "Guided", "tiny", 0), pipeline, EngineSettings())
    first, second = model.copy_of("Guided", 0), model.copy_of("Guided", 1)
    for name in ("scheduler", "guider"):
        assert len({id(getattr(one, name)) for one in (pipeline, first, second)}) == 3
    assert first.transformer is second.transformer
    model.close()
