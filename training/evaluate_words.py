"""Scores the exported reader and grounder on scenes held out from training, and the round trip through sketch.

Everything goes through the standard classes, as the server loads them. Captions are compared as texts and part by part.
"""

import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from limner.engine.grounding.masks import LEAST
from limner.engine.grounding.snapping import snapped
from limner.engine.speaking.canonical import Seen, parse
from training import heldout
from training.drawn import can_be_judged, is_right
from training.evaluate import MAKERS, Case, plain_prompt, prompts
from training.grounder_words import BACKGROUND, GROUND, SKY, SUBJECT, Example, Mask, covers, example
from training.judge import SEEN, fit_background
from training.reader_pictures import anywhere, degrade, foreign_picture
from training.reader_words import UNKNOWN, say
from training.redrawing import apart
from training.render import Picture, render
from training.scenes import Scene, propose_scene
from training.sheet import PROMPTS, draw, grid, label, load_pipeline

SIDE_PX = 256
FOUND = 0.5
"""Probability from which a pixel belongs to what the words name."""
MOVED = "any size and place, no landscape"
Parts = dict[str, bool]


@dataclass(frozen=True, slots=True)
class Reader:
    """The exported reader behind its standard classes."""

    model: Any
    tokenizer: Any
    processor: Any

    @classmethod
    def load(cls, folder: Path) -> "Reader":
        """Load it in float32."""
        from transformers import AutoImageProcessor, AutoTokenizer, VisionEncoderDecoderModel

        model = VisionEncoderDecoderModel.from_pretrained(folder, dtype=torch.float32).eval()
        return cls(model, AutoTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder))

    @torch.no_grad()
    def read(self, pictures: list[Picture], batch: int = 32) -> list[str]:
        """Return the caption of each picture."""
        captions: list[str] = []
        for start in range(0, len(pictures), batch):
            images = [Image.fromarray(picture) for picture in pictures[start : start + batch]]
            found = self.model.generate(**self.processor(images, return_tensors="pt"), do_sample=False)
            captions += [text.strip() for text in self.tokenizer.batch_decode(found, skip_special_tokens=True)]
        return captions


@dataclass(frozen=True, slots=True)
class Grounder:
    """The exported grounder behind its standard classes."""

    model: Any
    tokenizer: Any
    processor: Any

    @classmethod
    def load(cls, folder: Path) -> "Grounder":
        """Load it in float32."""
        from transformers import AutoImageProcessor, AutoTokenizer, CLIPSegForImageSegmentation

        model = CLIPSegForImageSegmentation.from_pretrained(folder, dtype=torch.float32).eval()
        return cls(model, AutoTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder))

    @torch.no_grad()
    def scores(self, picture: Picture, words: str) -> Image.Image:
        """Return how surely each spot belongs to what the words name: mode L, at the model's own size."""
        pixels = self.processor([Image.fromarray(picture)], return_tensors="pt")
        logits = self.model(**pixels, **self.tokenizer([words], return_tensors="pt")).logits
        found = logits.sigmoid().reshape(logits.shape[-2:])
        return Image.fromarray((found * 255).round().to(torch.uint8).numpy())

    def masks(self, picture: Picture, words: str) -> tuple[Mask, Mask]:
        """Return 1 where the picture shows what the words name, else 0: by the scores, and snapped to flat colours."""
        scores, image = self.scores(picture, words), Image.fromarray(picture)
        plain = scores.resize(image.size, Image.Resampling.BILINEAR)
        close = snapped(scores, image).resize(image.size, Image.Resampling.BILINEAR)
        return over_half(plain), over_half(close)


def over_half(scores: Image.Image) -> Mask:
    """Return 1 where scores in mode L are at least `FOUND`, else 0."""
    return (np.asarray(scores) >= FOUND * 255).astype(np.float32)


def held_out_scenes(seed: int, count: int) -> list[Scene]:
    """Draw scenes of all forms with combinations that training never drew."""
    rng = random.Random(f"read {seed}")
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = propose_scene(rng)
        if heldout.is_held_out(scene):
            scenes.append(scene)
    return scenes


