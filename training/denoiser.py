"""Trains text encoder and diffusion transformer together by rectified flow on cached latents.

A run is a budget of minutes: learning rate and mixture follow the share that has passed, so a run can be stopped,
resumed and given more minutes. Owns the mixture of sizes and tasks; renders nothing.
"""

import logging
import random
import signal
import time
from collections import deque
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers import Flux2Transformer2DModel
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import Qwen3ForCausalLM

from training import checkpoint
from training.attention import PlainAttention
from training.captions import caption
from training.data import Cache, EditRecord, Grid, SceneRecord, stack
from training.edits import instruction, is_hard
from training.networks import (
    Sizes,
    build_denoiser,
    build_text_encoder,
    encode_text,
    image_positions,
    text_positions,
)
from training.optim import Average, Optimisers, schedule
from training.scenes import Scene
from training.team import Team
from training.tokenizer import MAX_TOKENS, tokenize

log = logging.getLogger(__name__)

SMALL: Grid = (4, 4)
MAIN: Grid = (8, 8)
EMPTY_CAPTIONS = 0.1
TOKENS_PER_BATCH = 4900
LONGEST_STEP_MINUTES = 0.25
"""What a step may count for at most, so that a machine put to sleep does not use up the budget."""
EARLY_PICTURES, EARLY_EDITS = 0.12, 0.25
"""Shares of the samples at the very start of a drawing, without and with reference pictures."""
SHOWN = 0.8
"""Time below which a noisy picture shows where its things are."""
POOL = 6
"""Batches drawn at once and sorted by caption length, so that little is padded."""


