"""Models from wherever they are: directories, single files, the package."""

import json
import os
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from limner.engine import Engine, ModelSource
from limner.engine.load import _keep_vae_precise
from limner.errors import InvalidRequest, LimnerError, NotReady
from tests.engine.conftest import draw, sample, tiny
from tests.engine.original_format import save_single_file
from tests.tiny_pipelines import build

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def flux1_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "flux1"
    tiny("flux1").save_pretrained(directory)
    return directory


def plain(family: str, seed: int) -> Any:
    one = sample(family, seed)
    return np.asarray(tiny(family)(**one.arguments, generator=torch.Generator().manual_seed(seed)).images[0])


def test_a_directory(flux1_directory: Path, engine: Engine) -> None:
    info = engine.load(ModelSource("flux1", str(flux1_directory)))
    assert (info.id, info.pipeline, len(info.revision)) == ("flux1", "FluxPipeline", 12)
    assert info.parameter_bytes > 1000
    assert np.abs(draw(engine, sample("flux1", 1)) - plain("flux1", 1).astype(np.int16)).max() <= 1
    assert engine.load(ModelSource("flux1", str(flux1_directory))) is info


def test_the_revision_follows_the_weights(
    flux1_directory: Path, tmp_path: Path, make_engine: Callable[..., Engine]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(flux1_directory, copy)
    engine = make_engine()
    first = engine.load(ModelSource("a", str(flux1_directory))).revision
    assert engine.load(ModelSource("b", str(copy))).revision == first
    weights = copy / "transformer" / "diffusion_pytorch_model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert engine.load(ModelSource("c", str(copy))).revision != first


def test_a_dtype_of_choice(flux1_directory: Path, make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(dtype="bfloat16")
    wide = make_engine(dtype="float32").load(ModelSource("flux1", str(flux1_directory)))
    narrow = engine.load(ModelSource("flux1", str(flux1_directory)))
    assert narrow.parameter_bytes * 2 == wide.parameter_bytes
    assert draw(engine, sample("flux1", 1)).shape == (64, 64, 3)


@pytest.mark.parametrize(("dtype", "vae"), [("float16", torch.float32), ("bfloat16", torch.bfloat16)])
def test_a_vae_is_cast_by_no_sample(dtype: str, vae: torch.dtype) -> None:
    pipeline = build("sdxl").to(getattr(torch, dtype))
    pipeline.vae.register_to_config(force_upcast=True)
    _keep_vae_precise(pipeline, getattr(torch, dtype))
    assert (pipeline.vae.dtype, pipeline.vae.config.force_upcast) == (vae, False)


def test_the_embedded_model(engine: Engine) -> None:
    info = engine.load(ModelSource("sketch", "embedded:sketch"))
    assert info.pipeline == "Flux2KleinPipeline"
    assert info.parameter_bytes < 100e6


def test_a_whole_checkpoint_in_one_file(tmp_path: Path, engine: Engine) -> None:
    base, file = tmp_path / "base", tmp_path / "tiny.safetensors"
    tiny("sd15").save_pretrained(base)
    save_single_file(tiny("sd15"), file)
    info = engine.load(ModelSource("sd15", str(file), base=str(base)))
    assert info.pipeline == "StableDiffusionPipeline"
    assert np.abs(draw(engine, sample("sd15", 1)) - plain("sd15", 1).astype(np.int16)).max() <= 1


def test_a_denoiser_in_one_file_beside_its_pipeline(flux1_directory: Path, tmp_path: Path, engine: Engine) -> None:
    from tests.tiny_pipelines import build

    other = build("flux1").transformer
    torch.manual_seed(5)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    file = tmp_path / "finetune.safetensors"
    save_file(other.state_dict(), file)
    engine.load(ModelSource("flux1", str(file), base=str(flux1_directory)))
    drawn = draw(engine, sample("flux1", 1))
    assert np.abs(drawn - plain("flux1", 1).astype(np.int16)).max() > 1


def test_a_denoiser_alone_says_what_it_lacks(tmp_path: Path, engine: Engine) -> None:
    file = tmp_path / "finetune.safetensors"
    save_file(tiny("flux1").transformer.state_dict(), file)
    with pytest.raises(InvalidRequest, match="holds only a FluxTransformer2DModel"):
        engine.load(ModelSource("flux1", str(file)))


def test_what_was_read_before_loading_failed_is_let_go(
    flux1_directory: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def read() -> None:
        weights = torch.zeros(8)
        held.append(weakref.ref(weights))
        raise RuntimeError("shapes do not fit")

    def fail(*args: Any, **kwargs: Any) -> None:
        try:
            read()
        except RuntimeError as error:
            raise ValueError(str(error)) from error

    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", fail)
    with pytest.raises(InvalidRequest, match="shapes do not fit") as kept:
        engine.load(ModelSource("flux1", str(flux1_directory)))
    assert held[0]() is None, f"the server keeps {kept.value!r} for as long as it runs"


@pytest.mark.parametrize("plain_too", [(), ("vae", "text_encoder")])
def test_a_directory_whose_weights_are_there_in_one_variant_only(
    plain_too: tuple[str, ...], tmp_path: Path, engine: Engine
) -> None:
    tiny("flux1").save_pretrained(tmp_path, variant="fp16")
    for part in plain_too:
        [file] = (tmp_path / part).glob("*.fp16.safetensors")
        file.rename(file.with_name(file.name.replace(".fp16", "")))
    engine.load(ModelSource("flux1", str(tmp_path)))
    assert np.abs(draw(engine, sample("flux1", 1)) - plain("flux1", 1).astype(np.int16)).max() <= 1


@pytest.mark.parametrize("where", ["to", "from_pretrained"])
def test_a_model_that_finds_no_room_says_so_and_leaves_none_taken(
    where: str, flux1_directory: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def fail(*args: Any, **kwargs: Any) -> None:
        weights = torch.zeros(8)
        held.append(weakref.ref(weights))
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(diffusers.DiffusionPipeline, where, fail)
    with pytest.raises(NotReady, match=r"flux1 does not fit into the memory of cpu: its weights take \d+ MB") as kept:
        engine.load(ModelSource("flux1", str(flux1_directory)))
    assert held[0]() is None, f"the server keeps {kept.value!r} for as long as it runs"


def test_a_model_that_cannot_be_built_leaves_the_others_their_dtype(
    flux1_directory: Path, tmp_path: Path, make_engine: Callable[..., Engine]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(flux1_directory, copy)
    config = copy / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "num_layers": "many"}))
    try:
        with pytest.raises(InvalidRequest, match="cannot load"):
            make_engine(dtype="bfloat16").load(ModelSource("flux1", str(copy)))
        assert torch.get_default_dtype() is torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def make_file(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(directory: Path) -> Path:
        (directory / name).write_bytes(content)
        return directory / name

    return make


def make_directory(index: str | None) -> Callable[[Path], Path]:
    def make(directory: Path) -> Path:
        if index is not None:
            (directory / "model_index.json").write_text(index)
        return directory

    return make


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda directory: directory / "nowhere", "there is no model at"),
        (lambda directory: "embedded:nothing", "no embedded model"),
        (lambda directory: "embedded:../suite", "no embedded model"),
        (make_directory(None), "no model_index.json"),
        (make_directory("{}"), "names no pipeline class"),
        (make_directory("not json"), "model_index.json"),
        (make_directory('{"_class_name": "NoSuchPipeline"}'), "NoSuchPipeline"),
        (make_file("weights.bin", b""), "is no checkpoint"),
        (make_file("weights.safetensors", b"short"), "not a safetensors file"),
        (make_file("weights.safetensors", b"\x02" + bytes(7) + b"{}"), "no architecture"),
        (make_file("weights.gguf", b"GGUF"), "gguf"),
    ],
)
def test_what_is_no_model_is_refused_with_the_reason(
    make: Callable[[Path], object], says: str, tmp_path: Path, engine: Engine
) -> None:
    with pytest.raises(InvalidRequest, match=says):
        engine.load(ModelSource("wrong", str(make(tmp_path))))


def test_a_model_that_is_not_here_needs_the_hub(engine: Engine) -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(NotReady, match=r"huggingface\.co cannot be reached") as caught:
        engine.load(ModelSource("remote", "nobody/no-such-model"))
    assert isinstance(caught.value, LimnerError)


def test_a_checkpoint_without_its_configuration_says_so(tmp_path: Path, engine: Engine) -> None:
    file = tmp_path / "tiny.safetensors"
    save_single_file(tiny("sd15"), file)
    with pytest.raises(NotReady, match=r"the configuration that tiny\.safetensors needs"):
        engine.load(ModelSource("sd15", str(file)))


def test_a_checkpoint_inside_a_copy_of_its_pipeline_needs_no_base(tmp_path: Path, engine: Engine) -> None:
    tiny("sd15").save_pretrained(tmp_path)
    save_single_file(tiny("sd15"), tmp_path / "tiny.safetensors")
    info = engine.load(ModelSource("sd15", str(tmp_path / "tiny.safetensors")))
    assert info.pipeline == "StableDiffusionPipeline"


def test_importing_the_engine_imports_no_torch() -> None:
    code = (
        "import sys, limner.engine, limner.engine.probe, limner.backends.local;"
        " assert not {'torch', 'diffusers', 'transformers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
