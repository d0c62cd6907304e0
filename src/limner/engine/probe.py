"""What a model source is, found out cheaply: its kind, its class and what identifies its weights.

Reads small files and headers only, and imports no torch; loading is `load`'s business.
"""

import hashlib
import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from importlib import resources
from pathlib import Path
from typing import Any

from limner.engine.sample import EMBEDDED_PREFIX, ModelSource
from limner.errors import InvalidRequest, NotReady

INDEX = "model_index.json"
CONFIG = "config.json"
_HUB_TIMEOUT_S = 10.0
_WHOLE_FILE_BYTES = 64 * 1024 * 1024
_SAMPLE_BYTES = 1024 * 1024


class Kind(Enum):
    """Where weights come from."""

    DIRECTORY = auto()
    SINGLE_FILE = auto()
    HUB = auto()


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found. ``pipeline`` is a pipeline class of diffusers, or the architecture of a model of transformers;
    ``path`` is None for a model that is not on this machine; ``denoiser`` is the model class where a single file holds
    nothing else."""

    kind: Kind
    pipeline: str
    path: Path | None = None
    denoiser: str | None = None


def probe(source: ModelSource) -> Probe:
    """Look at ``source``. A Hugging Face id is looked up at the hub, unless it is in the cache.

    Raises InvalidRequest where there is no model, NotReady where the hub cannot be reached.
    """
    if source.source.startswith(EMBEDDED_PREFIX):
        return _directory(embedded_path(source.source))
    path = Path(source.source).expanduser()
    if path.is_dir():
        return _directory(path)
    if path.is_file():
        return _file(path)
    if _looks_like_hub_id(source.source):
        return Probe(Kind.HUB, _hub_pipeline(source))
    raise InvalidRequest(f"there is no model at {source.source!r}", param="model")


def embedded_path(source: str) -> Path:
    """The package directory of ``embedded:NAME``; raises InvalidRequest if there is none."""
    name = source.removeprefix(EMBEDDED_PREFIX)
    path = Path(str(resources.files("limner"))) / "suite" / name
    if not (name.isidentifier() and path.is_dir()):
        raise InvalidRequest(f"there is no embedded model {name!r}", param="model")
    return path


def weights_revision(path: Path) -> str:
    """What identifies local weights, 12 hex digits: a hub snapshot's commit, or a hash over names, sizes and contents.

    Of files beyond 64 MB only size, beginning and end count, so that terabytes stay quick.
    """
    if path.parent.name == "snapshots":
        return path.name[:12]
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in _REVISION_SUFFIXES)
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.relative_to(path).as_posix()}:{size}:".encode())
        with file.open("rb") as stream:
            if size <= _WHOLE_FILE_BYTES:
                digest.update(stream.read())
            else:
                digest.update(stream.read(_SAMPLE_BYTES))
                stream.seek(-_SAMPLE_BYTES, 2)
                digest.update(stream.read())
    return digest.hexdigest()[:12]


_REVISION_SUFFIXES = frozenset({".safetensors", ".bin", ".json", ".txt", ".model", ".ckpt", ".gguf"})


def _directory(path: Path) -> Probe:
    for name in (INDEX, CONFIG):
        if (path / name).is_file():
            return Probe(Kind.DIRECTORY, _class_name(path / name, str(path)), path)
    raise InvalidRequest(
        f"{path} has no model_index.json, so it is no diffusers pipeline, and no config.json, so it is no model of "
        "transformers",
        param="model",
    )


def _class_name(file: Path, where: str) -> str:
    """The class that a model_index.json or a config.json names; the parser's errors are ValueErrors."""
    try:
        index = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise InvalidRequest(f"{file.name} of {where} is not JSON", param="model") from error
    table = index if isinstance(index, dict) else {}
    names = [table.get("_class_name")] if file.name == INDEX else table.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    if not isinstance(name, str):
        what = "pipeline class" if file.name == INDEX else "architecture"
        raise InvalidRequest(f"{file.name} of {where} names no {what}", param="model")
    return name


@dataclass(frozen=True, slots=True)
class _Signature:
    """Tensor names that tell a checkpoint's architecture; ``denoiser`` is set where only that is inside."""

    has: tuple[str, ...]
    pipeline: str
    denoiser: str | None = None


# Tensor names as the original authors' files have them (first) or as diffusers saves the denoiser alone; the first
# signature that fits wins, so the more particular ones stand first.
_SIGNATURES = (
    _Signature(("conditioner.embedders.1.model.ln_final.weight",), "StableDiffusionXLPipeline"),
    _Signature(("conditioner.embedders.0.model.ln_final.weight",), "StableDiffusionXLImg2ImgPipeline"),
    _Signature(
        ("cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",), "StableDiffusionPipeline"
    ),
    _Signature(("cond_stage_model.model.positional_embedding",), "StableDiffusionPipeline"),
    _Signature(("model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight",), "StableDiffusion3Pipeline"),
    _Signature(("double_stream_modulation_img.lin.weight",), "Flux2Pipeline", "Flux2Transformer2DModel"),
    _Signature(("double_stream_modulation_img.linear.weight",), "Flux2Pipeline", "Flux2Transformer2DModel"),
    _Signature(("double_blocks.0.img_attn.qkv.weight",), "FluxPipeline", "FluxTransformer2DModel"),
    _Signature(("single_transformer_blocks.0.proj_mlp.weight",), "FluxPipeline", "FluxTransformer2DModel"),
    _Signature(("joint_blocks.0.context_block.attn.qkv.weight",), "StableDiffusion3Pipeline", "SD3Transformer2DModel"),
    _Signature(("context_refiner.0.attention.qkv.weight",), "ZImagePipeline", "ZImageTransformer2DModel"),
    _Signature(("all_x_embedder.2-1.weight",), "ZImagePipeline", "ZImageTransformer2DModel"),
    _Signature(
        ("transformer_blocks.0.img_mod.1.weight", "txt_norm.weight"), "QwenImagePipeline", "QwenImageTransformer2DModel"
    ),
    _Signature(
        ("add_embedding.linear_1.weight", "conv_in.weight"), "StableDiffusionXLPipeline", "UNet2DConditionModel"
    ),
    _Signature(
        ("down_blocks.0.resnets.0.conv1.weight", "conv_in.weight"), "StableDiffusionPipeline", "UNet2DConditionModel"
    ),
)


