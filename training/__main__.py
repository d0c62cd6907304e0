"""Command line: ``python -m training STAGE``. Every stage reads and writes one folder given by ``--out``."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import torch

from training import autoencoder, data, denoiser
from training.recipe import Recipe, read_recipe

log = logging.getLogger("training")
STAGES = ("tokenizer", "autoencoder", "cache", "denoiser")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--out", type=Path, default=Path("build/training"), help="folder of checkpoints and caches")
    parser.add_argument("--minutes", type=float, help="time budget of the stage, over all resumptions")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out")
    parser.add_argument("--only", help="cache stage: only sizes such as 8x8, comma-separated")
    parser.add_argument("--part", default="1/1", help="cache stage: this process's share, as 1/2")
    return parser.parse_args()


def make_tokenizer(recipe: Recipe, out: Path) -> None:
    """Train the tokenizer and save it."""
    from training.tokenizer import corpus, train_tokenizer

    tokenizer = train_tokenizer(corpus(**recipe.tokenizer), recipe.sizes.vocabulary)
    tokenizer.save_pretrained(out / "tokenizer")


def make_cache(recipe: Recipe, out: Path, only: str | None, part: str, device: str) -> None:
    """Write all missing shards of this process's part."""
    vae = autoencoder.load(out / "autoencoder", recipe.sizes).to(device)
    index, parts = map(int, part.split("/"))
    wanted = [
        ((rows, columns), kind, count, shard)
        for rows, columns, kind, shards, count in recipe.cache
        for shard in range(shards)
        if only is None or f"{rows}x{columns}" in only.split(",")
    ]
    for grid, kind, count, shard in wanted[index - 1 :: parts]:
        name = f"{kind}-{grid[0]}x{grid[1]}-{shard:04d}"
        if not (out / "cache" / f"{name}.pkl").exists():
            data.make_shard(out / "cache", vae, grid, kind, count, shard)
            log.info("cache: %s", name)


def train_denoiser(recipe: Recipe, out: Path, minutes: float | None, device: str, resume: bool) -> None:
    """Train text encoder and denoiser."""
    from transformers import AutoTokenizer

    plan = denoiser.Plan(**recipe.denoiser)
    if minutes is not None:
        plan = replace(plan, minutes=minutes)
    tokenizer = AutoTokenizer.from_pretrained(out / "tokenizer")
    denoiser.train(out / "denoiser", out / "cache", recipe.sizes, tokenizer, plan, device=device, resume=resume)


def main() -> None:
    """Run one stage."""
    arguments = parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    recipe, out = read_recipe(), arguments.out
    match arguments.stage:
        case "tokenizer":
            make_tokenizer(recipe, out)
        case "autoencoder":
            settings = recipe.autoencoder | ({"minutes": arguments.minutes} if arguments.minutes else {})
            device, resume = arguments.device, arguments.resume
            autoencoder.train(out / "autoencoder", recipe.sizes, device=device, resume=resume, **settings)
        case "cache":
            make_cache(recipe, out, arguments.only, arguments.part, arguments.device)
        case "denoiser":
            train_denoiser(recipe, out, arguments.minutes, arguments.device, arguments.resume)


if __name__ == "__main__":
    main()