Record = TypeVar("Record", SceneRecord, EditRecord)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run spends its time.

    `form_weights` gives the share of the drawn scenes of a form that are kept, 1 where a form is not named;
    `easy_edits` the share of the drawn edits that are kept though nothing is told from others or drawn anew;
    `thing_weight` how much more the tokens of things count than those of the background.
    """

    minutes: float
    small_share: float = 0.15
    edit_share: float = 0.3
    form_weights: dict[str, float] = field(default_factory=dict)
    easy_edits: float = 1.0
    thing_weight: float = 3.0
    muon_rate: float = 4e-3
    adam_rate: float = 2.4e-3
    decay_share: float = 0.45
    max_batch: int = 128
    save_every_minutes: float = 4.0
    seed: int = 3


@dataclass(slots=True)
class Batch:
    """Latents, reference latents and texts of one training step."""

    grid: Grid
    latents: Tensor  # (B, T, 4C)
    references: list[Tensor]  # each (B, T, 4C)
    texts: list[str]
    things: Tensor  # (B, T), the tokens that show a thing in a source or in the target


@dataclass(slots=True)
class Progress:
    """What a run has done so far, over all its resumptions."""

    step: int = 0
    minutes: float = 0.0
    seen: dict[str, int] = field(default_factory=dict)


class Sampler:
    """Draws batches from the cache: the size, then the task, then records with fresh words.

    Members of a team draw the same sizes and tasks, and captions of like lengths, so that none waits for another.
    """

    def __init__(self, cache: Cache, plan: Plan, seed: int, device: str, rank: int = 0) -> None:
        self._cache, self._plan, self._device = cache, plan, device
        self._common, self._rng = random.Random(seed), random.Random(seed + 1_000_003 * (rank + 1))
        self._pools: dict[tuple[Grid, int], list[Batch]] = {}

    def draw(self, progress: float) -> Batch:
        """Return a batch for a run of which the share `progress` has passed."""
        grid = self._pick_grid(progress)
        references = self._pick_task(grid)
        pool = self._pools.setdefault((grid, references), [])
        if not pool:
            pool.extend(self._fill(grid, references))
            self._common.shuffle(pool)
        return pool.pop()

    def _pick_grid(self, progress: float) -> Grid:
        early = MAIN not in self._cache.scenes or progress < self._plan.small_share
        return SMALL if early else MAIN

    def _pick_task(self, grid: Grid) -> int:
        """Return how many reference pictures the batch has; 0 for plain text to image."""
        share = self._plan.edit_share if self._common.random() >= EMPTY_CAPTIONS / 2 else 0.0
        if self._common.random() >= share:
            return 0
        found = [n for n in (1, 2) if (grid, n) in self._cache.edits]
        if not found:
            return 0
        return self._common.choices(found, [(0.9, 0.1)[n - 1] for n in found])[0]

    def _pick(self, records: list[Record]) -> Record:
        """Draw a record; those of a small share are often drawn again."""
        while True:
            record = self._rng.choice(records)
            if self._rng.random() < self._share(record):
                return record

    def _share(self, record: SceneRecord | EditRecord) -> float:
        """Return the share of the drawn records like `record` that are kept: less of what is learnt early."""
        if isinstance(record, SceneRecord):
            return self._plan.form_weights.get(record.scene.form, 1.0)
        return 1.0 if is_hard(record.edit) else self._plan.easy_edits

    def _fill(self, grid: Grid, references: int) -> list[Batch]:
        tokens = grid[0] * grid[1] * (1 + references) + 13
        size = max(6, min(self._plan.max_batch, TOKENS_PER_BATCH // tokens))
        rng = self._rng
        if references == 0:
            scenes = [self._pick(self._cache.scenes[grid]) for _ in range(size * POOL)]
            rows = [(caption(r.scene, rng), r.tokens, (), thing_tokens(grid, [r.scene])) for r in scenes]
        else:
            edits = [self._pick(self._cache.edits[grid, references]) for _ in range(size * POOL)]
            rows = [
                (instruction(r.edit, rng), r.target, r.sources, thing_tokens(grid, (*r.edit.sources, r.edit.target)))  # type: ignore[misc]
                for r in edits
            ]
        rows.sort(key=lambda row: len(row[0]) + 4 * rng.random())
        batches = []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            sources = [stack([row[2][i] for row in part], self._device) for i in range(references)]
            texts = ["" if rng.random() < EMPTY_CAPTIONS else row[0] for row in part]
            things = torch.from_numpy(np.stack([row[3] for row in part])).to(self._device)
            batches.append(Batch(grid, stack([row[1] for row in part], self._device), sources, texts, things))
        return batches


def positions(grid: Grid, references: int, device: str) -> Tensor:
    """Return the position ids of a picture followed by its reference pictures, all on one grid."""
    parts = [image_positions(*grid)] + [image_positions(*grid, reference=i) for i in range(references)]
    return torch.cat(parts).float().to(device)


def time_bias(tokens: int) -> float:
    """Return the centre of the logit-normal times for pictures of so many tokens.

    What a shape is gets decided while nearly all is noise, the later the fewer tokens there are. Its contour is
    decided last: centred on 1.0, pictures of 64 tokens came out with the right things but smudged.
    """
    return 0.5 if tokens < 140 else 1.3


def draw_times(count: int, tokens: int, references: int, device: str) -> Tensor:
    """Return (count,) times in (0, 1): logit-normal, and a share drawn evenly from the first tenth of a drawing.

    By t = 0.95 the noisy picture shows what was chosen. What words and references ask for is chosen before, and only
    there it can be learnt; a logit-normal alone spends one sample of three hundred on t > 0.97.
    """
    usual = torch.sigmoid(torch.randn(count, device=device) * 1.1 + time_bias(tokens))
    early = 1 - 0.1 * torch.rand(count, device=device)
    share = EARLY_EDITS if references else EARLY_PICTURES
    return torch.where(torch.rand(count, device=device) < share, early, usual)


def thing_tokens(grid: Grid, scenes: Iterable[Scene]) -> NDArray[np.bool_]:
    """Return (T,) for the tokens of a picture that some thing of `scenes`, laid over each other, reaches into."""
    rows, columns = grid
    shorter = min(grid)
    y, x = np.indices(grid).reshape(2, -1) + 0.5
    found = np.zeros(rows * columns, bool)
    for thing in (thing for scene in scenes for thing in scene.things):
        reach = thing.extent * shorter + 0.5
        found |= (abs(x - thing.x * columns) < reach) & (abs(y - thing.y * rows) < reach)
    return found


def token_weights(things: Tensor, thing_weight: float, times: Tensor | None = None) -> Tensor:
    """Return (B, T) weights of the loss, 1 on average: tokens of things, before or after an edit, count more.

    Most of a picture is background, which is learnt early. But what is weighed by the answer is learnt with a bias to
    it: when tokens that an edit changes counted more, of two things of which one should go both went. So where things
    are has to be known: from the references, or, given the `times` (B,) of pictures from words alone, late enough.
    """
    known = things if times is None else things & (times < SHOWN)[:, None]
    weights = 1 + (thing_weight - 1) * known.float()
    return weights / weights.mean()


class Trainer:
    """The networks with their optimisers and averages; one `step` per batch."""

    def __init__(self, sizes: Sizes, tokenizer: Any, plan: Plan, device: str, team: Team) -> None:
        torch.manual_seed(plan.seed)
        self._team = team
        self.text = build_text_encoder(sizes).to(device)
        self.denoiser = build_denoiser(sizes).to(device)
        self._tokenizer, self._device = tokenizer, device
        self._both = nn.ModuleDict({"text": self.text, "denoiser": self.denoiser})
        self.optimisers = Optimisers(
            self._both.named_parameters(),
            lambda name, p: p.ndim == 2 and ("blocks" in name or ".layers." in name),
            muon_rate=plan.muon_rate,
            adam_rate=plan.adam_rate,
            decay=0.01,
        )
        self.averages = {"text": Average(self.text, 0.9975), "denoiser": Average(self.denoiser, 0.9975)}
        self._rng = random.Random(plan.seed)
        self._thing_weight = plan.thing_weight

    def step(self, batch: Batch, factor: float, step: int) -> float:
        """Learn from one batch at `factor` times the base rates and return the loss."""
        ids, mask = (x.to(self._device) for x in tokenize(self._tokenizer, batch.texts, self._padding()))
        clean = batch.latents
        count, tokens, _ = clean.shape
        t = draw_times(count, tokens, len(batch.references), self._device)
        noise = torch.randn_like(clean)
        noisy = (1 - t[:, None, None]) * clean + t[:, None, None] * noise
        attention = PlainAttention() if self._device == "cpu" else nullcontext()
        with attention, torch.autocast(torch.device(self._device).type, torch.bfloat16):
            embeds = encode_text(self.text, ids, mask)
            velocity = self.denoiser(
                hidden_states=torch.cat([noisy, *batch.references], 1),
                encoder_hidden_states=embeds,
                timestep=t,
                img_ids=positions(batch.grid, len(batch.references), self._device),
                txt_ids=text_positions(ids.shape[1]).to(self._device),
                return_dict=False,
            )[0][:, :tokens]
        errors = (velocity.float() - (noise - clean)).pow(2).mean(-1)
        weights = token_weights(batch.things, self._thing_weight, None if batch.references else t)
        loss = (errors * weights).mean()
        self.optimisers.step(loss, factor, self._team)
        self.averages["text"].update(self.text, step)
        self.averages["denoiser"].update(self.denoiser, step)
        value: float = loss.item()
        return value

    def _padding(self) -> int:
        """Return how many tokens to pad with: often none, at times up to the length the pipeline uses.

        Every member of a team draws the same.
        """
        draw = self._rng.random()
        return 0 if draw < 0.6 else self._rng.randint(1, 8) if draw < 0.85 else MAX_TOKENS

    def save(self, folder: Path, progress: Progress) -> None:
        """Write everything a resumption needs."""
        muon = self.optimisers.tensors()
        parts: checkpoint.Parts = {
            "text": self.text.state_dict(),
            "denoiser": self.denoiser.state_dict(),
            "text_average": self.averages["text"].weights,
            "denoiser_average": self.averages["denoiser"].weights,
            "moments": muon,
        }
        parts["text"].pop("lm_head.weight", None)
        parts["text_average"] = {k: v for k, v in parts["text_average"].items() if k != "lm_head.weight"}
        state = {"step": progress.step, "minutes": progress.minutes, "seen": progress.seen}
        checkpoint.save(folder, parts, state)

    def load(self, folder: Path) -> Progress:
        """Restore what `save` wrote."""
        parts, state = checkpoint.load(folder)
        self.text.load_state_dict(parts["text"], strict=False)
        self.denoiser.load_state_dict(parts["denoiser"])
        for name, average in self.averages.items():
            for key, value in parts[f"{name}_average"].items():
                average.weights[key] = value.to(self._device)
        self.averages["text"].weights["lm_head.weight"] = (
            self.averages["text"].weights["model.embed_tokens.weight"].clone()
        )
        self.optimisers.load(parts["moments"])
        return Progress(state["step"], state["minutes"], state["seen"])


def train(
    out: Path, cache_folder: Path, sizes: Sizes, tokenizer: Any, plan: Plan, *, device: str, resume: bool, team: Team
) -> None:
    """Train until `plan.minutes` have been spent over all resumptions, saving to `out` now and then.

    SIGTERM saves and ends the run early. With a team, every member calls this and the first saves.
    """
    trainer = Trainer(sizes, tokenizer, plan, device, team)
    done = trainer.load(out) if resume and checkpoint.exists(out) else Progress()
    cache = Cache(cache_folder)
    cache.refresh()
    sampler = Sampler(cache, plan, plan.seed * 7919 + done.step, device, team.rank)
    torch.manual_seed(plan.seed * 104729 + done.step + 1_000_003 * team.rank)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    recent: dict[str, deque[float]] = {}
    last, saved, first = time.monotonic(), time.monotonic(), done.step
    stop = False
    while done.minutes < plan.minutes and not stop:
        progress = done.minutes / plan.minutes
        batch = sampler.draw(progress)
        warm_steps = 20 if first else 60
        factor = schedule(done.step - first, progress, warm_steps=warm_steps, decay_share=plan.decay_share, floor=0.02)
        loss = trainer.step(batch, factor, done.step)
        task = f"{batch.grid[0]}x{batch.grid[1]}+{len(batch.references)}"
        recent.setdefault(task, deque(maxlen=60)).append(loss)
        done.seen[task] = done.seen.get(task, 0) + len(batch.texts) * team.size
        done.step += 1
        now = time.monotonic()
        done.minutes, stop = team.agree(done.minutes + min((now - last) / 60, LONGEST_STEP_MINUTES), bool(stopped))
        last = now
        if done.step % 50 == 0:
            cache.refresh()
        if done.step % 50 == 0 and team.rank == 0:
            means = {name: round(float(np.mean(values)), 4) for name, values in recent.items()}
            log.info(
                "denoiser %.1f min, step %d, rate %.3f, seen %d, loss %s",
                done.minutes,
                done.step,
                factor,
                sum(done.seen.values()),
                means,
            )
        if team.rank == 0 and time.monotonic() - saved > 60 * plan.save_every_minutes:
            trainer.save(out, done)
            saved = time.monotonic()
    if team.rank == 0:
        trainer.save(out, done)


def load_average(folder: Path, sizes: Sizes) -> tuple[Qwen3ForCausalLM, Flux2Transformer2DModel]:
    """Return text encoder and denoiser with the averaged weights of a checkpoint."""
    parts, _ = checkpoint.load(folder)
    text, denoiser = build_text_encoder(sizes), build_denoiser(sizes)
    missing = text.load_state_dict(parts["text_average"], strict=False)
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) <= {"lm_head.weight"}
    denoiser.load_state_dict(parts["denoiser_average"])
    return text.eval(), denoiser.eval()
