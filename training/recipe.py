"""Reads `recipe.toml`: sizes, seeds and minutes of every stage."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.networks import Sizes

RECIPE = Path(__file__).with_name("recipe.toml")


@dataclass(frozen=True, slots=True)
class Recipe:
    """The whole recipe; every stage is the keyword arguments of its function."""

    sizes: Sizes
    tokenizer: dict[str, int]
    autoencoder: dict[str, Any]
    cache: list[tuple[int, int, str, int, int]]
    denoiser: dict[str, Any]
    decoder: dict[str, Any]
    drawn: dict[str, Any]
    reader: dict[str, Any]
    grounder: dict[str, Any]


def read_recipe(path: Path = RECIPE) -> Recipe:
    """Parse a recipe; TypeError on unknown keys, KeyError on missing stages."""
    table = tomllib.loads(path.read_text())
    sizes: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table["sizes"].items()
    }
    return Recipe(
        sizes=Sizes(**sizes),
        tokenizer=table["tokenizer"],
        autoencoder=table["autoencoder"],
        cache=[tuple(row) for row in table["cache"]["shards"]],
        denoiser=table["denoiser"],
        decoder=table["decoder"],
        drawn=table["drawn"],
        reader=table["reader"],
        grounder=table["grounder"],
    )
