"""Low-rank adapters: they change the picture that asks for them and no other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from limner.core import Lora
from limner.engine import Engine
from limner.errors import InvalidRequest
from tests.engine.conftest import Forwards, Heard, adopt, draw, draw_all, sample
from tests.tiny_pipelines import build

# diffusers warns about its own use of peft.
pytestmark = pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute:UserWarning")


def save_lora(family: str, directory: Path, seed: int) -> Lora:
    """An adapter with random weights, in the file format that people share."""
    pipeline = build(family)
    denoiser = getattr(pipeline, "transformer", None) or pipeline.unet
    targets = ["to_q", "to_k", "to_v"] if family != "flux2_klein" else ["to_q", "to_k", "to_v", "to_qkv_mlp_proj"]
    denoiser.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=targets))
    torch.manual_seed(seed)
    for name, parameter in denoiser.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    part = "transformer" if hasattr(pipeline, "transformer") else "unet"
    layers = {f"{part}_lora_layers": get_peft_model_state_dict(denoiser)}
    type(pipeline).save_lora_weights(directory, **layers, weight_name=f"style{seed}.safetensors")
    return Lora(str(directory / f"style{seed}.safetensors"))


@pytest.mark.parametrize("family", ["flux1", "flux2_klein", "z_image", "sd15"])
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_samples_with_and_without_adapters_share_a_batch(
    family: str, engine: Engine, tmp_path: Path, count_forwards: Callable[[Any], Forwards]
) -> None:
    first, second = save_lora(family, tmp_path, 1), save_lora(family, tmp_path, 2)
    pipeline = build(family)
    forwards = count_forwards(getattr(pipeline, "transformer", None) or pipeline.unet)
    adopt(engine, family, pipeline)
    asked = [(), (first,), (second,), (first, second)]
    plain = draw(engine, sample(family, 1))
    singly = [draw(engine, sample(family, 1, loras=loras)) for loras in asked]
    assert np.abs(singly[0] - plain).max() <= 1, "loading an adapter changed pictures without one"
    for i, one in enumerate(singly):
        for other in singly[i + 1 :]:
            assert np.abs(one - other).max() > 2, "an adapter had no effect of its own"
    rows_alone = max(forwards.rows)
    together = draw_all(engine, [sample(family, 1, loras=loras) for loras in asked])
    for one, other in zip(together, singly, strict=True):
        assert np.abs(one - other).max() <= 1
    assert max(forwards.rows) > rows_alone, "nothing was merged"


def test_scale_is_each_samples_own(engine: Engine, tmp_path: Path) -> None:
    lora = save_lora("flux1", tmp_path, 1)
    adopt(engine, "flux1", build("flux1"))
    plain, none, half, full = (
        draw(engine, sample("flux1", 1, loras=loras))
        for loras in ((), *((Lora(lora.path, scale),) for scale in (0.0, 0.5, 1.0)))
    )
    assert np.abs(plain - none).max() <= 1
    assert np.abs(half - full).max() > 2
    assert np.abs(half - plain).max() > 2


def test_an_adapter_means_what_diffusers_makes_of_it(engine: Engine, tmp_path: Path) -> None:
    lora = save_lora("flux1", tmp_path, 1)
    pipeline = build("flux1")
    pipeline.load_lora_weights(lora.path, adapter_name="style")
    one = sample("flux1", 1)
    image = pipeline(**one.arguments, generator=torch.Generator().manual_seed(1)).images[0]
    adopt(engine, "flux1", build("flux1"))
    drawn = draw(engine, sample("flux1", 1, loras=(lora,)))
    assert np.abs(drawn - np.asarray(image).astype(np.int16)).max() <= 1


def test_adapters_beyond_the_limit_are_forgotten_and_loaded_again(
    make_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    engine = make_engine(lora_cache=1)
    first, second = save_lora("flux1", tmp_path, 1), save_lora("flux1", tmp_path, 2)
    pipeline = build("flux1")
    adopt(engine, "flux1", pipeline)
    drawn = [draw(engine, sample("flux1", 1, loras=(lora,))) for lora in (first, second, first)]
    assert np.abs(drawn[0] - drawn[2]).max() <= 1
    assert np.abs(drawn[0] - drawn[1]).max() > 2
    assert sum("lora_A" in name for name, _ in pipeline.transformer.named_parameters()) > 0
    assert len(pipeline.get_list_adapters()["transformer"]) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere/style.safetensors",
        "../style.safetensors",
        "README.md",
        "folder",
        "broken.safetensors",
        "other.safetensors",
    ],
)
def test_what_is_no_adapter_is_refused_without_saying_whether_it_is_there(
    path: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("not weights")
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.safetensors").write_bytes(b"not weights")
    save_file({"some.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    adopt(engine, "flux1", build("flux1"))
    plain = draw(engine, sample("flux1", 1))
    heard = Heard()
    engine.submit(sample("flux1", 1, loras=(Lora(path),)), heard)
    heard.wait()
    assert isinstance(heard.error, InvalidRequest)
    assert heard.error.message == (
        f"cannot use LoRA {path!r}: no adapter for this model is there. Allowed: a .safetensors file or directory on "
        "the server, or a Hugging Face id"
    )
    assert heard.error.param == "lora"
    assert np.abs(draw(engine, sample("flux1", 1)) - plain).max() <= 1


def altering_files(directory: Path) -> dict[str, Path]:
    """Files that diffusers would take and change the shared modules by: a norm's weights, a wider layer, LoKr terms.
    And two with the magnitudes of DoRA, as peft and as kohya write them, which would be drawn without them."""
    from safetensors.torch import load_file, save_file

    style = load_file(save_lora("flux1", directory, 1).path)
    inner = build("flux1").transformer
    wide = inner.x_embedder.in_features * 2
    block = "transformer.transformer_blocks.0.attn"
    made = {
        "norm": {f"{block}.norm_q.weight": torch.full_like(inner.transformer_blocks[0].attn.norm_q.weight, 3.0)},
        "wide": {
            "transformer.x_embedder.lora_A.weight": torch.ones(4, wide),
            "transformer.x_embedder.lora_B.weight": torch.ones(inner.x_embedder.out_features, 4),
        },
        "lokr": {f"{block}.to_q.lokr_w1": torch.ones(2, 2), f"{block}.to_q.lokr_w2": torch.ones(2, 2)},
        "dora": {f"{block}.to_q.lora_magnitude_vector": torch.ones(inner.transformer_blocks[0].attn.to_q.out_features)},
        "kohya-dora": {f"{block}.to_q.dora_scale": torch.ones(inner.transformer_blocks[0].attn.to_q.out_features)},
    }
    for name, weights in made.items():
        save_file({**style, **weights}, directory / f"{name}.safetensors")
    return {name: directory / f"{name}.safetensors" for name in made}


@pytest.mark.parametrize("kind", ["norm", "wide", "lokr", "dora", "kohya-dora"])
def test_an_adapter_that_is_more_than_low_rank_terms_is_refused(kind: str, engine: Engine, tmp_path: Path) -> None:
    path = str(altering_files(tmp_path)[kind])
    pipeline = build("flux1")
    adopt(engine, "flux1", pipeline)
    plain = draw(engine, sample("flux1", 1))
    before = {name: weights.clone() for name, weights in pipeline.transformer.state_dict().items()}
    with pytest.raises(InvalidRequest, match="no adapter for this model"):
        engine.inspect_loras("flux1", [Lora(path)])
    with pytest.raises(InvalidRequest, match="no adapter for this model"):
        draw(engine, sample("flux1", 1, loras=(Lora(path),)))
    after = pipeline.transformer.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert pipeline.transformer.config.in_channels == build("flux1").transformer.config.in_channels
    assert np.abs(draw(engine, sample("flux1", 1)) - plain).max() <= 1


def test_what_fits_no_layer_leaves_nothing_behind(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with terms that another version of diffusers may know and our hook does not."""
    monkeypatch.setattr("limner.engine.lora.Adapters._switch_off", lambda self, name: 0)
    pipeline = build("flux1")
    adopt(engine, "flux1", pipeline)
    with pytest.raises(InvalidRequest, match="no adapter for this model"):
        draw(engine, sample("flux1", 1, loras=(save_lora("flux1", tmp_path, 1),)))
    assert not any("lora_A" in name for name, _ in pipeline.transformer.named_parameters())
