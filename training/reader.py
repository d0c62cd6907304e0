"""The reader: a picture in, its canonical caption out. A convolutional transformer encoder and a small GPT-2 decoder.

Saved as a stock `VisionEncoderDecoderModel` with image processor and tokenizer. Owns the networks and their training.
"""

import logging
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    SegformerConfig,
    SegformerModel,
    VisionEncoderDecoderModel,
)
from transformers.models.donut.image_processing_pil_donut import DonutImageProcessorPil

from training import checkpoint
from training.drawn import Drawn, sketch_picture
from training.optim import Average, Optimisers, schedule
from training.reader_pictures import degrade, seen_picture
from training.reader_words import UNKNOWN, say, vocabulary
from training.render import Picture

log = logging.getLogger(__name__)
SIDE_PX = 96
"""Side of the square that the reader sees: at 128 a step takes nearly twice the time."""
PAD, START, END = 0, 1, 2
SPECIAL = ("<pad>", "<s>", "</s>")
MAX_WORDS = 32


def make_tokenizer() -> Any:
    """Return the tokenizer: every word of the grammar is a token."""
    words = {word: index for index, word in enumerate((*SPECIAL, *vocabulary()))}
    model = Tokenizer(models.WordLevel(words, unk_token=UNKNOWN))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    # "unknown" is a caption like any other, so it is not declared as a special token, which decoding would drop.
    return PreTrainedTokenizerFast(tokenizer_object=model, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def make_processor() -> Any:
    """Return the image processor: scaled to fit and set on black, so that circles stay circles."""
    return DonutImageProcessorPil(
        size={"height": SIDE_PX, "width": SIDE_PX}, image_mean=[0.5] * 3, image_std=[0.5] * 3, do_align_long_axis=False
    )


def build(width: int = 192, depths: tuple[int, int, int] = (1, 2, 3), decoder_depth: int = 2) -> Any:
    """Return an untrained reader; `width` is the hidden size of the last encoder stage and of the decoder."""
    encoder = SegformerConfig(
        num_encoder_blocks=3,
        depths=list(depths),
        sr_ratios=[4, 2, 1],
        hidden_sizes=[width // 6, width // 3, width],
        patch_sizes=[7, 3, 3],
        strides=[4, 2, 2],
        num_attention_heads=[1, 2, width // 32],
        mlp_ratios=[3, 3, 3],
        hidden_dropout_prob=0.0,
        drop_path_rate=0.0,
        reshape_last_stage=False,
        hidden_size=width,
    )
    decoder = GPT2Config(
        vocab_size=len(SPECIAL) + len(vocabulary()),
        n_positions=MAX_WORDS,
        n_embd=width,
        n_layer=decoder_depth,
        n_head=width // 32,
        n_inner=3 * width,
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=START,
        eos_token_id=END,
        pad_token_id=PAD,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = VisionEncoderDecoderModel(encoder=SegformerModel(encoder), decoder=GPT2LMHeadModel(decoder))
    model.encoder.set_attn_implementation("eager")  # faster here than the fused kernels, whose backward is slow
    model.decoder.set_attn_implementation("eager")
    for config in (model.config, model.generation_config):
        config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = START, PAD, END
    model.generation_config.max_length = MAX_WORDS
    return model


def fit(picture: Picture) -> Picture:
    """Return the picture as `make_processor` scales and pads it: (SIDE_PX, SIDE_PX, 3) bytes."""
    image = Image.fromarray(picture)
    scale = SIDE_PX / max(image.size)
    small = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR)
    whole = Image.new("RGB", (SIDE_PX, SIDE_PX))
    whole.paste(small, ((SIDE_PX - small.width) // 2, (SIDE_PX - small.height) // 2))
    return np.asarray(whole)


def pixels(pictures: list[Picture]) -> Tensor:
    """Return (B, 3, SIDE_PX, SIDE_PX) floats in [-1, 1]."""
    return torch.from_numpy(np.stack([fit(p) for p in pictures])).permute(0, 3, 1, 2).float() / 127.5 - 1


def labels(tokenizer: Any, captions: list[str]) -> Tensor:
    """Return the captions' tokens with their end marks, (B, L) integers, padded with -100."""
    rows = [[*tokenizer(text).input_ids, END] for text in captions]
    found = torch.full((len(rows), max(map(len, rows))), -100)
    for row, target in zip(rows, found, strict=True):
        target[: len(row)] = torch.tensor(row)
    return found


def examples(rng: random.Random, drawn: Drawn, count: int, drawn_share: float) -> tuple[list[Picture], list[str]]:
    """Draw pictures with captions; `drawn_share` of them are sketch's, if there are any."""
    pictures, captions = [], []
    for _ in range(count):
        if drawn.records and rng.random() < drawn_share:
            record = sketch_picture(drawn, rng)
            pictures.append(degrade(record.picture, rng) if rng.random() < 0.4 else record.picture)
            captions.append(say(record.scene))
        else:
            picture, scene = seen_picture(rng, SIDE_PX)
            pictures.append(picture)
            captions.append(UNKNOWN if scene is None else say(scene))
    return pictures, captions


def is_matrix(name: str, weight: nn.Parameter) -> bool:
    """Tell which weights Muon trains: matrices and full convolutions inside blocks."""
    if "wte" in name or "wpe" in name or "lm_head" in name or "patch_embeddings.0" in name:
        return False
    return weight.ndim == 2 or (weight.ndim == 4 and weight.shape[1] > 1)


def train(
    out: Path,
    *,
    minutes: float,
    seed: int,
    batch: int,
    width: int,
    drawn_share: float,
    drawn: Path,
    device: str,
    resume: bool,
) -> None:
    """Train for `minutes` in all and keep a checkpoint in `out`, written every two minutes."""
    torch.manual_seed(seed)
    model = build(width).to(device)
    optimisers = Optimisers(model.named_parameters(), is_matrix, muon_rate=3e-3, adam_rate=2e-3, decay=0.01)
    average = Average(model, 0.998)
    step, spent_s = 0, 0.0
    if resume and checkpoint.exists(out):
        parts, state = checkpoint.load(out)
        model.load_state_dict(parts["model"])
        average.weights = {name: value.to(device) for name, value in parts["average"].items()}
        optimisers.load(parts["moments"])
        step, spent_s = state["step"], state["spent_s"]
    rng, tokenizer, pool = random.Random(f"reader {seed} {step}"), make_tokenizer(), Drawn(drawn)
    recent: list[float] = []
    last = saved = time.monotonic()
    while spent_s < 60 * minutes:
        progress = spent_s / 60 / minutes
        if step % 200 == 0:
            pool.refresh()
        pictures, captions = examples(rng, pool, batch, drawn_share)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            seen = pixels(pictures).to(device)
            found = model(pixel_values=seen, labels=labels(tokenizer, captions).to(device))
        optimisers.step(found.loss.float(), schedule(step, progress, warm_steps=60, decay_share=0.6, floor=0.02))
        step += 1
        average.update(model, step)
        recent.append(found.loss.item())
        now = time.monotonic()
        spent_s, last = spent_s + now - last, now
        if step % 100 == 0:
            log.info("reader %.1f min, step %d, loss %.4f", spent_s / 60, step, np.mean(recent[-100:]))
        if now - saved > 120:
            save(out, model, average, optimisers, {"step": step, "spent_s": spent_s, "seed": seed, "width": width})
            saved = now
    save(out, model, average, optimisers, {"step": step, "spent_s": spent_s, "seed": seed, "width": width})


def save(out: Path, model: Any, average: Average, optimisers: Optimisers, state: dict[str, Any]) -> None:
    """Write weights, their averages and the moments."""
    parts = {"model": model.state_dict(), "average": average.weights, "moments": optimisers.tensors()}
    checkpoint.save(out, parts, state)


def unpack(model: Path, out: Path, *, seed: int, minutes: float) -> None:
    """Write to `out` the checkpoint that the exported `model` was made of, as if after `minutes`; the optimisers begin
    anew."""
    exported = VisionEncoderDecoderModel.from_pretrained(model, dtype=torch.float32)
    weights, width = exported.state_dict(), exported.config.decoder.n_embd
    state = {"step": 0, "spent_s": 60 * minutes, "seed": seed, "width": width}
    checkpoint.save(out, {"model": weights, "average": weights, "moments": {}}, state)


def load_average(folder: Path) -> Any:
    """Return the reader with the averaged weights of a checkpoint."""
    parts, state = checkpoint.load(folder)
    model = build(state["width"])
    model.load_state_dict(parts["average"])
    return model.eval()


@torch.no_grad()
def read(model: Any, tokenizer: Any, pictures: list[Picture], batch: int = 64) -> list[str]:
    """Return what the reader says about each picture."""
    captions: list[str] = []
    for start in range(0, len(pictures), batch):
        found = model.generate(
            pixel_values=pixels(pictures[start : start + batch]).to(model.device), max_length=MAX_WORDS, do_sample=False
        )
        captions += [text.strip() for text in tokenizer.batch_decode(found, skip_special_tokens=True)]
    return captions