def moved(scenes: list[Scene], seed: int) -> list[Scene]:
    """Return those that are no landscapes with their things at any size and place."""
    rng = random.Random(f"anywhere {seed}")
    return [anywhere(rng, scene) for scene in scenes if scene.background.pattern != "land"]


def parts_of(seen: Seen) -> dict[str, object]:
    """Return what a caption says, part by part."""
    return {
        "color": sorted(group.color for group in seen.groups),
        "kind": sorted(group.kind for group in seen.groups),
        "count": sorted(group.number for group in seen.groups),
        "place": (seen.relation, [group.place for group in seen.groups]),
        "size": [group.size for group in seen.groups],
        "background": (seen.behind, sorted(seen.aloft)),
    }


def agreement(found: str, wanted: str) -> Parts:
    """Compare two captions as texts and part by part; a caption that cannot be taken apart agrees in nothing."""
    right, read = parse(wanted), parse(found)
    assert right is not None
    truth = parts_of(right)
    seen = parts_of(read) if read is not None else {}
    return {"exact": found == wanted, **{name: seen.get(name) == value for name, value in truth.items()}}


def average(found: list[Parts]) -> dict[str, float]:
    """Return the share of agreement in each part."""
    return {name: float(np.mean([parts[name] for parts in found])) for name in found[0]}


def rows(name: str, groups: dict[str, list[Parts]]) -> str:
    """Return a Markdown table with a row for each group."""
    first = next(iter(groups.values()))[0]
    lines = [f"| {name} | n | {' | '.join(first)} |", f"|---|---|{'---|' * len(first)}"]
    for group, found in groups.items():
        shares = " | ".join(f"{value:.2f}" for value in average(found).values())
        lines.append(f"| {group} | {len(found)} | {shares} |")
    return "\n".join(lines)


def reader_table(folder: Path, *, seed: int = 2026, share: float = 1.0) -> str:
    """Return how well the reader in `folder` reads held-out scenes, well and badly drawn, and strange pictures."""
    reader, rng = Reader.load(folder), random.Random(f"reader {seed}")
    groups: dict[str, list[Parts]] = defaultdict(list)
    cases = list(prompts(seed, share))
    for case, found in zip(cases, reader.read([render(c.scene, SIDE_PX) for c in cases]), strict=True):
        groups[case.category].append(agreement(found, say(case.scene)))
    scenes = held_out_scenes(seed, max(8, round(400 * share)))
    clean = [render(scene, SIDE_PX) for scene in scenes]
    wide = [render(scene, 320, 192) for scene in scenes]
    other = moved(scenes, seed)
    for name, shown, pictures in (
        ("all", scenes, clean),
        ("all, badly drawn", scenes, [degrade(p, rng) for p in clean]),
        ("all, wide", scenes, wide),
        (MOVED, other, [render(scene, SIDE_PX) for scene in other]),
    ):
        for scene, found in zip(shown, reader.read(pictures), strict=True):
            groups[name].append(agreement(found, say(scene)))
    strange = [foreign_picture(rng, SIDE_PX, SIDE_PX) for _ in range(max(8, round(200 * share)))]
    known = np.mean([found == UNKNOWN for found in reader.read(strange)])
    return f"{rows('held-out scenes', groups)}\n\nStrange pictures read as unknown: {known:.2f}"


def overlap(found: Mask, truth: Mask) -> float:
    """Return intersection over union of a mask and the pixels that are more than half covered; 1 if both are empty.

    A mask of less than `LEAST` of the picture is empty: that is when the server says that nothing was found.
    """
    wanted = truth > 0.5
    if found.mean() < LEAST:
        return float(not wanted.any())
    whole = ((found > 0) | wanted).sum()
    return float(((found > 0) & wanted).sum() / whole) if whole else 1.0


