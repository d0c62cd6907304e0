"""The grounder: a picture and words in, the mask of what the words name out. CLIPSeg classes, trained from nothing.

Saved as a stock `CLIPSegForImageSegmentation` with image processor and tokenizer. Owns the network and its training.
"""

import logging
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, PreTrainedTokenizerFast
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from training import checkpoint
from training.drawn import Drawn, sketch_picture
from training.grounder_words import BACKGROUND, SUBJECT, Example, Mask, absent_words, covers, example, thing_words
from training.optim import Average, Optimisers, schedule
from training.palette import BACKGROUNDS
from training.reader_pictures import copy_badly, foreign_picture, sample_seen, sample_size, wobble
from training.render import Picture, render
from training.scenes import KINDS, Scene, sample_scene
from training.words import STRANGE_WORDS

log = logging.getLogger(__name__)
SIDE_PX = 192
PATCH_PX = 16
PAD, START, UNKNOWN, END = 0, 1, 2, 3
SPECIAL = ("<pad>", "<s>", "<unk>", "</s>")
MAX_TOKENS = 48
GRID = SIDE_PX // PATCH_PX
UNHINTED = -100
COLOR_NAMES = tuple(BACKGROUNDS)
HINTS = (len(KINDS) + 1, len(COLOR_NAMES) + 1)


def make_tokenizer(seed: int, vocabulary: int = 640) -> Any:
    """Train the tokenizer on the phrases: lower-cased byte-level BPE, so that no word is unknown."""
    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Strip()])
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(phrases(seed), trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", START), ("</s>", END)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=MAX_TOKENS,
    )


def phrases(seed: int) -> list[str]:
    """Return phrases as training draws them, for the tokenizer."""
    rng = random.Random(f"phrases {seed}")
    found = [*SUBJECT * 20, *BACKGROUND * 20, *STRANGE_WORDS]
    for _ in range(8000):
        scene = sample_scene(rng)
        found.append(thing_words(rng, scene)[0] if scene.things else absent_words(rng, scene))
    return found


def make_processor() -> Any:
    """Return the image processor: any picture squashed to a square."""
    size = {"height": SIDE_PX, "width": SIDE_PX}
    return ViTImageProcessorPil(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3, resample=2)


def build(width: int = 160, depth: int = 4, reduced: int = 64, vocabulary: int = 640) -> Any:
    """Return an untrained grounder of `depth` vision layers of `width`, with a decoder of width `reduced`."""
    text = {
        "vocab_size": vocabulary,
        "hidden_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 288,
        "max_position_embeddings": MAX_TOKENS,
        "pad_token_id": PAD,
        "bos_token_id": START,
        "eos_token_id": END,
    }
    vision = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": width // 32,
        "intermediate_size": 3 * width,
        "image_size": SIDE_PX,
        "patch_size": PATCH_PX,
    }
    config = CLIPSegConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=128,
        reduce_dim=reduced,
        extract_layers=list(range(depth - 3, depth)),
        conditional_layer=0,
        decoder_num_attention_heads=reduced // 32,
        decoder_intermediate_size=4 * reduced,
        use_complex_transposed_convolution=True,
    )
    model = CLIPSegForImageSegmentation(config)
    temper(model.decoder)
    model.set_attn_implementation("eager")  # faster here than the fused kernels, whose backward is slow
    for layer in model.decoder.layers:
        layer.self_attn.config._attn_implementation = "eager"
    return model


def temper(decoder: nn.Module) -> None:
    """Scale the decoder's first and last layers to outputs of unit size; the class draws them far too large."""
    for name, weight in decoder.named_parameters():
        if not name.startswith("layers") and weight.ndim >= 2:
            inputs = weight[0].numel() if name.startswith(("film", "reduces")) else weight.shape[0] * 9
            nn.init.normal_(weight, std=inputs**-0.5)


def forward(model: Any, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits (B*K, SIDE_PX, SIDE_PX) for K words per picture, and what the vision model made of its patches.

    The class's own forward trains only its decoder. The patches are (B, GRID * GRID, width).
    """
    repeats = len(input_ids) // len(pixel_values)
    hidden = model.clip.vision_model(pixel_values, output_hidden_states=True).hidden_states
    activations = [hidden[i + 1].repeat_interleave(repeats, 0) for i in model.extract_layers]
    words = model.clip.get_text_features(input_ids, attention_mask=attention_mask).pooler_output
    return model.decoder(activations, words).logits, hidden[-1][:, 1:]


def squash(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture or mask scaled to the square that the model reads."""
    if picture.shape[:2] == (SIDE_PX, SIDE_PX):
        return picture
    return np.asarray(Image.fromarray(picture).resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR))


@dataclass(frozen=True, slots=True)
class Lesson:
    """A picture, words with their masks, and the kind and colour of what each patch shows: (2, GRID, GRID) integers.

    Kind and colour are 0 for the background and -100 where it is not known what a patch shows.
    """

    picture: Picture
    examples: list[Example]
    hints: NDArray[np.int64]


