"""How large models are, from files that are not loaded."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from limner.engine import Engine, ModelSource, probe
from limner.engine.probe import Kind, Probe
from limner.engine.weights import Weights, on_disk, variant_of
from limner.errors import InvalidRequest
from tests.engine.conftest import tiny


def folder(path: Path, **files: int) -> Path:
    """A pipeline's directory with weight files of so many float16 numbers; ``__`` stands for a slash."""
    for name, numbers in files.items():
        part, _, stem = name.partition("__")
        (path / part).mkdir(parents=True, exist_ok=True)
        save_file({"w": torch.zeros(numbers // 2, 2, dtype=torch.float16)}, path / part / f"{stem}.safetensors")
    return path


def weights_of(path: Path) -> Weights | None:
    return on_disk(ModelSource("x", str(path)), Probe(Kind.DIRECTORY, "AnyPipeline", path))


def test_what_is_found_is_what_a_loaded_model_takes(engine: Engine, tmp_path: Path) -> None:
    tiny("flux1").save_pretrained(tmp_path)
    source = ModelSource("tiny", str(tmp_path))
    found = on_disk(source, probe(source))
    assert found is not None
    assert found.in_memory_bytes(4) == engine.load(source).parameter_bytes


def test_the_embedded_model_is_there() -> None:
    source = ModelSource("sketch", "embedded:sketch")
    found = on_disk(source, probe(source))
    assert found is not None
    assert found.parameters is not None
    assert found.parameters > 1_000_000


def test_copies_in_other_precisions_and_formats_do_not_count(tmp_path: Path) -> None:
    folder(tmp_path, unet__model=100, vae__model=10)
    for name in ("model.fp16", "model.fp16-00001-of-00002", "model-00001-of-00002.fp16", "model.fp8_e4m3fn"):
        save_file({"w": torch.zeros(100)}, tmp_path / "unet" / f"{name}.safetensors")
    (tmp_path / "unet" / "model.bin").write_bytes(bytes(1000))
    (tmp_path / "tokenizer").mkdir()
    found = weights_of(tmp_path)
    assert found is not None
    assert (found.parameters, found.in_memory_bytes(2)) == (110, 220)


def test_a_copy_in_another_precision_counts_where_it_is_the_only_one(tmp_path: Path) -> None:
    folder(tmp_path, unet__model=100, vae__model=10)
    (tmp_path / "unet" / "model.safetensors").rename(tmp_path / "unet" / "model.fp16.safetensors")
    save_file({"w": torch.zeros(3)}, tmp_path / "unet" / "model.non_ema.safetensors")
    found = weights_of(tmp_path)
    assert found is not None
    assert found.parameters == 110
    assert variant_of(tmp_path) == "fp16"


def test_of_formats_without_a_header_the_files_size_counts(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "model.bin").write_bytes(bytes(1000))
    found = weights_of(tmp_path)
    assert found == Weights(1000, None)
    assert found.in_memory_bytes(4) == 1000


def test_a_folder_without_weights_has_none(tmp_path: Path) -> None:
    assert weights_of(folder(tmp_path)) == Weights(0, 0)


def test_a_model_of_transformers_has_its_weights_beside_its_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    save_file({"a": torch.zeros(3, 4)}, tmp_path / "model.safetensors")
    folder(tmp_path, onnx__model=100)
    found = weights_of(tmp_path)
    assert found is not None
    assert found.parameters == 12


def test_a_single_file(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(())}, file, metadata={"format": "pt"})
    found = on_disk(ModelSource("x", str(file)), Probe(Kind.SINGLE_FILE, "AnyPipeline", file))
    assert found is not None
    assert found.parameters == 13


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    folder(tmp_path, unet__model=10)
    (tmp_path / "unet" / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InvalidRequest, match=r"model\.safetensors is not a safetensors file"):
        weights_of(tmp_path)


def test_a_hubs_model_counts_once_its_weights_are_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--owner--name"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    source, found = ModelSource("x", "owner/name"), Probe(Kind.HUB, "AnyPipeline")
    assert on_disk(source, found) is None
    (snapshot / "model_index.json").write_text("{}")
    assert on_disk(source, found) is None, "only what was probed is there"
    folder(snapshot, unet__model=100)
    weights = on_disk(source, found)
    assert weights is not None
    assert weights.parameters == 100