# How names end of the scales that weights of few bits are stored without; diffusers would drop them and draw noise.
_SCALES = (".scale_weight", ".weight_scale")
_OTHER_PARTS = ("text_encoders.", "cond_stage_model.", "conditioner.", "first_stage_model.", "vae.")


def _file(path: Path) -> Probe:
    match path.suffix:
        case ".safetensors":
            names = safetensors_names(path)
        case ".gguf":
            names = _gguf_names(path)
        case ".ckpt":
            return Probe(Kind.SINGLE_FILE, "StableDiffusionPipeline", path)  # the format had its day with that family
        case _:
            raise InvalidRequest(
                f"{path.name} is no checkpoint: .safetensors, .ckpt and .gguf files are", param="model"
            )
    bare = {name.removeprefix("model.diffusion_model.") for name in names}
    for signature in _SIGNATURES:
        known = names if signature.denoiser is None else bare
        if all(name in known for name in signature.has):
            _require_no_scales(path, names, alone=signature.denoiser is not None)
            return Probe(Kind.SINGLE_FILE, signature.pipeline, path, signature.denoiser)
    raise InvalidRequest(f"{path.name} is of no architecture that single files are read of", param="model")


def _require_no_scales(path: Path, names: set[str], *, alone: bool) -> None:
    """Raise InvalidRequest if what is read of a file, the denoiser ``alone`` or all of it, is to be multiplied."""
    scales = sorted(name for name in names if name.endswith(_SCALES) and not (alone and name.startswith(_OTHER_PARTS)))
    if scales:
        raise InvalidRequest(
            f"{path.name} stores weights apart from their scales, such as {scales[0]}, which would not be read; use "
            "the model's file in bfloat16, float16, float8 without scales, or GGUF",
            param="model",
        )


def safetensors_names(path: Path) -> set[str]:
    """Tensor names from the header."""
    return _names(safetensors_header(path))


def safetensors_header(path: Path) -> dict[str, Any]:
    """Tensors by name, and ``__metadata__``: 8 bytes little-endian length, then that much JSON.

    Raises InvalidRequest for a file that has no such header.
    """
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > 100_000_000:
                raise ValueError("header too long")
            header = json.loads(stream.read(length))
        if not isinstance(header, dict):
            raise ValueError("header is no object")
    except (ValueError, struct.error) as error:
        raise InvalidRequest(f"{path.name} is not a safetensors file", param="model") from error
    return header


def _names(header: Iterable[str]) -> set[str]:
    return {name for name in header if name != "__metadata__"}


def _gguf_names(path: Path) -> set[str]:
    try:
        from gguf import GGUFReader  # type: ignore[import-not-found]
    except ImportError as error:
        raise InvalidRequest("reading .gguf files needs the package gguf: pip install gguf", param="model") from error
    return {tensor.name for tensor in GGUFReader(path).tensors}


def _looks_like_hub_id(text: str) -> bool:
    owner, slash, name = text.partition("/")
    return bool(owner and slash and name) and "/" not in name and not text.startswith((".", "~"))


def _hub_pipeline(source: ModelSource) -> str:
    import httpx2
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    name = source.source
    try:
        return _class_name(_hub_file(source), name)
    except LocalEntryNotFoundError as error:
        raise NotReady(f"{name} is not on this machine and huggingface.co cannot be reached") from error
    except GatedRepoError as error:
        raise InvalidRequest(
            f"{name} is gated: accept its licence on huggingface.co and set HF_TOKEN", param="model"
        ) from error
    except RepositoryNotFoundError as error:
        raise InvalidRequest(
            f"there is no model {name!r} on huggingface.co, or it is private", param="model"
        ) from error
    except EntryNotFoundError as error:
        raise InvalidRequest(
            f"{name} has no model_index.json and no config.json, so it is no model that can be loaded", param="model"
        ) from error
    except (OSError, httpx2.TransportError) as error:
        raise NotReady(f"{name} is not on this machine and huggingface.co cannot be reached: {error}") from error


def _hub_file(source: ModelSource) -> Path:
    """The file that names the class of a hub's model: the first that is in the cache, else the first at the hub."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    name, revision = source.source, source.revision
    for file in (INDEX, CONFIG):
        cached = try_to_load_from_cache(name, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    try:
        # Asked once and without the retries of a download: a hub that is out of reach is known at once.
        get_hf_file_metadata(hf_hub_url(name, INDEX, revision=revision), timeout=_HUB_TIMEOUT_S)
        return Path(hf_hub_download(name, INDEX, revision=revision))
    except LocalEntryNotFoundError:  # an EntryNotFoundError too, though it says that nobody could be asked
        raise
    except EntryNotFoundError:
        return Path(hf_hub_download(name, CONFIG, revision=revision))
