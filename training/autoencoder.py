"""Trains the autoencoder: encoder and decoder together first, later the decoder alone on the same latents.

The loss is L1 + squares + gradients, without KL: latents are normalised by stored statistics instead. Noise on the
latents during training makes the decoder forgive small errors of the denoiser.
"""

import logging
import random
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn

from training import checkpoint
from training.networks import Sizes, build_autoencoder, pack
from training.optim import Average, Optimisers, schedule
from training.render import render
from training.scenes import sample_scene

log = logging.getLogger(__name__)

Pictures = NDArray[np.uint8]  # (N, H, W, 3)


def scene_pictures(count: int, size_px: int, seed: int) -> Pictures:
    """Render `count` training scenes."""
    rng = random.Random(seed)
    return np.stack([render(sample_scene(rng), size_px) for _ in range(count)])


def foreign_pictures(count: int, size_px: int, seed: int) -> Pictures:
    """Return blurred noise under random polygons, so that pictures from elsewhere survive encoding too."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        cells = int(rng.choice((2, 3, 5, 9)))
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        image = noise.resize((size_px, size_px), Image.Resampling.BICUBIC)
        draw = ImageDraw.Draw(image)
        for _ in range(rng.integers(0, 6)):
            corners = [(int(x), int(y)) for x, y in rng.integers(0, size_px, (rng.integers(3, 6), 2))]
            draw.polygon(corners, fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
        pictures.append(np.asarray(image))
    return np.stack(pictures)


def to_unit(pictures: Pictures | Tensor) -> Tensor:
    """Turn (N, H, W, 3) bytes into (N, 3, H, W) floats in [-1, 1]."""
    return torch.as_tensor(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Return L1 + MSE + half the L1 of the differences between neighbours; both are (B, 3, H, W)."""
    error = output - target
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean() + error.pow(2).mean() + 0.5 * (across + down)


def is_convolution(name: str, weight: nn.Parameter) -> bool:
    """Tell which weights Muon trains."""
    return weight.ndim == 4 and "conv_in" not in name


def crop_plan(progress: float) -> tuple[int, int]:
    """Return batch size and crop side in pixels: small crops first, whole pictures at the end."""
    if progress < 0.55:
        return 16, 64
    return (6, 128) if progress < 0.8 else (2, 256)


def draw_crops(pictures: Tensor, rng: np.random.Generator, batch: int, side: int) -> Tensor:
    """Return `batch` random crops (B, 3, side, side) in [-1, 1], flipped and with permuted channels at times."""
    span = pictures.shape[1] - side
    crops = []
    for index in rng.integers(0, len(pictures), batch):
        top, left = rng.integers(0, span + 1, 2)
        crop = pictures[index, top : top + side, left : left + side]
        if rng.random() < 0.5:
            crop = crop.flip(1)
        if rng.random() < 0.25:
            crop = crop[..., torch.from_numpy(rng.permutation(3))]
        crops.append(crop)
    return to_unit(torch.stack(crops))


def train(out: Path, sizes: Sizes, *, minutes: float, seed: int, device: str, resume: bool) -> AutoencoderKLFlux2:
    """Train encoder and decoder for `minutes`, write a checkpoint to `out` and return the averaged model."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    vae = build_autoencoder(sizes).to(device)
    step = 0
    if resume and checkpoint.exists(out):
        parts, state = checkpoint.load(out)
        vae.load_state_dict(parts["average"])
        step = state["step"]
    optimisers = Optimisers(vae.named_parameters(), is_convolution, muon_rate=5e-3, adam_rate=5e-3)
    average = Average(vae, 0.995)
    pictures = torch.from_numpy(np.concatenate([scene_pictures(4000, 256, seed), foreign_pictures(400, 256, seed)]))
    recent: list[float] = []
    started, taken = time.monotonic(), 0
    while (progress := (time.monotonic() - started) / 60 / minutes) < 1:
        batch, side = crop_plan(progress)
        target = draw_crops(pictures, rng, batch, side).to(device)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            mean = vae.encode(target).latent_dist.mean
        mean = mean.float()
        spread = mean.std((0, 2, 3), keepdim=True).detach().clamp_min(1e-3)
        latents = mean + float(rng.uniform(0, 0.3)) * spread * torch.randn_like(mean)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            output = vae.decode(latents).sample
        loss = reconstruction_loss(output.float(), target) + 1e-4 * mean.pow(2).mean()
        optimisers.step(loss, schedule(taken, progress, warm_steps=20, decay_share=1.0, floor=0.02))
        step, taken = step + 1, taken + 1
        average.update(vae, taken)
        recent.append(loss.item())
        if step % 200 == 0:
            log.info("autoencoder %.1f min, step %d, loss %.4f", progress * minutes, step, np.mean(recent[-200:]))
    vae.load_state_dict(average.weights)
    vae.eval()
    measure_latents(vae, pictures[:3000])
    log.info("autoencoder: PSNR %.2f dB", psnr(vae, scene_pictures(48, 256, seed + 1)))
    checkpoint.save(out, {"average": vae.state_dict()}, {"step": step, "seed": seed, "minutes": minutes})
    return vae


@torch.no_grad()
def measure_latents(vae: AutoencoderKLFlux2, pictures: Tensor) -> None:
    """Store mean and variance of patchified latents in the model's batch-norm buffers."""
    found = []
    for batch in torch.split(pictures, 50):
        with torch.autocast(vae.device.type, torch.bfloat16):
            mean = vae.encode(to_unit(batch).to(vae.device)).latent_dist.mean
        found.append(pack(mean.float()))
    latents = torch.cat(found)
    vae.bn.running_mean.copy_(latents.mean((0, 2, 3)))
    vae.bn.running_var.copy_(latents.var((0, 2, 3)))


@torch.no_grad()
def psnr(vae: AutoencoderKLFlux2, pictures: Pictures) -> float:
    """Return the mean peak signal-to-noise ratio, in dB, of reconstructions."""
    ratios = []
    for picture in pictures:
        target = to_unit(picture[None]).to(vae.device)
        output = vae.decode(vae.encode(target).latent_dist.mean).sample.clamp(-1, 1)
        ratios.append(10 * torch.log10(4 / (output - target).pow(2).mean()).item())
    return float(np.mean(ratios))


def load(folder: Path, sizes: Sizes) -> AutoencoderKLFlux2:
    """Return the autoencoder saved in `folder`, ready to use."""
    parts, _ = checkpoint.load(folder)
    vae = build_autoencoder(sizes)
    vae.load_state_dict(parts["average"])
    return vae.eval()
