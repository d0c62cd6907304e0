"""Getting a pipeline into memory, from wherever its weights are.

Owns the kinds of sources; what a source is before loading is `probe`'s business.
"""

import logging
from pathlib import Path
from typing import Any

import torch

from limner.engine.devices import Device, free_memory
from limner.engine.failures import is_out_of_memory, let_go
from limner.engine.probe import Kind, Probe, probe, weights_revision
from limner.engine.processor import tune
from limner.engine.sample import LoadedModel, ModelSource
from limner.engine.weights import on_disk, variant_of
from limner.errors import InvalidRequest, NotReady

log = logging.getLogger(__name__)


def load_pipeline(source: ModelSource, device: Device) -> tuple[Any, LoadedModel]:
    """A pipeline on ``device`` and what identifies it. Blocks; may download.

    Raises InvalidRequest for a source that is not a model, NotReady where a hub cannot be reached or memory is short.
    """
    found = probe(source)
    try:
        return _loaded(source, found, device)
    except Exception as error:
        let_go(error)  # the reason is kept for as long as the server runs
        if not is_out_of_memory(error):
            raise
        free_memory()
        raise _no_room(source, found, device) from error


def _loaded(source: ModelSource, found: Probe, device: Device) -> tuple[Any, LoadedModel]:
    pipeline, origin = _read(source, found, device.dtype)
    _keep_vae_precise(pipeline, device.dtype)
    pipeline.to(device.name)
    pipeline.set_progress_bar_config(disable=True)
    modules = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    for module in modules:
        module.eval().requires_grad_(False)
    if device.name == "cpu":
        tune(modules)
    size = sum(p.numel() * p.element_size() for module in modules for p in module.parameters())
    revision = weights_revision(origin)
    return pipeline, LoadedModel(source.id, type(pipeline).__name__, revision, size, origin)


def _read(source: ModelSource, found: Probe, dtype: torch.dtype) -> tuple[Any, Path]:
    import diffusers

    be_quiet()
    default = torch.get_default_dtype()
    try:
        match found.kind:
            case Kind.DIRECTORY:
                assert found.path is not None
                return _pipeline(str(found.path), dtype=dtype), found.path
            case Kind.SINGLE_FILE:
                assert found.path is not None
                return _single_file(found, source, dtype), found.path
            case Kind.HUB:
                folder = Path(diffusers.DiffusionPipeline.download(source.source, revision=source.revision))
                return diffusers.DiffusionPipeline.from_pretrained(str(folder), dtype=dtype), folder
    except (InvalidRequest, NotReady):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise explain(source, error) from error
    finally:
        torch.set_default_dtype(default)  # diffusers leaves another one behind where a model cannot be built


def _pipeline(folder: str, **given: Any) -> Any:
    """The pipeline in ``folder``, or of that id at a hub."""
    import diffusers

    path = Path(folder)
    variant = variant_of(path) if path.is_dir() else None
    return diffusers.DiffusionPipeline.from_pretrained(folder, variant=variant, **given)


def _single_file(found: Probe, source: ModelSource, dtype: torch.dtype) -> Any:
    """A whole checkpoint in one file, or a denoiser in one file with the rest from ``base``."""
    import diffusers

    assert found.path is not None
    base = source.base or _base_beside(found.path)
    if found.denoiser is None:
        cls = getattr(diffusers, found.pipeline)
        extra = {"config": base} if base else {}
        return cls.from_single_file(str(found.path), dtype=dtype, **extra)
    if base is None:
        raise InvalidRequest(
            f"{found.path.name} holds only a {found.denoiser}; put it into a copy of the model that has the rest",
            param="model",
        )
    model_cls = getattr(diffusers, found.denoiser)
    part = "unet" if found.denoiser.startswith("UNet") else "transformer"
    extra_args: dict[str, Any] = {}
    if found.path.suffix == ".gguf":
        extra_args["quantization_config"] = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
    denoiser = model_cls.from_single_file(str(found.path), config=base, subfolder=part, dtype=dtype, **extra_args)
    return _pipeline(base, dtype=dtype, **{part: denoiser})


def _base_beside(file: Path) -> str | None:
    """The directory of ``file``, if that is a pipeline's: it has what the file lacks."""
    return str(file.parent) if (file.parent / "model_index.json").is_file() else None


def _keep_vae_precise(pipeline: Any, dtype: torch.dtype) -> None:
    """A VAE that overflows in float16 stays in float32, and in bfloat16 as it is: pipelines would cast it to and fro
    under other samples."""
    vae = getattr(pipeline, "vae", None)
    if dtype is not torch.float32 and vae is not None and getattr(vae.config, "force_upcast", False):
        if dtype is torch.float16:
            vae.to(torch.float32)
        vae.register_to_config(force_upcast=False)


def _no_room(source: ModelSource, found: Probe, device: Device) -> NotReady:
    weights = on_disk(source, found)
    size = None if weights is None else weights.in_memory_bytes(device.dtype.itemsize)
    told = "" if size is None else f": its weights take {size / 1e6:,.0f} MB"
    return NotReady(f"{source.source} does not fit into the memory of {device.name}{told}")


def be_quiet() -> None:
    """Nothing draws progress bars into a server's log."""
    import diffusers
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def explain(source: ModelSource, error: Exception) -> InvalidRequest | NotReady:
    """One sentence on why ``source`` did not load, from what a Hugging Face library raised."""
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    name = source.source
    match error:
        case GatedRepoError():
            return InvalidRequest(
                f"{name} is gated: accept its licence on huggingface.co and set HF_TOKEN", param="model"
            )
        case RepositoryNotFoundError():
            return InvalidRequest(f"there is no model {name!r} on huggingface.co, or it is private", param="model")
        case OfflineModeIsEnabled() | LocalEntryNotFoundError() | ConnectionError() | TimeoutError():
            missing = name
            if Path(name).is_file():
                missing = f"the configuration that {Path(name).name} needs (put the file into a copy of its pipeline)"
            return NotReady(f"{missing} is not on this machine and huggingface.co cannot be reached")
    lines = (str(error).strip() or type(error).__name__).splitlines()
    return InvalidRequest(f"cannot load {name}: {lines[0][:300]}", param="model")
