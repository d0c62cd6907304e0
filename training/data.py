"""Caches of scenes and edits with their latents, in shards that one process writes while another trains.

A shard is one size: `scenes-8x8-0003.pkl` holds scene graphs and tokens, `edits-8x8-0003.pkl` edits with the tokens
of their sources and target. Pickles are of our own making and stay on the machine that made them.
"""

import pickle
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2
from numpy.typing import NDArray
from torch import Tensor

from training.autoencoder import to_unit
from training.edits import Edit, sample_edit
from training.networks import TOKEN_PX, to_tokens
from training.render import Picture, render
from training.scenes import Scene, sample_scene

Grid = tuple[int, int]
"""Rows and columns of tokens."""

Tokens = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class EditRecord:
    """An edit with the tokens of its sources and target, each (T, 4C)."""

    edit: Edit
    sources: tuple[Tokens, ...]
    target: Tokens


@dataclass(frozen=True, slots=True)
class SceneRecord:
    """A scene with its tokens (T, 4C)."""

    scene: Scene
    tokens: Tokens


@torch.no_grad()
def encode(vae: AutoencoderKLFlux2, pictures: list[Picture], batch: int = 16) -> list[Tokens]:
    """Return the normalised tokens of pictures of one size."""
    found: list[Tokens] = []
    for start in range(0, len(pictures), batch):
        unit = to_unit(np.stack(pictures[start : start + batch])).to(vae.device)
        with torch.autocast(vae.device.type, torch.bfloat16):
            tokens = to_tokens(vae, unit)
        found += list(tokens.half().cpu().numpy())
    return found


def make_shard(folder: Path, vae: AutoencoderKLFlux2, grid: Grid, kind: str, count: int, seed: int) -> None:
    """Draw, render and encode `count` records of `kind` ("scenes" or "edits") and write them as one shard."""
    rng = random.Random(f"{kind} {grid} {seed}")
    height, width = grid[0] * TOKEN_PX, grid[1] * TOKEN_PX
    records: list[EditRecord] | list[SceneRecord]
    if kind == "scenes":
        scenes = [sample_scene(rng) for _ in range(count)]
        tokens = encode(vae, [render(scene, width, height) for scene in scenes])
        records = [SceneRecord(scene, t) for scene, t in zip(scenes, tokens, strict=True)]
    else:
        edits = [sample_edit(rng) for _ in range(count)]
        pictures = [render(scene, width, height) for edit in edits for scene in (*edit.sources, edit.target)]
        stream = iter(encode(vae, pictures))
        records = [EditRecord(edit, tuple(next(stream) for _ in edit.sources), next(stream)) for edit in edits]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{grid[0]}x{grid[1]}-{seed:04d}.pkl"
    beside = path.with_suffix(".new")
    beside.write_bytes(pickle.dumps(records, protocol=5))
    beside.rename(path)


class Cache:
    """All shards of a folder that were there at the last `refresh`, by grid and number of reference pictures."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: set[Path] = set()
        self.scenes: dict[Grid, list[SceneRecord]] = {}
        self.edits: dict[tuple[Grid, int], list[EditRecord]] = {}

    def refresh(self) -> None:
        """Read shards that appeared since the last call; sources of edits count as scenes too."""
        for path in sorted(set(self._folder.glob("*.pkl")) - self._read):
            self._read.add(path)
            kind, size, _ = path.stem.split("-")
            rows, columns = map(int, size.split("x"))
            grid = (rows, columns)
            records = pickle.loads(path.read_bytes())
            if kind == "scenes":
                self.scenes.setdefault(grid, []).extend(records)
                continue
            for record in records:
                self.edits.setdefault((grid, len(record.sources)), []).append(record)
                if record.edit.sources[0].position:
                    found = SceneRecord(record.edit.sources[0], record.sources[0])
                    self.scenes.setdefault(grid, []).append(found)


def stack(tokens: list[Tokens], device: str) -> Tensor:
    """Return (B, T, 4C) float32 on `device`."""
    return torch.from_numpy(np.stack(tokens)).to(device).float()