def hints_of(scene: Scene, masks: list[Mask]) -> NDArray[np.int64]:
    """Return the hints for a scene whose things have `masks`."""
    found = np.zeros((2, GRID, GRID), np.int64)
    for thing, mask in zip(scene.things, masks, strict=True):
        share = np.asarray(Image.fromarray(mask).resize((GRID, GRID), Image.Resampling.BOX))
        color = COLOR_NAMES.index(thing.color) + 1 if thing.color else UNHINTED
        found[:, share > 0.3] = np.array([[KINDS.index(thing.kind) + 1], [color]])
    return found


def scene_lesson(rng: random.Random, scene: Scene, count: int) -> Lesson:
    """Draw a scene, sometimes by an unsteady hand, and words with their masks."""
    width, height = sample_size(rng, SIDE_PX)
    picture, masks = render(scene, width, height), covers(scene, width, height)
    found = [example(rng, scene, masks, (height, width)) for _ in range(count)]
    layers = [picture, *((e.mask[..., None] * 255).astype(np.uint8) for e in found)]
    if rng.random() < 0.35:
        stack = wobble(np.concatenate(layers, -1), rng)
        layers = [stack[..., :3], *(stack[..., i : i + 1] for i in range(3, 3 + count))]
    picture = copy_badly(np.ascontiguousarray(layers[0]), rng) if rng.random() < 0.6 else layers[0]
    examples = [
        Example(e.words, squash(np.ascontiguousarray(m[..., 0])).astype(np.float32) / np.float32(255))
        for e, m in zip(found, layers[1:], strict=True)
    ]
    return Lesson(squash(np.ascontiguousarray(picture)), examples, hints_of(scene, masks))


def drawn_lesson(rng: random.Random, drawn: Drawn, count: int) -> Lesson | None:
    """Take one of sketch's pictures with a known mask, and words; None for one without."""
    record = sketch_picture(drawn, rng)
    if record.faithful:
        masks = covers(record.scene, SIDE_PX, SIDE_PX)
    elif record.subject is not None:
        masks = [record.subject.astype(np.float32)]
    else:
        return None
    examples = [example(rng, record.scene, masks, (SIDE_PX, SIDE_PX)) for _ in range(count)]
    return Lesson(record.picture, examples, hints_of(record.scene, masks))


def foreign_lesson(rng: random.Random, count: int) -> Lesson:
    """Draw a picture that is no scene, and words for things that are not in it."""
    scene = sample_scene(rng)
    nothing = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    words = [thing_words(rng, scene)[0] if scene.things else absent_words(rng, scene) for _ in range(count)]
    unhinted = np.full((2, GRID, GRID), UNHINTED, np.int64)
    return Lesson(foreign_picture(rng, SIDE_PX, SIDE_PX), [Example(text, nothing) for text in words], unhinted)


def draw_lesson(rng: random.Random, drawn: Drawn, count: int, drawn_share: float) -> Lesson:
    """Draw one picture with `count` words and masks; two in five show several things, so that words must choose."""
    crowded = rng.random() < 0.4
    if rng.random() < 0.04:
        return foreign_lesson(rng, count)
    if drawn.records and rng.random() < drawn_share and (found := drawn_lesson(rng, drawn, count)) is not None:
        return found
    scene = sample_seen(rng)
    while crowded and len(scene.things) < 2:
        scene = sample_seen(rng)
    return scene_lesson(rng, scene, count)


def loss_of(logits: Tensor, masks: Tensor) -> Tensor:
    """Return cross entropy plus the Dice loss of masks that are not empty; both are (B, H, W)."""
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, masks)
    found = logits.sigmoid()
    both, whole = (found * masks).sum((1, 2)), found.sum((1, 2)) + masks.sum((1, 2))
    dice = 1 - (2 * both + 20) / (whole + 20)
    return entropy + 0.3 * dice.mean()


def hint_loss(guesses: Tensor, hints: Tensor) -> Tensor:
    """Return the cross entropy of guessed kinds and colours of patches; the background counts little.

    `guesses` is (B, GRID * GRID, kinds + colours), `hints` (B, 2, GRID, GRID).
    """
    total = guesses.new_zeros(())
    for part, truth in zip(torch.split(guesses, list(HINTS), -1), hints.flatten(2).unbind(1), strict=True):
        weight = torch.ones(part.shape[-1], device=part.device)
        weight[0] = 0.1
        total = total + nn.functional.cross_entropy(part.flatten(0, 1), truth.flatten(), weight, ignore_index=UNHINTED)
    return total


def is_matrix(name: str, weight: nn.Parameter) -> bool:
    """Tell which weights Muon trains: the matrices inside blocks."""
    return weight.ndim == 2 and "embedding" not in name and not name.startswith("hints")


def pixels(pictures: list[Picture]) -> Tensor:
    """Return (B, 3, SIDE_PX, SIDE_PX) floats in [-1, 1]."""
    return torch.from_numpy(np.stack([squash(p) for p in pictures])).permute(0, 3, 1, 2).float() / 127.5 - 1


