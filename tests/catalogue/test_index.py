from pathlib import Path

import pytest

from limner.core import Operation
from limner.errors import ModelNotFound
from tests.catalogue.make import CATALOGUE, LOADABLE, ask


@pytest.mark.parametrize(
    ("source", "pipeline_class", "served", "family", "steps"),
    [
        # known names
        ("sketch", None, "sketch", "sketch", 12),
        ("Qwen/Qwen-Image", None, "Qwen/Qwen-Image", "qwen-image", 50),
        ("qwen/qwen-image", "QwenImagePipeline", "Qwen/Qwen-Image", "qwen-image", 50),
        ("z-image-turbo", None, "Tongyi-MAI/Z-Image-Turbo", "z-image", 9),
        # by the name of a directory, a file or another's repository
        ("/models/Qwen-Image", None, "Qwen-Image", "qwen-image", 50),
        ("/models/Qwen-Image/", "QwenImagePipeline", "Qwen-Image", "qwen-image", 50),
        ("./checkpoints/z_image_turbo_bf16.safetensors", None, "z_image_turbo_bf16", "z-image", 9),
        ("/m/flux1-schnell.safetensors", None, "flux1-schnell", "flux-1", 4),
        ("/m/qwen_image_edit_2511_fp8.safetensors", None, "qwen_image_edit_2511_fp8", "qwen-image", 40),
        ("someone/My-SDXL-Turbo-Mix", None, "someone/My-SDXL-Turbo-Mix", "stable-diffusion", 1),
        ("C:\\models\\flux-2-klein-base-9b.gguf", None, "flux-2-klein-base-9b", "flux-2", 50),
        # by the class
        ("someone/dreams", "StableDiffusionXLPipeline", "someone/dreams", "stable-diffusion", 50),
        ("/models/mine", "Flux2KleinPipeline", "mine", "flux-2", 50),
        ("/models/mine", "FluxKontextPipeline", "mine", "flux-1", 28),
        ("/models/mine", "QwenImageEditPlusPipeline", "mine", "qwen-image", 40),
        # the class wins over a name that it contradicts
        ("/models/sdxl", "ZImagePipeline", "sdxl", "z-image", 50),
    ],
)
def test_recognises_sources(source: str, pipeline_class: str | None, served: str, family: str, steps: int) -> None:
    match = CATALOGUE.spec_for_source(source, pipeline_class)
    assert match.warnings == ()
    assert match.spec.id == served
    assert match.spec.family == family
    assert match.spec.params["num_inference_steps"].default == steps


def test_every_model_is_recognised_by_its_own_name_wherever_it_lies() -> None:
    for spec in LOADABLE:
        name = spec.id.rsplit("/", 1)[-1]
        for pipeline_class in (None, *spec.routes[0].pipelines.values()):
            copy = CATALOGUE.spec_for_source(f"/srv/models/{name}", pipeline_class).spec
            assert (copy.params, copy.licence) == (spec.params, spec.licence)
            assert copy.routes[0].source == f"/srv/models/{name}"
            assert spec.id in (copy.id, *copy.aliases)


def test_a_copy_answers_to_the_models_names_and_another_checkpoint_does_not() -> None:
    copy = CATALOGUE.spec_for_source("mirror/Qwen-Image").spec
    assert copy.aliases == ("Qwen-Image", "Qwen/Qwen-Image", "qwen-image")
    other = CATALOGUE.spec_for_source("someone/qwen-image-lightning").spec
    assert other.aliases == ("qwen-image-lightning",)
    assert (other.licence, other.notes, other.created) == (None, (), 0)


def test_a_directory_here_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CATALOGUE.spec_for_source("sketch").spec.routes[0].source == "embedded:sketch"
    (tmp_path / "sketch").mkdir()
    match = CATALOGUE.spec_for_source("sketch")
    assert (match.spec.id, match.spec.routes[0].source) == ("sketch", "sketch")


@pytest.mark.parametrize(
    ("pipeline_class", "operation"),
    [
        (None, Operation.GENERATE),
        ("NovelPipeline", Operation.GENERATE),
        ("NovelImg2ImgPipeline", Operation.EDIT),
        ("NovelEditPipeline", Operation.EDIT),
        ("NovelEditInpaintPipeline", Operation.INPAINT),
    ],
)
def test_what_is_not_known_at_all_gets_general_defaults_and_a_warning(
    pipeline_class: str | None, operation: Operation
) -> None:
    match = CATALOGUE.spec_for_source("someone/novel", pipeline_class)
    assert (match.spec.id, match.spec.operations) == ("someone/novel", frozenset({operation}))
    assert match.spec.routes[0].source == "someone/novel"
    assert match.spec.routes[0].pipelines == ({} if pipeline_class is None else {operation: pipeline_class})
    assert [(w.param, w.code) for w in match.warnings] == [("model", "unverified")]
    assert ask(match.spec, operation).request.params == {"num_inference_steps": 30}


@pytest.mark.parametrize(
    "source", ["", "/", ".", "a", "a/b/c/d", "~/x.safetensors", "https://x/y.safetensors", "ü:*[?"]
)
def test_no_source_is_refused(source: str) -> None:
    assert CATALOGUE.spec_for_source(source, "Whatever").spec.id


def test_names_that_are_not_known() -> None:
    with pytest.raises(ModelNotFound, match="'dall-e-9'"):
        CATALOGUE.get("dall-e-9")
    with pytest.raises(ModelNotFound):
        CATALOGUE.get("other")  # the fallback is no model