def grounder_table(sketch: Path, *, seed: int = 2026, share: float = 1.0) -> str:
    """Return the overlap of masks for words of each sort, on true renders and on pictures that sketch drew."""
    grounder, rng = Grounder.load(sketch.with_name("grounder")), random.Random(f"grounder {seed}")
    overlaps: dict[str, list[tuple[float, ...]]] = defaultdict(list)

    def ask(name: str, picture: Picture, words: str, truth: Mask) -> None:
        overlaps[name].append(tuple(overlap(mask, truth) for mask in grounder.masks(picture, words)))

    scenes = held_out_scenes(seed, max(8, round(200 * share)))
    for where, shown in (("", scenes), (f", {MOVED}", moved(scenes, seed))):
        for scene in shown:
            masks, picture = covers(scene, SIDE_PX, SIDE_PX), render(scene, SIDE_PX)
            for _ in range(2):
                asked = example(rng, scene, masks, (SIDE_PX, SIDE_PX))
                ask(f"{sort_of(asked)}{where}", picture, asked.words, asked.mask)
    for picture, subject, kind in drawn_subjects(sketch, seed, max(4, round(60 * share))):
        ask("drawn by sketch: the subject", picture, "the subject", subject)
        ask("drawn by sketch: its kind", picture, f"the {kind}", subject)
    lines = ["| words | n | mean IoU | 0.9 and more | mean IoU, snapped | 0.9 and more |", "|---|---|---|---|---|---|"]
    for name, pairs in overlaps.items():
        found = np.array(pairs)
        cells = [f"{found[:, i].mean():.2f} | {(found[:, i] >= 0.9).mean():.2f}" for i in (0, 1)]
        lines.append(f"| {name} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def sort_of(asked: Example) -> str:
    """Return which sort of words an example is of."""
    if not asked.mask.any():
        return "nothing there"
    if asked.words in SUBJECT:
        return "the subject"
    everywhere = (*BACKGROUND, *SKY, *(words for ground in GROUND.values() for words in ground))
    if asked.words in everywhere or float(asked.mask[0].mean()) > 0.5:
        return "background, sky, ground"
    return "things"


def drawn_subjects(sketch: Path, seed: int, count: int) -> list[tuple[Picture, Mask, str]]:
    """Let sketch draw single things on plain colours; return pictures, measured masks and kinds."""
    scenes = []
    for category in ("shape", "object", "position", "size"):
        rng = random.Random(f"subjects {category} {seed}")
        scenes += [MAKERS[category][1](rng) for _ in range(-(-count // 4))]
    found = []
    for scene, picture in zip(scenes, draw(load_pipeline(sketch), [plain_prompt(s) for s in scenes]), strict=True):
        if can_be_judged(scene) and is_right(picture, scene):
            empty, _ = fit_background(picture, scene.background)
            found.append((picture, (apart(picture, empty) > SEEN).astype(np.float32), scene.things[0].kind))
    return found


def words_sheet(sketch: Path, target: Path, *, columns: int = 6) -> None:
    """Save what sketch draws, what the reader says of it, and what the grounder takes for the subject."""
    reader, grounder = Reader.load(sketch.with_name("reader")), Grounder.load(sketch.with_name("grounder"))
    pictures = list(draw(load_pipeline(sketch), list(PROMPTS[:24]), seed=7))
    cells = []
    for picture, caption in zip(pictures, reader.read(pictures), strict=True):
        mask = np.repeat(grounder.masks(picture, "the subject")[1][..., None] * 255, 3, -1).astype(np.uint8)
        cells.append(label(np.concatenate([picture, mask], 1), caption, 240))
    grid(cells, columns).save(target)


def trip_table(sketch: Path, *, seed: int = 2026, share: float = 1.0) -> str:
    """Return how far the reader agrees with the prompts that sketch drew from: all, and those the judge lets pass."""
    reader = Reader.load(sketch.with_name("reader"))
    cases: list[Case] = list(prompts(seed, share))
    pictures = list(draw(load_pipeline(sketch), [case.prompt for case in cases], seed=seed))
    groups: dict[str, list[Parts]] = defaultdict(list)
    for case, picture, found in zip(cases, pictures, reader.read(pictures), strict=True):
        parts = agreement(found, say(case.scene))
        parts["color and kind"] = parts["color"] and parts["kind"]
        names = [case.category, "all"]
        if can_be_judged(case.scene) and is_right(picture, case.scene):
            names.append("all that the judge lets pass")
        for name in names:
            groups[name].append(parts)
    ordered = {name: groups[name] for name in (*MAKERS, "all", "all that the judge lets pass") if groups[name]}
    return rows("prompt, drawn and read back", ordered)
