"""Tiny models of the real classes, saved as they are published."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    PreTrainedTokenizerFast,
    SwinConfig,
    ViTImageProcessorPil,
)

SIDE = 32
WORDS = ["<pad>", "<unk>", "<bos>", "<eos>", ".", "the", "red", "blue", "circle", "subject", "background"]


def tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """Whole words, lower case, between a beginning and an end."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordLevel

    known = {word: number for number, word in enumerate(WORDS)}
    made = Tokenizer(WordLevel(known, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing("<bos> $A <eos>", None, [("<bos>", 2), ("<eos>", 3)])
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>", **special}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def clipseg(folder: Path) -> CLIPSegForImageSegmentation:
    """A model of 32-pixel pictures that answers 0 everywhere until its last layer's bias is changed."""
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPSegConfig(
        text_config={**small, "vocab_size": len(WORDS), "max_position_embeddings": 8, "eos_token_id": 3},
        vision_config={**small, "image_size": SIDE, "patch_size": 8},
        projection_dim=16,
        extract_layers=[0, 1],
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    model = CLIPSegForImageSegmentation(config)
    save(model, folder, tokenizer(), ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}))
    return model


def grounding_dino(folder: Path) -> GroundingDinoForObjectDetection:
    torch.manual_seed(0)
    backbone = SwinConfig(
        image_size=SIDE, patch_size=2, embed_dim=8, depths=[1, 1, 1], num_heads=[1, 2, 2], window_size=2,
        out_features=["stage2", "stage3"],
    )  # fmt: skip
    text = {
        "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "vocab_size": len(WORDS), "max_position_embeddings": 64,
    }  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=backbone, text_config=text, d_model=32, num_queries=4, encoder_layers=1, decoder_layers=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2,
        num_feature_levels=2, encoder_n_points=2, decoder_n_points=2, max_text_len=16,
    )  # fmt: skip
    model = GroundingDinoForObjectDetection(config)
    from transformers import GroundingDinoImageProcessorPil

    processor = GroundingDinoImageProcessorPil(size={"shortest_edge": SIDE, "longest_edge": SIDE})
    save(model, folder, tokenizer(), processor)
    return model


def save(model: Any, folder: Path, *parts: Any) -> None:
    for part in (model, *parts):
        part.save_pretrained(folder)
