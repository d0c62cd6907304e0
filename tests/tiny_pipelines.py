"""Tiny random-weight pipelines of several families, made offline with tokenizers trained here.

They draw noise, but through the same code as the real ones: what they prove is that calls merge, not that they draw.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import diffusers
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

_CORPUS = ["a photo of a cat sitting on a red sofa", "the quick brown fox jumps over the lazy dog"] * 4
_QWEN_SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_CHANNELS = (8, 8, 16, 16)  # four levels: a VAE factor of 8, as real ones have


def _qwen_tokenizer() -> Any:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trained.train_from_iterator(
        _CORPUS, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    )
    model = json.loads(trained.to_str())["model"]
    vocabulary = dict(model["vocab"])
    for token in _QWEN_SPECIAL:
        vocabulary.setdefault(token, len(vocabulary))
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary, merges=merges, extra_special_tokens=_QWEN_SPECIAL[1:], model_max_length=4096
    )
    tokenizer.chat_template = _CHAT
    return tokenizer


def _clip_tokenizer() -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[], model_max_length=77)


def _t5_tokenizer() -> Any:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,.:;-'!?()"
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((c, -3.0) for c in letters)]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=512)


def _clip_config(tokenizer: Any) -> Any:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _t5_encoder(tokenizer: Any, width: int) -> Any:
    return T5EncoderModel(
        T5Config(
            vocab_size=max(len(tokenizer), 128),
            d_model=width,
            d_kv=8,
            d_ff=37,
            num_layers=2,
            num_heads=4,
            relative_attention_num_buckets=8,
            dropout_rate=0.0,
        )
    )


def _vae(latent_channels: int = 4, **options: Any) -> Any:
    return diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * len(_CHANNELS),
        up_block_types=["UpDecoderBlock2D"] * len(_CHANNELS),
        block_out_channels=list(_CHANNELS),
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=64,
        **options,
    )


def _flow_match(**options: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**options)


def qwen_image() -> Any:
    tokenizer, latents = _qwen_tokenizer(), 4
    token = tokenizer.convert_tokens_to_ids
    text = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer) + 8,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
    }
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config={"depth": 2, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16},
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        vision_token_id=token("<|vision_pad|>"),
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
    )
    return diffusers.QwenImagePipeline(
        transformer=diffusers.QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=latents,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=3,
            joint_attention_dim=16,
            axes_dims_rope=(8, 4, 4),
        ),
        vae=diffusers.AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=latents,
            dim_mult=[1, 2, 2, 2],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * latents,
            latents_std=[1.0] * latents,
        ),
        scheduler=_flow_match(use_dynamic_shifting=True, max_shift=0.9, shift_terminal=0.02),
        text_encoder=Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=tokenizer,
    )


def z_image() -> Any:
    tokenizer = _qwen_tokenizer()
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=16,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[1536, 512, 512],
    )
    with torch.no_grad():
        transformer.x_pad_token.normal_()
        transformer.cap_pad_token.normal_()
    return diffusers.ZImagePipeline(
        transformer=transformer,
        vae=_vae(16, scaling_factor=0.3611, shift_factor=0.1159),
        scheduler=_flow_match(shift=3.0),
        text_encoder=Qwen3Model(_qwen3(tokenizer, layers=3)),
        tokenizer=tokenizer,
    )


def _qwen3(tokenizer: Any, layers: int) -> Any:
    return Qwen3Config(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=len(tokenizer) + 8,
        max_position_embeddings=2048,
    )


def flux1() -> Any:
    clip, t5 = _clip_tokenizer(), _t5_tokenizer()
    return diffusers.FluxPipeline(
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            guidance_embeds=True,
            axes_dims_rope=[4, 4, 8],
        ),
        vae=_vae(shift_factor=0.0609, scaling_factor=1.5035, use_quant_conv=False, use_post_quant_conv=False),
        scheduler=_flow_match(use_dynamic_shifting=True, shift=3.0),
        text_encoder=CLIPTextModel(_clip_config(clip)),
        tokenizer=clip,
        text_encoder_2=_t5_encoder(t5, 32),
        tokenizer_2=t5,
    )


def flux2_klein() -> Any:
    tokenizer = _qwen_tokenizer()
    return diffusers.Flux2KleinPipeline(
        transformer=diffusers.Flux2Transformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=48,
            axes_dims_rope=[4, 4, 4, 4],
            guidance_embeds=False,
        ),
        vae=diffusers.AutoencoderKLFlux2(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=_CHANNELS,
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        scheduler=_flow_match(shift=1.5),
        text_encoder=Qwen3ForCausalLM(_qwen3(tokenizer, layers=4)),
        tokenizer=tokenizer,
        is_distilled=False,
    )


def _unet(**options: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        norm_num_groups=4,
        **options,
    )


_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def sdxl() -> Any:
    first, second = _clip_tokenizer(), _clip_tokenizer()
    return diffusers.StableDiffusionXLPipeline(
        unet=_unet(
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            transformer_layers_per_block=(1, 1),
            projection_class_embeddings_input_dim=80,
            cross_attention_dim=64,
        ),
        vae=_vae(),
        scheduler=diffusers.EulerDiscreteScheduler(timestep_spacing="leading", **_BETAS),
        text_encoder=CLIPTextModel(_clip_config(first)),
        tokenizer=first,
        text_encoder_2=CLIPTextModelWithProjection(_clip_config(second)),
        tokenizer_2=second,
        add_watermarker=False,
    )


def sd15() -> Any:
    tokenizer = _clip_tokenizer()
    return diffusers.StableDiffusionPipeline(
        unet=_unet(cross_attention_dim=32),
        vae=_vae(),
        scheduler=diffusers.PNDMScheduler(skip_prk_steps=True, **_BETAS),
        text_encoder=CLIPTextModel(_clip_config(tokenizer)),
        tokenizer=tokenizer,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sd3() -> Any:
    first, second, t5 = _clip_tokenizer(), _clip_tokenizer(), _t5_tokenizer()
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=32,
            patch_size=2,
            in_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=64,
            pooled_projection_dim=64,
            out_channels=4,
        ),
        vae=_vae(shift_factor=0.0609, scaling_factor=1.5035, use_quant_conv=False, use_post_quant_conv=False),
        scheduler=_flow_match(shift=3.0),
        text_encoder=CLIPTextModelWithProjection(_clip_config(first)),
        tokenizer=first,
        text_encoder_2=CLIPTextModelWithProjection(_clip_config(second)),
        tokenizer_2=second,
        text_encoder_3=_t5_encoder(t5, 64),
        tokenizer_3=t5,
    )


BUILDERS: Mapping[str, Callable[[], Any]] = {
    build.__name__: build for build in (qwen_image, z_image, flux1, flux2_klein, sdxl, sd15, sd3)
}

# What each family needs beside prompt, steps and size, guidance on wherever a family has it.
ARGUMENTS: Mapping[str, Mapping[str, object]] = {
    "qwen_image": {"negative_prompt": " ", "true_cfg_scale": 4.0},
    "z_image": {"guidance_scale": 4.0, "negative_prompt": "blurry"},
    "flux1": {"guidance_scale": 3.5, "max_sequence_length": 64},
    "flux2_klein": {"guidance_scale": 4.0, "text_encoder_out_layers": (1, 2, 3), "max_sequence_length": 32},
    "sdxl": {"guidance_scale": 5.0},
    "sd15": {"guidance_scale": 7.5},
    "sd3": {"guidance_scale": 7.0, "max_sequence_length": 64},
}


def build(family: str) -> Any:
    """A pipeline of that family, the same weights every time, ready to draw."""
    torch.manual_seed(0)
    pipeline = BUILDERS[family]()
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
