"""Command line: ``python -m training STAGE``. Every stage reads and writes one folder given by ``--out``."""

import argparse
import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from training.recipe import Recipe, read_recipe
from training.team import Team

log = logging.getLogger("training")
MODEL = Path(__file__).parents[1] / "src" / "limner" / "suite" / "sketch"
TRAINING = ("tokenizer", "autoencoder", "cache", "denoiser", "decoder", "export", "drawn", "reader", "grounder")
STAGES = (*TRAINING, "unpack", "eval", "sheet", "all")


@dataclass(frozen=True, slots=True)
class Run:
    """One invocation: the recipe and where and how to run it."""

    recipe: Recipe
    out: Path
    model: Path
    minutes: float | None
    device: str
    resume: bool
    only: tuple[str, ...]
    part: tuple[int, int]
    share: float
    workers: int


def parse() -> tuple[str, int, Run]:
    """Read the command line into stage, threads and run."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--out", type=Path, default=Path("build/training"), help="folder of checkpoints and caches")
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of sketch; the others lie beside it")
    parser.add_argument("--minutes", type=float, help="time budget of the stage, over all resumptions")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out")
    parser.add_argument("--only", default="", help="cache: only these sizes, as 8x8,4x4; eval: only these tables")
    parser.add_argument("--part", default="1/1", help="cache, drawn: this process's share, as 1/2")
    parser.add_argument("--share", type=float, default=1.0, help="eval: scales the number of prompts")
    parser.add_argument("--workers", type=int, default=1, help="denoiser: processes that train together")
    a = parser.parse_args()
    first, second = map(int, a.part.split("/"))
    only = tuple(filter(None, a.only.split(",")))
    run = Run(read_recipe(), a.out, a.model, a.minutes, a.device, a.resume, only, (first, second), a.share, a.workers)
    return a.stage, a.threads, run


def with_minutes(settings: dict[str, Any], run: Run) -> dict[str, Any]:
    """Return a stage's settings with the minutes of the command line, if given."""
    return settings if run.minutes is None else {**settings, "minutes": run.minutes}


def load_tokenizer(run: Run) -> Any:
    """Load the tokenizer made by the first stage."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(run.out / "tokenizer")


def make_tokenizer(run: Run) -> None:
    """Train the tokenizer and save it."""
    from training.tokenizer import corpus, train_tokenizer

    tokenizer = train_tokenizer(corpus(**run.recipe.tokenizer), run.recipe.sizes.vocabulary)
    tokenizer.save_pretrained(run.out / "tokenizer")


def train_autoencoder(run: Run) -> None:
    """Train encoder and decoder."""
    from training import autoencoder

    settings = with_minutes(run.recipe.autoencoder, run)
    autoencoder.train(run.out / "autoencoder", run.recipe.sizes, device=run.device, resume=run.resume, **settings)


def make_cache(run: Run) -> None:
    """Write all missing shards of this process's part."""
    from training import autoencoder, data

    vae = autoencoder.load(run.out / "autoencoder", run.recipe.sizes).to(run.device)
    wanted = [
        ((rows, columns), kind, count, shard)
        for rows, columns, kind, shards, count in run.recipe.cache
        for shard in range(shards)
        if not run.only or f"{rows}x{columns}" in run.only
    ]
    for grid, kind, count, shard in wanted[run.part[0] - 1 :: run.part[1]]:
        name = f"{kind}-{grid[0]}x{grid[1]}-{shard:04d}"
        if not (run.out / "cache" / f"{name}.pkl").exists():
            data.make_shard(run.out / "cache", vae, grid, kind, count, shard)
            log.info("cache: %s", name)


def train_denoiser(run: Run) -> None:
    """Train text encoder and denoiser."""
    from training.team import run_team

    run_team(run.workers, partial(train_denoiser_member, run))


def train_denoiser_member(run: Run, team: Team) -> None:
    """Train text encoder and denoiser as one member of a team."""
    from training import denoiser

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plan = denoiser.Plan(**with_minutes(run.recipe.denoiser, run))
    out, cache = run.out / "denoiser", run.out / "cache"
    sizes, tokenizer = run.recipe.sizes, load_tokenizer(run)
    denoiser.train(out, cache, sizes, tokenizer, plan, device=run.device, resume=run.resume, team=team)


def train_decoder(run: Run) -> None:
    """Train the decoder on the denoiser's own latents."""
    from training import decoder

    settings = with_minutes(run.recipe.decoder, run)
    decoder.train(run.out, run.recipe.sizes, load_tokenizer(run), device=run.device, resume=run.resume, **settings)


