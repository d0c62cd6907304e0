"""Writes the networks as standard directories of 16-bit weights: a `Flux2KleinPipeline`, and single models.

`unpack` goes the other way, so that training can go on where there are no checkpoints but the exported model.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline, Flux2Transformer2DModel
from transformers import Qwen3ForCausalLM

from training import checkpoint

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


def unpack(model: Path, out: Path, *, minutes: float) -> None:
    """Write to `out` the tokenizer and the checkpoints that `export` made `model` of, as if after `minutes`.

    The optimisers begin anew, and weights are as exact as the export: 16 bits.
    """
    pipeline = Flux2KleinPipeline.from_pretrained(model, dtype=torch.float32)
    pipeline.tokenizer.save_pretrained(out / "tokenizer")
    checkpoint.save(out / "autoencoder", {"average": pipeline.vae.state_dict()}, {"step": 0, "minutes": 0})
    text = {k: v for k, v in pipeline.text_encoder.state_dict().items() if k != "lm_head.weight"}
    denoiser = pipeline.transformer.state_dict()
    parts: checkpoint.Parts = {"text": text, "text_average": text, "denoiser": denoiser, "denoiser_average": denoiser}
    state = {"step": 0, "minutes": minutes, "seen": {}}
    checkpoint.save(out / "denoiser", {**parts, "moments": {}}, state)


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
