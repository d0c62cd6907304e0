"""Whatever runs together must draw what it draws alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from limner.core import Size
from limner.engine import Engine, ModelSource
from limner.errors import InvalidRequest
from tests.engine.conftest import Forwards, adopt, draw, draw_all, sample, tiny

FAMILIES = ["qwen_image", "z_image", "flux1", "flux2_klein", "sd3", "sdxl", "sd15"]
# diffusers' Euler and PNDM schedulers hand tensors to numpy in a way that numpy 2 complains about.
quiet_schedulers = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


def alone(family: str, seed: int, **options: Any) -> Any:
    """What the plain pipeline draws, outside any engine."""
    one = sample(family, seed, **options)
    pipeline = getattr(diffusers, one.pipeline)
    if one.pipeline == type(tiny(family)).__name__:
        made = tiny(family)
    else:
        made = pipeline(
            **{k: v for k, v in tiny(family).components.items() if k in pipeline._get_signature_keys(pipeline)[0]}
        )
        made.set_progress_bar_config(disable=True)
    image = made(**one.arguments, generator=torch.Generator().manual_seed(seed)).images[0]
    return np.asarray(image).astype(np.int16)


@quiet_schedulers
@pytest.mark.parametrize("family", FAMILIES)
def test_batched_equals_alone(family: str, engine: Engine, count_forwards: Callable[[Any], Forwards]) -> None:
    options: list[dict[str, Any]] = [{"num_inference_steps": 3 + i, "prompt": "a cat " * (i + 1)} for i in range(4)]
    expected = [alone(family, seed, **given) for seed, given in enumerate(options)]
    pipeline = tiny(family)
    forwards = count_forwards(getattr(pipeline, "transformer", None) or pipeline.unet)
    adopt(engine, family)
    drawn = draw_all(engine, [sample(family, seed, **given) for seed, given in enumerate(options)])
    for one, other in zip(drawn, expected, strict=True):
        assert np.abs(one - other).max() <= 1
    assert max(forwards.rows) > min(forwards.rows), "nothing was merged"


def test_sizes_that_cannot_merge_run_side_by_side(engine: Engine) -> None:
    sizes = [Size(64, 64), Size(96, 64), Size(64, 96), Size(64, 64)]
    options: list[dict[str, Any]] = [{"width": size.width_px, "height": size.height_px} for size in sizes]
    expected = [alone("flux2_klein", seed, **given) for seed, given in enumerate(options)]
    adopt(engine, "flux2_klein")
    drawn = draw_all(engine, [sample("flux2_klein", seed, **given) for seed, given in enumerate(options)])
    for one, other, size in zip(drawn, expected, sizes, strict=True):
        assert one.shape == (size.height_px, size.width_px, 3)
        assert np.abs(one - other).max() <= 1


def noise_image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))


def test_text_edit_and_inpaint_share_a_denoiser(engine: Engine) -> None:
    mask = Image.fromarray((np.indices((64, 64))[1] > 32).astype(np.uint8) * 255)
    asked: list[dict[str, Any]] = [
        {},
        {"pipeline": "FluxImg2ImgPipeline", "image": noise_image(), "strength": 0.8, "num_inference_steps": 5},
        {"pipeline": "FluxInpaintPipeline", "image": noise_image(), "mask_image": mask, "num_inference_steps": 6},
    ]
    expected = [alone("flux1", seed, **given) for seed, given in enumerate(asked)]
    adopt(engine, "flux1")
    drawn = draw_all(engine, [sample("flux1", seed, **given) for seed, given in enumerate(asked)])
    for one, other in zip(drawn, expected, strict=True):
        assert np.abs(one - other).max() <= 1


def test_references_of_an_edit_are_compared_by_value(engine: Engine) -> None:
    asked: list[dict[str, Any]] = [
        {"image": [noise_image()]},
        {"image": [noise_image().rotate(90)]},
        {"image": [noise_image(), noise_image().rotate(180)]},
        {},
    ]
    expected = [alone("flux2_klein", seed, **given) for seed, given in enumerate(asked)]
    adopt(engine, "flux2_klein")
    drawn = draw_all(engine, [sample("flux2_klein", seed, **given) for seed, given in enumerate(asked)])
    for one, other in zip(drawn, expected, strict=True):
        assert np.abs(one - other).max() <= 1


@quiet_schedulers
def test_controlnet_merges_with_its_unet(engine: Engine, count_forwards: Callable[[Any], Forwards]) -> None:
    base = tiny("sdxl")
    controlnet = diffusers.ControlNetModel.from_unet(base.unet).eval()
    torch.manual_seed(1)
    for projection in (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block):
        torch.nn.init.normal_(projection.weight, std=0.1)
    pipeline = diffusers.StableDiffusionXLControlNetPipeline(**base.components, controlnet=controlnet)
    pipeline.set_progress_bar_config(disable=True)
    asked: list[dict[str, Any]] = [
        {"image": noise_image(), "pipeline": type(pipeline).__name__, "num_inference_steps": 3 + i} for i in range(3)
    ]
    expected = [
        np.asarray(pipeline(**one.arguments, generator=torch.Generator().manual_seed(seed)).images[0]).astype(np.int16)
        for seed, given in enumerate(asked)
        for one in [sample("sdxl", seed, **given)]
    ]
    forwards = count_forwards(controlnet)
    adopt(engine, "sdxl", pipeline)
    drawn = draw_all(engine, [sample("sdxl", seed, **given) for seed, given in enumerate(asked)])
    for one, other in zip(drawn, expected, strict=True):
        assert np.abs(one - other).max() <= 1
    assert max(forwards.rows) > 2, "the controlnet was not merged"


class Centred(torch.nn.Module):
    """A denoiser that mixes its rows, as none should: only the canary can tell."""

    dtype = torch.float32

    def forward(self, hidden_states: torch.Tensor, timestep: torch.Tensor) -> tuple[torch.Tensor]:
        return (hidden_states - hidden_states.mean(dim=0),)


def test_a_denoiser_that_mixes_rows_stops_being_merged() -> None:
    from limner.engine.collate import Collator
    from limner.engine.rendezvous import Point

    module = Centred()
    point = Point(module, "forward", "denoise", collator=Collator(module))
    calls = [
        point.call((), {"hidden_states": torch.randn(1, 4), "timestep": torch.tensor(0.5)}, (), hash) for _ in range(2)
    ]
    assert calls[0].key == calls[1].key
    outputs = point.run(calls)
    assert all(float(output[0].abs().max()) == 0 for output in outputs), "a mixed result got through"
    assert not point.merges


def test_a_trial_that_breaks_off_is_held_again() -> None:
    from limner.engine.collate import Collator
    from limner.engine.rendezvous import Point

    class Full(Centred):
        full = True

        def forward(self, hidden_states: torch.Tensor, timestep: torch.Tensor) -> tuple[torch.Tensor]:
            if len(hidden_states) == 1 and self.full:
                raise torch.OutOfMemoryError("no room beside what was merged")
            return super().forward(hidden_states, timestep)

    module = Full()
    point = Point(module, "forward", "denoise", collator=Collator(module))
    times = {"timestep": torch.tensor(0.5)}
    calls = [point.call((), {"hidden_states": torch.randn(1, 4), **times}, (), hash) for _ in range(2)]
    for _ in range(4):
        with pytest.raises(torch.OutOfMemoryError):
            point.run(calls)
    module.full = False
    assert all(float(output[0].abs().max()) == 0 for output in point.run(calls)), "a mixed result got through"


def test_the_trial_ends_when_two_lanes_have_held_the_last_one_together() -> None:
    from limner.engine.collate import Collator
    from limner.engine.rendezvous import Point

    class Honest(torch.nn.Module):
        dtype = torch.float32
        rows: ClassVar[list[int]] = []

        def forward(self, hidden_states: torch.Tensor, timestep: torch.Tensor) -> tuple[torch.Tensor]:
            self.rows.append(len(hidden_states))
            return (hidden_states * 2,)

    module = Honest()
    point = Point(module, "forward", "denoise", collator=Collator(module))
    point._canaries["others"] = -1  # each lane has counted its own
    times = {"timestep": torch.tensor(0.5)}
    point.run([point.call((), {"hidden_states": torch.randn(1, 4), **times}, (), hash) for _ in range(2)])
    assert module.rows == [2], "every forward is run singly as well"


def test_calls_with_lists_of_lists_run_alone() -> None:
    from limner.engine.collate import Collator

    collator = Collator(tiny("z_image").transformer)
    nested = [[torch.randn(2, 2)], [torch.randn(2, 2)]]
    assert collator._part("x", nested, 2, hash) != collator._part("x", nested, 2, hash)


@pytest.mark.parametrize(
    ("more", "merges"),
    [
        ({"joint_attention_kwargs": {"scale": 0.5, "mask": None}}, True),
        ({"joint_attention_kwargs": {"mask": [torch.zeros(4)]}}, False),
        ({"joint_attention_kwargs": {"mask": {"deep": torch.zeros(4)}}}, False),
        ({"timestep": torch.tensor(0.5)}, True),
        ({"timestep": torch.full((2,), 0.5)}, True),
        ({"timestep": torch.full((2, 3), 0.5)}, False),
        ({"timestep": torch.full((6,), 0.5)}, False),
        ({"guidance": 3.5}, True),
        ({"guidance": [3.5, 3.5]}, False),
    ],
)
def test_what_a_row_cannot_be_given_of_runs_alone(more: dict[str, Any], merges: bool) -> None:
    from limner.engine.collate import Collator
    from limner.engine.rendezvous import Point

    point = Point(tiny("flux1").transformer, "forward", "denoise", collator=Collator(tiny("flux1").transformer))
    given = {"hidden_states": torch.zeros(2, 4, 8), **more}
    calls = [point.call((), given, (), hash) for _ in range(2)]
    assert (calls[0].key == calls[1].key) == merges


def test_several_models_in_one_engine(engine: Engine) -> None:
    expected = [alone("flux1", 1), alone("flux2_klein", 2), alone("z_image", 3)]
    for family in ("flux1", "flux2_klein", "z_image"):
        adopt(engine, family)
    drawn = draw_all(engine, [sample("flux1", 1), sample("flux2_klein", 2), sample("z_image", 3)])
    for one, other in zip(drawn, expected, strict=True):
        assert np.abs(one - other).max() <= 1


def test_several_lanes_draw_the_same(make_engine: Callable[..., Engine]) -> None:
    expected = [alone("flux2_klein", seed) for seed in range(8)]
    engine = make_engine(lanes=3)
    adopt(engine, "flux2_klein")
    drawn = draw_all(engine, [sample("flux2_klein", seed) for seed in range(8)])
    for one, other in zip(drawn, expected, strict=True):
        assert np.abs(one - other).max() <= 1


def test_samples_of_one_prompt_encode_it_once(engine: Engine, count_forwards: Callable[[Any], Forwards]) -> None:
    texts = count_forwards(tiny("flux1").text_encoder)
    adopt(engine, "flux1")
    draw_all(engine, [sample("flux1", seed, prompt="one prompt") for seed in range(4)])
    assert len(texts.rows) == 1
    draw(engine, sample("flux1", 9, prompt="another prompt"))
    assert len(texts.rows) == 2


def test_an_encoded_argument_takes_its_texts_embedding(engine: Engine) -> None:
    adopt(engine, "flux2_klein")
    plain = draw(engine, sample("flux2_klein", 5))
    empty = draw(engine, sample("flux2_klein", 5, encoded={"negative_prompt_embeds": ""}))
    other = draw(engine, sample("flux2_klein", 5, encoded={"negative_prompt_embeds": "a red sofa"}))
    assert np.abs(plain - empty).max() <= 1
    assert np.abs(plain - other).max() > 1


@quiet_schedulers
def test_a_vae_that_overflows_in_half_precision_stays_precise(
    tmp_path: Path, make_engine: Callable[..., Engine]
) -> None:
    tiny("sdxl").save_pretrained(tmp_path)
    engine = make_engine(dtype="float16")
    engine.load(ModelSource("sdxl", str(tmp_path)))
    given: list[dict[str, Any]] = [
        {},
        {
            "pipeline": "StableDiffusionXLInpaintPipeline",
            "image": noise_image(),
            "mask_image": Image.new("L", (64, 64), 255),
        },
    ]
    drawn = draw_all(engine, [sample("sdxl", seed, **one) for seed, one in enumerate(given)])
    assert np.abs(drawn[0] - alone("sdxl", 0)).mean() < 5
    assert drawn[1].std() > 1


@pytest.mark.parametrize("name", ["NoSuchPipeline", "AutoencoderKL", "torch", "StableDiffusionXLPAGPipeline"])
def test_unknown_pipeline_classes_are_refused(name: str, engine: Engine) -> None:
    adopt(engine, "flux1")
    with pytest.raises(InvalidRequest, match=name):
        engine.arguments("flux1", name)


def test_a_sibling_that_needs_more_modules_is_refused(engine: Engine) -> None:
    adopt(engine, "flux1")
    with pytest.raises(InvalidRequest, match="controlnet"):
        engine.arguments("flux1", "FluxControlNetPipeline")
