"""Trains the decoder alone, on latents as the denoiser makes them, against clean renders.

Cached latents are noised to a small time and predicted clean again by the averaged denoiser: the decoder learns to
draw what such slightly wrong latents mean. The encoder and its statistics stay, so all latents stay valid.
"""

import logging
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from torch import Tensor
from transformers import Qwen3ForCausalLM

from training import autoencoder, checkpoint, denoiser
from training.autoencoder import is_convolution, psnr, reconstruction_loss, scene_pictures, to_unit
from training.captions import caption
from training.data import Cache, Grid, SceneRecord, stack
from training.networks import TOKEN_PX, Sizes, encode_text, latent_statistics, text_positions, unpack
from training.optim import Average, Optimisers, schedule
from training.render import render
from training.tokenizer import tokenize

log = logging.getLogger(__name__)

MAIN_SHARE = 0.6
BATCH_TOKENS = 256
CROP: Grid = (4, 4)


class Spoiler:
    """Makes latents wrong in the way the denoiser does."""

    def __init__(self, text: Qwen3ForCausalLM, model: Flux2Transformer2DModel, tokenizer: Any, device: str) -> None:
        self._text, self._model, self._tokenizer, self._device = text.to(device), model.to(device), tokenizer, device

    @torch.no_grad()
    def __call__(self, tokens: Tensor, captions: list[str], grid: Grid) -> Tensor:
        """Return (B, T, 4C) tokens: noised to a time in 0.05..0.4 and predicted clean in one step."""
        t = 0.05 + 0.35 * torch.rand(len(tokens), device=self._device)
        wide = t[:, None, None]
        noisy = (1 - wide) * tokens + wide * torch.randn_like(tokens)
        ids, mask = (x.to(self._device) for x in tokenize(self._tokenizer, captions))
        with torch.autocast(torch.device(self._device).type, torch.bfloat16):
            velocity = self._model(
                hidden_states=noisy,
                encoder_hidden_states=encode_text(self._text, ids, mask),
                timestep=t,
                img_ids=denoiser.positions(grid, 0, self._device),
                txt_ids=text_positions(ids.shape[1]).to(self._device),
                return_dict=False,
            )[0]
        clean: Tensor = noisy - wide * velocity.float()
        return clean


def pick(cache: Cache, rng: random.Random) -> tuple[Grid, list[SceneRecord]]:
    """Draw a size and records of it."""
    others = [grid for grid in cache.scenes if grid != denoiser.MAIN]
    grid = denoiser.MAIN if rng.random() < MAIN_SHARE else rng.choice(others)
    count = max(1, BATCH_TOKENS // (grid[0] * grid[1]))
    return grid, [rng.choice(cache.scenes[grid]) for _ in range(count)]


def crop_both(latents: Tensor, pictures: Tensor, rng: random.Random) -> tuple[Tensor, Tensor]:
    """Cut the same `CROP` tokens out of latents (B, C, 2R, 2K) and pictures (B, 3, 32R, 32K)."""
    row = rng.randrange(latents.shape[2] // 2 - CROP[0] + 1)
    column = rng.randrange(latents.shape[3] // 2 - CROP[1] + 1)
    parts = []
    for tensor, unit in ((latents, 2), (pictures, TOKEN_PX)):
        top, left = row * unit, column * unit
        parts.append(tensor[:, :, top : top + CROP[0] * unit, left : left + CROP[1] * unit])
    return parts[0], parts[1]


def train(
    out: Path, sizes: Sizes, tokenizer: Any, *, minutes: float, seed: int, device: str, resume: bool
) -> AutoencoderKLFlux2:
    """Train for `minutes`, write the checkpoint `out/decoder` and return the averaged autoencoder."""
    folder = out / "decoder"
    start = folder if resume and checkpoint.exists(folder) else out / "autoencoder"
    vae = autoencoder.load(start, sizes).to(device)
    vae.encoder.requires_grad_(False)
    torch.manual_seed(seed)
    rng = random.Random(seed)
    cache = Cache(out / "cache")
    cache.refresh()
    spoil = Spoiler(*denoiser.load_average(out / "denoiser", sizes), tokenizer, device)
    optimisers = Optimisers(vae.decoder.named_parameters(), is_convolution, muon_rate=3e-3, adam_rate=3e-3)
    average = Average(vae.decoder, 0.995)
    mean, deviation = latent_statistics(vae)
    started, step, recent = time.monotonic(), 0, []
    while (progress := (time.monotonic() - started) / 60 / minutes) < 1:
        grid, records = pick(cache, rng)
        rows, columns = grid
        pictures = np.stack([render(r.scene, columns * TOKEN_PX, rows * TOKEN_PX) for r in records])
        target = to_unit(pictures).to(device)
        tokens = stack([r.tokens for r in records], device)
        if rng.random() < 0.5:
            tokens = spoil(tokens, [caption(r.scene, rng) for r in records], grid)
        tokens = tokens + rng.uniform(0, 0.12) * torch.randn_like(tokens)
        latents = unpack(tokens.transpose(1, 2).reshape(len(records), -1, rows, columns) * deviation + mean)
        if progress < 0.65 and min(grid) > CROP[0]:
            latents, target = crop_both(latents, target, rng)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            output = vae.decode(latents).sample
        loss = reconstruction_loss(output.float(), target)
        optimisers.step(loss, schedule(step, progress, warm_steps=40, decay_share=0.9, floor=0.02))
        step += 1
        average.update(vae.decoder, step)
        recent.append(loss.item())
        if step % 100 == 0:
            log.info("decoder %.1f min, step %d, loss %.4f", progress * minutes, step, np.mean(recent[-100:]))
    vae.decoder.load_state_dict(average.weights)
    vae.eval()
    log.info("decoder: PSNR %.2f dB", psnr(vae, scene_pictures(48, 256, seed + 1)))
    checkpoint.save(folder, {"average": vae.state_dict()}, {"step": step, "seed": seed, "minutes": minutes})
    return vae
