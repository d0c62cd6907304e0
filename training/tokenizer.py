"""The byte-level tokenizer: trained on captions, saved as a stock `Qwen2TokenizerFast`.

Owns the vocabulary and the chat template (trim, lower-case, end mark). Knows nothing about what captions mean.
"""

import json
import random
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import Qwen2TokenizerFast

from training.captions import caption
from training.edits import instruction, sample_edit
from training.scenes import sample_scene
from training.words import STRANGE_WORDS

PAD, END = "<|endoftext|>", "<|im_end|>"
TEMPLATE = "{% for m in messages %}{{ m['content'] | trim | lower }}{% endfor %}{{ '" + END + "' }}"
MAX_TOKENS = 48
SHORTER = (16, 24, 32)
"""Lengths of text with which the server calls the model where they hold the words."""


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """Return a tokenizer of at most `vocabulary` tokens; every byte is a token, so no text is unknown."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, "<|im_start|>", END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((text.lower() for text in texts), trainer)
    model = json.loads(bpe.to_str())["model"]
    tokenizer = Qwen2TokenizerFast(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        unk_token=None,
        bos_token=None,
        eos_token=END,
        pad_token=PAD,
        add_prefix_space=False,
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.padding_side = "right"
    tokenizer.model_max_length = MAX_TOKENS
    return tokenizer


def tokenize(tokenizer: Any, texts: list[str], extra: int = 0) -> tuple[Tensor, Tensor]:
    """Return ids and mask, (B, L) integers, as the pipeline's chat template gives them; `extra` pads on the right."""
    rows = tokenizer([text.strip().lower() + END for text in texts]).input_ids
    length = min(MAX_TOKENS, max(len(row) for row in rows) + extra)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    for index, row in enumerate(rows):
        kept = row[:length]
        ids[index, : len(kept)] = torch.tensor(kept)
        mask[index, : len(kept)] = 1
    return ids, mask


def text_length(tokenizer: Any, texts: Iterable[str]) -> int:
    """Return with which length of text the server would draw the longest of `texts`."""
    longest = max(len(row) for row in tokenizer([text.strip().lower() + END for text in texts]).input_ids)
    return next((length for length in SHORTER if longest <= length), MAX_TOKENS)


def corpus(seed: int, captions: int, edits: int) -> Iterator[str]:
    """Yield captions and instructions as the denoiser will read them, then the words that have no picture."""
    rng = random.Random(seed)
    for _ in range(captions):
        yield caption(sample_scene(rng), rng)
    for _ in range(edits):
        yield instruction(sample_edit(rng), rng)
    yield from STRANGE_WORDS