def train(
    out: Path,
    *,
    minutes: float,
    seed: int,
    batch: int,
    words: int,
    width: int,
    drawn_share: float,
    drawn: Path,
    device: str,
    resume: bool,
) -> None:
    """Train for `minutes` in all on `batch` pictures a step with `words` phrases each; write a checkpoint to `out`."""
    torch.manual_seed(seed)
    model, tokenizer = build(width).to(device), make_tokenizer(seed)
    guess = nn.Linear(width, sum(HINTS)).to(device)
    named = [*model.named_parameters(), *((f"hints.{name}", p) for name, p in guess.named_parameters())]
    optimisers = Optimisers(named, is_matrix, muon_rate=3e-3, adam_rate=1.5e-3, decay=0.01)
    average = Average(model, 0.995)
    step, spent_s = 0, 0.0
    if resume and checkpoint.exists(out):
        parts, state = checkpoint.load(out)
        model.load_state_dict(parts["model"])
        guess.load_state_dict(parts["hints"])
        average.weights = {name: value.to(device) for name, value in parts["average"].items()}
        optimisers.load(parts["moments"])
        step, spent_s = state["step"], state["spent_s"]
    rng, pool = random.Random(f"grounder {seed} {step}"), Drawn(drawn)
    recent: list[tuple[float, float]] = []
    last = saved = time.monotonic()
    while spent_s < 60 * minutes:
        progress = spent_s / 60 / minutes
        if step % 200 == 0:
            pool.refresh()
        lessons = [draw_lesson(rng, pool, words, drawn_share) for _ in range(batch)]
        text = tokenizer([e.words for lesson in lessons for e in lesson.examples], padding=True, return_tensors="pt")
        masks = torch.from_numpy(np.stack([e.mask for lesson in lessons for e in lesson.examples])).to(device)
        hints = torch.from_numpy(np.stack([lesson.hints for lesson in lessons])).to(device)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            seen = pixels([lesson.picture for lesson in lessons]).to(device)
            logits, patches = forward(model, seen, text.input_ids.to(device), text.attention_mask.to(device))
            guesses = guess(nn.functional.layer_norm(patches, patches.shape[-1:]))
        loss, hinted = loss_of(logits.float(), masks), hint_loss(guesses.float(), hints)
        optimisers.step(loss + 0.2 * hinted, schedule(step, progress, warm_steps=60, decay_share=0.6, floor=0.02))
        step += 1
        average.update(model, step)
        recent.append((loss.item(), hinted.item()))
        now = time.monotonic()
        spent_s, last = spent_s + now - last, now
        if step % 100 == 0:
            now_lost = np.mean(recent[-100:], 0)
            log.info("grounder %.1f min, step %d, loss %.4f, hints %.3f", spent_s / 60, step, *now_lost)
        if now - saved > 120:
            state = {"step": step, "spent_s": spent_s, "seed": seed, "width": width}
            checkpoint.save(out, parts_of(model, guess, average, optimisers), state)
            saved = now
    state = {"step": step, "spent_s": spent_s, "seed": seed, "width": width}
    checkpoint.save(out, parts_of(model, guess, average, optimisers), state)


def parts_of(model: Any, guess: nn.Linear, average: Average, optimisers: Optimisers) -> checkpoint.Parts:
    """Return what a checkpoint keeps: weights, their averages and the moments."""
    weights = {"model": model.state_dict(), "hints": guess.state_dict(), "average": average.weights}
    return {**weights, "moments": optimisers.tensors()}


def unpack(model: Path, out: Path, *, seed: int, minutes: float) -> None:
    """Write to `out` the checkpoint that the exported `model` was made of, as if after `minutes`; the optimisers and
    the layer that is thrown away begin anew."""
    exported = CLIPSegForImageSegmentation.from_pretrained(model, dtype=torch.float32)
    weights, width = exported.state_dict(), exported.config.vision_config.hidden_size
    hints = nn.Linear(width, sum(HINTS)).state_dict()
    state = {"step": 0, "spent_s": 60 * minutes, "seed": seed, "width": width}
    checkpoint.save(out, {"model": weights, "average": weights, "hints": hints, "moments": {}}, state)


def load_average(folder: Path) -> tuple[Any, Any]:
    """Return the grounder with the averaged weights of a checkpoint, and its tokenizer."""
    parts, state = checkpoint.load(folder)
    model = build(state["width"])
    model.load_state_dict(parts["average"])
    return model.eval(), make_tokenizer(state["seed"])


@torch.no_grad()
def ground(model: Any, tokenizer: Any, picture: Picture, words: list[str]) -> Tensor:
    """Return the probabilities, (K, SIDE_PX, SIDE_PX), that pixels belong to what each of `words` names."""
    text = tokenizer(words, padding=True, return_tensors="pt")
    return forward(model, pixels([picture]), text.input_ids, text.attention_mask)[0].sigmoid()
