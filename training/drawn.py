"""Shards of pictures that sketch drew, with the scenes they show: what the reader and the grounder meet in use.

Half of the records are drawn from a caption and kept where the judge agrees; the rest went once through the
autoencoder. Pickles are of our own making and stay on the machine that made them.
"""

import logging
import pickle
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from training.judge import SEEN, fit_background, judge
from training.palette import COLORS
from training.redrawing import apart
from training.render import Picture, render
from training.scenes import Scene, sample_scene
from training.sheet import draw, load_pipeline

log = logging.getLogger(__name__)
SIDE_PX = 192
STEPS = 8


@dataclass(frozen=True, slots=True)
class Record:
    """A picture (SIDE_PX square) and its scene; `faithful` where every outline is where the scene has it.

    `subject` is what is not background, where that could be measured.
    """

    picture: Picture
    scene: Scene
    faithful: bool
    subject: NDArray[np.bool_] | None = None


class Drawn:
    """All shards of a folder that were there at the last `refresh`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: set[Path] = set()
        self.records: list[Record] = []

    def refresh(self) -> None:
        """Read shards that appeared since the last call."""
        for path in sorted(set(self._folder.glob("*.pkl")) - self._read):
            self._read.add(path)
            self.records += pickle.loads(path.read_bytes())


def sketch_picture(drawn: Drawn, rng: random.Random) -> Record:
    """Draw one record; those from captions come three times as often as the decoded ones."""
    record = rng.choice(drawn.records)
    return rng.choice(drawn.records) if record.faithful and rng.random() < 0.5 else record


def make_shard(folder: Path, model: Path, count: int, seed: int, device: str) -> None:
    """Draw `count` captions with the model in `folder`, encode and decode as many scenes, and keep what is right."""
    rng = random.Random(f"drawn {seed}")
    pipeline = load_pipeline(model, device)
    records = [*drawn_records(pipeline, rng, count, seed), *decoded_records(pipeline, rng, count)]
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f"drawn-{seed:04d}.new"
    beside.write_bytes(pickle.dumps(records, protocol=5))
    beside.rename(beside.with_suffix(".pkl"))
    log.info("drawn: shard %d, %d records", seed, len(records))


def drawn_records(pipeline: Any, rng: random.Random, count: int, seed: int) -> Iterator[Record]:
    """Yield the drawn pictures that show what they should."""
    from training.evaluate import plain_prompt

    scenes = [scene for scene in (sample_scene(rng) for _ in range(count)) if can_be_judged(scene)]
    prompts = [plain_prompt(scene) for scene in scenes]
    pictures = draw(pipeline, prompts, seed=seed * 1000, num_inference_steps=STEPS)
    for scene, picture in zip(scenes, pictures, strict=True):
        if is_right(picture, scene):
            small = shrink(picture)
            plain = scene.background.pattern == "plain" and scene.form == "one"
            subject = apart(small, fit_background(small, scene.background)[0]) > SEEN if plain else None
            yield Record(small, scene, False, subject)


def can_be_judged(scene: Scene) -> bool:
    """Tell whether a scene has a plain prompt and only colours that the judge names."""
    return scene.form != "three" and all(not thing.color or thing.color in COLORS for thing in scene.things)


def is_right(picture: Picture, scene: Scene) -> bool:
    """Tell whether a drawn picture shows its scene; of a landscape only the ground and sky are asked."""
    verdict = judge(picture, scene)
    if scene.background.pattern == "land":
        return verdict["background"] and verdict.get("color", True)
    return verdict["all"]


@torch.no_grad()
def decoded_records(pipeline: Any, rng: random.Random, count: int) -> Iterator[Record]:
    """Yield true renders after a round trip through the autoencoder."""
    for _ in range(count):
        scene = sample_scene(rng)
        unit = torch.from_numpy(render(scene, SIDE_PX).copy()).permute(2, 0, 1)[None].to(pipeline.device) / 127.5 - 1
        mean = pipeline.vae.encode(unit).latent_dist.mean
        noisy = mean + rng.uniform(0, 0.25) * mean.std() * torch.randn_like(mean)
        found = pipeline.vae.decode(noisy).sample[0].permute(1, 2, 0).cpu()
        picture = ((found + 1) * 127.5).clamp(0, 255).byte().numpy()
        yield Record(picture, scene, True)


def shrink(picture: Picture) -> Picture:
    """Return a square picture at `SIDE_PX`."""
    return np.asarray(Image.fromarray(picture).resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))
