"""The three networks of the embedded model, built from stock classes, and how text and positions are fed to them.

Owns the sizes of the model. Knows nothing about scenes, training or files.
"""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

TOKEN_PX = 32
"""Side, in pixels, of the square that one transformer token stands for (16x autoencoder, 2x2 patches)."""

TEXT_LAYERS = (1, 2, 3)
"""Hidden states of the text encoder that are concatenated into the prompt embedding."""

REFERENCE_SPACING = 10
"""Step of the time coordinate between reference pictures, as in ``Flux2KleinPipeline``."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths and depths of the networks; `recipe.toml` may override them."""

    latent_channels: int = 12
    encoder_channels: tuple[int, ...] = (8, 16, 32, 48, 64)
    decoder_channels: tuple[int, ...] = (16, 32, 48, 64, 96)
    vocabulary: int = 1024
    text_width: int = 128
    text_depth: int = 3
    head_width: int = 32
    heads: int = 5
    double_blocks: int = 1
    single_blocks: int = 6
    mlp_ratio: float = 3.0

    @property
    def token_width(self) -> int:
        """Numbers per transformer token: a 2x2 patch of latents."""
        return 4 * self.latent_channels


def build_autoencoder(sizes: Sizes) -> AutoencoderKLFlux2:
    """Return a fresh 16x autoencoder without attention; one normalisation group keeps flat colours flat."""
    levels = len(sizes.encoder_channels)
    vae: AutoencoderKLFlux2 = AutoencoderKLFlux2(
        block_out_channels=sizes.encoder_channels,
        decoder_block_out_channels=sizes.decoder_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        latent_channels=sizes.latent_channels,
        norm_num_groups=1,
        sample_size=256,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    for name, weight in vae.named_parameters():
        if ".conv2." in name:
            weight.data.zero_()
        elif weight.ndim == 4 and any(part in name for part in ("samplers", "shortcut", "conv_in")):
            torch.nn.init.orthogonal_(weight)
    return vae


def build_text_encoder(sizes: Sizes) -> Qwen3ForCausalLM:
    """Return a fresh causal text encoder whose prompt embedding is `3 * text_width` wide."""
    width = sizes.text_width
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=sizes.vocabulary,
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=sizes.text_depth,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=width // 4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            initializer_range=0.04,
            bos_token_id=None,
            eos_token_id=2,
            pad_token_id=0,
        )
    )


def build_denoiser(sizes: Sizes) -> Flux2Transformer2DModel:
    """Return a fresh diffusion transformer; modulation and output start at zero so that blocks start as identity."""
    axis = sizes.head_width // 4
    model: Flux2Transformer2DModel = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=sizes.token_width,
        num_layers=sizes.double_blocks,
        num_single_layers=sizes.single_blocks,
        attention_head_dim=sizes.head_width,
        num_attention_heads=sizes.heads,
        joint_attention_dim=len(TEXT_LAYERS) * sizes.text_width,
        timestep_guidance_channels=128,
        mlp_ratio=sizes.mlp_ratio,
        axes_dims_rope=(axis, axis, axis, axis),
        rope_theta=100,
        guidance_embeds=False,
    )
    for name, weight in model.named_parameters():
        if any(part in name for part in ("modulation", "norm_out.linear", "proj_out")):
            weight.data.zero_()
    return model


def encode_text(encoder: Qwen3ForCausalLM, ids: Tensor, mask: Tensor) -> Tensor:
    """Return prompt embeddings exactly as the pipeline computes them.

    `ids` and `mask` are (B, L) integers; the result is (B, L, 3 * text_width).
    """
    output: Any = encoder.model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
    stacked = torch.stack([output.hidden_states[layer] for layer in TEXT_LAYERS], 2)  # (B, L, 3, D)
    return stacked.flatten(2)


def image_positions(rows: int, columns: int, reference: int | None = None) -> Tensor:
    """Return the (rows * columns, 4) position ids of a picture; `reference` counts reference pictures from 0."""
    time = 0 if reference is None else REFERENCE_SPACING * (1 + reference)
    return torch.cartesian_prod(torch.tensor([time]), torch.arange(rows), torch.arange(columns), torch.arange(1))


def text_positions(length: int) -> Tensor:
    """Return the (length, 4) position ids of a prompt."""
    return torch.cartesian_prod(torch.arange(1), torch.arange(1), torch.arange(1), torch.arange(length))


def latent_statistics(vae: AutoencoderKLFlux2) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of patchified latents, each (1, 4C, 1, 1), as the pipeline reads them."""
    mean = vae.bn.running_mean.view(1, -1, 1, 1)
    deviation = (vae.bn.running_var + vae.config.batch_norm_eps).sqrt().view(1, -1, 1, 1)
    return mean, deviation


def pack(latents: Tensor) -> Tensor:
    """Turn (B, C, H, W) latents into (B, 4C, H/2, W/2) patches."""
    b, c, h, w = latents.shape
    return latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(b, 4 * c, h // 2, w // 2)


def unpack(patches: Tensor) -> Tensor:
    """Undo `pack`."""
    b, c, h, w = patches.shape
    return patches.reshape(b, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(b, c // 4, 2 * h, 2 * w)


def to_tokens(vae: AutoencoderKLFlux2, pictures: Tensor) -> Tensor:
    """Encode pictures (B, 3, H, W) in [-1, 1] into normalised tokens (B, H*W/1024, 4C)."""
    mean, deviation = latent_statistics(vae)
    latents = vae.encode(pictures).latent_dist.mean.float()
    return ((pack(latents) - mean) / deviation).flatten(2).transpose(1, 2)


def to_latents(vae: AutoencoderKLFlux2, tokens: Tensor, rows: int, columns: int) -> Tensor:
    """Turn normalised tokens (B, rows * columns, 4C) into latents the decoder reads."""
    mean, deviation = latent_statistics(vae)
    grid = tokens.transpose(1, 2).reshape(len(tokens), -1, rows, columns)
    return unpack(grid * deviation + mean)
