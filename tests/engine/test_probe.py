"""What a source is, before anything of it is loaded."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from limner.engine import ModelSource
from limner.engine.probe import Kind, probe
from limner.errors import InvalidRequest, NotReady

LANGUAGE = '{"architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl"}'
PIPELINE = '{"_class_name": "FluxPipeline"}'


def test_a_model_of_transformers_is_known_by_its_architecture(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(LANGUAGE)
    found = probe(ModelSource("x", str(tmp_path)))
    assert (found.kind, found.pipeline, found.path) == (
        Kind.DIRECTORY,
        "Qwen3VLForConditionalGeneration",
        tmp_path,
    )


def test_a_pipeline_is_a_pipeline_whatever_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(LANGUAGE)
    (tmp_path / "model_index.json").write_text(PIPELINE)
    assert probe(ModelSource("x", str(tmp_path))).pipeline == "FluxPipeline"


@pytest.mark.parametrize("config", ["{}", "[]", '{"architectures": []}', '{"architectures": "Qwen"}'])
def test_a_config_that_names_no_architecture_is_refused(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(InvalidRequest, match=r"config\.json of .* names no architecture"):
        probe(ModelSource("x", str(tmp_path)))


@pytest.mark.parametrize(("name", "text"), [("config.json", LANGUAGE), ("model_index.json", PIPELINE)])
def test_a_hubs_model_is_known_by_what_is_in_the_cache(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--owner--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("abc")
    with pytest.raises(NotReady):
        probe(ModelSource("x", "owner/name"))
    (snapshot / name).write_text(text)
    found = probe(ModelSource("x", "owner/name"))
    assert found.kind is Kind.HUB
    assert found.pipeline in text


QWEN = ("transformer_blocks.0.img_mod.1.weight", "txt_norm.weight")
SDXL = ("conditioner.embedders.1.model.ln_final.weight",)


@pytest.mark.parametrize(
    ("names", "is_scaled"),
    [
        ((*QWEN, "img_in.weight"), False),
        ((*QWEN, "img_in.scale_weight"), True),
        ((*QWEN, "img_in.weight_scale"), True),
        ((*(f"model.diffusion_model.{name}" for name in QWEN), "text_encoders.qwen.lm_head.scale_weight"), False),
        ((*SDXL, "conditioner.embedders.0.model.proj.scale_weight"), True),
    ],
)
def test_weights_that_need_a_scale_are_refused(names: tuple[str, ...], is_scaled: bool, tmp_path: Path) -> None:
    file = tmp_path / "fp8_scaled.safetensors"
    save_file({name: torch.zeros(1) for name in names}, file)
    source = ModelSource("x", str(file))
    if not is_scaled:
        assert probe(source).kind is Kind.SINGLE_FILE
        return
    with pytest.raises(InvalidRequest, match=rf"fp8_scaled\.safetensors .*{names[-1]}.*; use .* bfloat16"):
        probe(source)
