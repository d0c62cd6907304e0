"""Writes the networks as standard directories of 16-bit weights: a `Flux2KleinPipeline`, and single models."""

import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline, Flux2Transformer2DModel
from transformers import Qwen3ForCausalLM

SHIFT = 3.0
"""Timestep shift of the scheduler; fixed, so that step counts mean the same at every size."""

SIZE_LIMIT_BYTES = 20_000_000
WORDS_LIMIT_BYTES = 10_000_000
"""Largest size of the reader and of the grounder."""


def export(
    out: Path,
    *,
    vae: AutoencoderKLFlux2,
    text_encoder: Qwen3ForCausalLM,
    tokenizer: Any,
    denoiser: Flux2Transformer2DModel,
) -> int:
    """Save a bf16 pipeline to `out`, replacing each file by rename, and return its size in bytes.

    Raises ValueError when the result is larger than `SIZE_LIMIT_BYTES`.
    """
    beside = out.with_name(f".{out.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    pipeline = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=vae.to(torch.bfloat16),
        text_encoder=text_encoder.to(torch.bfloat16),
        tokenizer=tokenizer,
        transformer=denoiser.to(torch.bfloat16),
    )
    pipeline.save_pretrained(beside)
    return replace_folder(out, beside, SIZE_LIMIT_BYTES)


def export_model(out: Path, *, model: Any, tokenizer: Any, processor: Any) -> int:
    """Save a model in bf16 with its tokenizer and image processor to `out` and return the size in bytes.

    Raises ValueError when the result is larger than `WORDS_LIMIT_BYTES`.
    """
    beside = out.with_name(f".{out.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    for part in (model.to(torch.bfloat16), tokenizer, processor):
        part.save_pretrained(beside)
    return replace_folder(out, beside, WORDS_LIMIT_BYTES)


def replace_folder(out: Path, beside: Path, limit_bytes: int) -> int:
    """Move every file of `beside` to its place in `out`, one rename each; return their size in bytes.

    Raises ValueError, and moves nothing, when they are larger than `limit_bytes`.
    """
    files = [path for path in beside.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    if size > limit_bytes:
        raise ValueError(f"{beside}: {size} bytes, {limit_bytes} allowed")
    for path in files:
        target = out / path.relative_to(beside)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.chmod(0o644)
        path.replace(target)
    shutil.rmtree(beside)
    return size