def export_model(run: Run) -> None:
    """Write the pipeline directory from the newest checkpoints."""
    from training import autoencoder, checkpoint, denoiser
    from training.export import export

    folder = run.out / "decoder"
    vae = autoencoder.load(folder if checkpoint.exists(folder) else run.out / "autoencoder", run.recipe.sizes)
    text, transformer = denoiser.load_average(run.out / "denoiser", run.recipe.sizes)
    size = export(run.model, vae=vae, text_encoder=text, tokenizer=load_tokenizer(run), denoiser=transformer)
    log.info("exported %s: %.2f MB", run.model, size / 1e6)


def unpack_model(run: Run) -> None:
    """Write checkpoints from the models in and beside `--model`, from which denoiser, reader and grounder can be
    trained on."""
    from training import grounder, reader
    from training.export import unpack

    unpack(run.model, run.out, minutes=run.recipe.denoiser["minutes"])
    for name, module, settings in (("reader", reader, run.recipe.reader), ("grounder", grounder, run.recipe.grounder)):
        out = run.out / name
        module.unpack(run.model.with_name(name), out, seed=settings["seed"], minutes=settings["minutes"])


def draw_pictures(run: Run) -> None:
    """Let sketch draw the missing shards of this process's part, for the reader and the grounder to learn from."""
    from training import drawn

    folder, count = run.out / "drawn", run.recipe.drawn["count"]
    for seed in range(run.recipe.drawn["shards"])[run.part[0] - 1 :: run.part[1]]:
        if not (folder / f"drawn-{seed:04d}.pkl").exists():
            drawn.make_shard(folder, run.model, count, seed, run.device)


def train_reader(run: Run) -> None:
    """Train the reader and export it beside sketch; no minutes and --resume only export."""
    from training import reader
    from training.export import export_model

    out, settings = run.out / "reader", with_minutes(run.recipe.reader, run)
    reader.train(out, drawn=run.out / "drawn", device=run.device, resume=run.resume, **settings)
    parts = {"model": reader.load_average(out), "tokenizer": reader.make_tokenizer()}
    size = export_model(run.model.with_name("reader"), processor=reader.make_processor(), **parts)
    log.info("exported the reader: %.2f MB", size / 1e6)


def train_grounder(run: Run) -> None:
    """Train the grounder and export it beside sketch; no minutes and --resume only export."""
    from training import grounder
    from training.export import export_model

    out, settings = run.out / "grounder", with_minutes(run.recipe.grounder, run)
    grounder.train(out, drawn=run.out / "drawn", device=run.device, resume=run.resume, **settings)
    model, tokenizer = grounder.load_average(out)
    processor = grounder.make_processor()
    size = export_model(run.model.with_name("grounder"), model=model, tokenizer=tokenizer, processor=processor)
    log.info("exported the grounder: %.2f MB", size / 1e6)


def evaluate_all(run: Run) -> None:
    """Print the tables of `--only`, or all: "sketch", "reader", "grounder" and "trip"."""
    from training import evaluate_words
    from training.evaluate import evaluate

    tables = {
        "sketch": lambda: evaluate(run.model, share=run.share, device=run.device),
        "reader": lambda: evaluate_words.reader_table(run.model.with_name("reader"), share=run.share),
        "grounder": lambda: evaluate_words.grounder_table(run.model, share=run.share),
        "trip": lambda: evaluate_words.trip_table(run.model, share=run.share),
    }
    for name in run.only or tables:
        print(tables[name](), end="\n\n")


def run_stage(stage: str, run: Run) -> None:
    """Run one stage; "all" runs every training stage in order."""
    match stage:
        case "tokenizer":
            make_tokenizer(run)
        case "autoencoder":
            train_autoencoder(run)
        case "cache":
            make_cache(run)
        case "denoiser":
            train_denoiser(run)
        case "decoder":
            train_decoder(run)
        case "export":
            export_model(run)
        case "unpack":
            unpack_model(run)
        case "drawn":
            draw_pictures(run)
        case "reader":
            train_reader(run)
        case "grounder":
            train_grounder(run)
        case "eval":
            evaluate_all(run)
        case "sheet":
            from training.evaluate_words import words_sheet
            from training.sheet import hero, sheet

            run.out.mkdir(parents=True, exist_ok=True)
            sheet(run.model, run.out / "sheet.png")
            hero(run.model, run.out / "hero.png")
            words_sheet(run.model, run.out / "words.png")
        case "all":
            for name in TRAINING:
                run_stage(name, run)


def main() -> None:
    """Run the stage named on the command line."""
    stage, threads, run = parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(threads)
    run_stage(stage, run)
