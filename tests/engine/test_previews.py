"""Partial pictures: where they stand, and that they come to resemble the result."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limner.engine import Engine, EngineSettings, ModelSource, Sample
from limner.engine.previews import estimate_clean, preview_steps
from tests.engine.conftest import Forwards, Heard, adopt, draw, pixels, sample, tiny
from tests.engine.test_merging import FAMILIES, quiet_schedulers


@pytest.mark.parametrize(
    ("count", "total", "steps"),
    [(0, 12, []), (1, 12, [6]), (2, 12, [4, 8]), (3, 12, [3, 6, 9]), (3, 2, [1]), (3, 1, []), (1, 4, [2])],
)
def test_previews_are_spread_evenly(count: int, total: int, steps: list[int]) -> None:
    assert preview_steps(count, total) == steps


@pytest.mark.parametrize("total", range(1, 30))
@pytest.mark.parametrize("count", range(4))
def test_only_the_number_of_steps_limits_previews(count: int, total: int) -> None:
    assert len(preview_steps(count, total)) == min(count, total - 1)  # what the catalogue warns by


class DPMSolverSDEScheduler:
    """As diffusers has one where torchsde is installed."""

    config = SimpleNamespace(prediction_type="epsilon")
    sigmas = torch.tensor([4.0, 1.0, 0.0])
    alphas_cumprod = torch.tensor([0.9, 0.1])


def test_what_a_scheduler_in_sigma_space_points_to() -> None:
    clean, noise = torch.full((1, 4), 0.5), torch.randn(1, 4)
    estimate = estimate_clean(DPMSolverSDEScheduler(), 0, noise, torch.tensor(1.0), clean + 4.0 * noise)
    assert estimate is not None
    assert torch.allclose(estimate, clean, atol=1e-5)


@quiet_schedulers
@pytest.mark.parametrize("family", FAMILIES)
def test_previews_come_to_resemble_the_picture(
    family: str, engine: Engine, count_forwards: Callable[[Any], Forwards]
) -> None:
    pipeline = tiny(family)
    forwards = count_forwards(getattr(pipeline, "transformer", None) or pipeline.unet)
    adopt(engine, family)
    options: dict[str, Any] = {"num_inference_steps": 16}
    plain = draw(engine, sample(family, 3, **options))
    ran, heard = len(forwards.rows), Heard()
    engine.submit(sample(family, 3, previews=3, **options), heard)
    assert np.abs(heard.picture - plain).max() <= 1, "previews changed the picture"
    # The first picture's also hold the canary's, and calls are merged as room has it.
    assert sum(forwards.rows[ran:]) <= sum(forwards.rows[:ran]), "previews ran the denoiser"
    assert [index for index, _ in heard.previews] == [0, 1, 2]
    shown = [pixels(picture) for _, picture in heard.previews]
    distance = [float(np.abs(one - plain).mean()) for one in shown]
    assert distance[2] <= distance[0]
    other = draw(engine, sample(family, 4, **options))
    assert distance[2] < 0.5 * float(np.abs(other - plain).mean()), "no nearer than another picture"


def test_previews_of_edits_and_masks_keep_what_is_kept(engine: Engine) -> None:
    adopt(engine, "flux1")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    mask = Image.fromarray((np.indices((64, 64))[1] > 32).astype(np.uint8) * 255)
    heard = Heard()
    given = {"image": image, "mask_image": mask, "strength": 1.0, "num_inference_steps": 8}
    engine.submit(sample("flux1", 3, pipeline="FluxInpaintPipeline", previews=2, **given), heard)
    drawn = heard.picture
    first = pixels(heard.previews[0][1])
    kept, painted = np.s_[:, :24], np.s_[:, 40:]
    assert np.abs(first[kept] - drawn[kept]).mean() <= np.abs(first[painted] - drawn[painted]).mean() + 1


def test_previews_of_the_embedded_model() -> None:
    engine = Engine(EngineSettings(device="cpu", lanes=1, threads=1))
    try:
        engine.load(ModelSource("sketch", "embedded:sketch"))
        arguments = {
            "prompt": "a red circle",
            "num_inference_steps": 6,
            "guidance_scale": 3.0,
            "height": 128,
            "width": 128,
            "max_sequence_length": 48,
            "text_encoder_out_layers": (1, 2, 3),
        }
        heard = Heard()
        engine.submit(Sample("sketch", "Flux2KleinPipeline", 1, arguments, previews=2), heard)
        drawn = heard.picture
        late = pixels(heard.previews[-1][1])
        assert late.shape == drawn.shape
        assert np.abs(late - drawn).mean() <= 40
    finally:
        engine.close()
