"""Tokenizer, optimisers, packing and checkpoints."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import Flux2KleinPipeline
from torch import nn
from transformers import AutoTokenizer

from limner.catalogue import Catalogue
from training import checkpoint
from training.attention import plain_attention
from training.autoencoder import load as load_autoencoder
from training.denoiser import Plan, Trainer, draw_times, load_average, thing_tokens, token_weights
from training.export import unpack as unpack_model
from training.networks import image_positions, pack, unpack
from training.optim import Optimisers, orthogonalise, schedule
from training.recipe import read_recipe
from training.scenes import Background, Scene, make_thing
from training.stages import MODEL
from training.team import Team
from training.tokenizer import MAX_TOKENS, SHORTER, text_length, tokenize, train_tokenizer


def test_packing_is_undone_by_unpacking() -> None:
    latents = torch.randn(2, 12, 8, 6)
    assert torch.equal(unpack(pack(latents)), latents)


def test_reference_pictures_have_their_own_time() -> None:
    assert image_positions(2, 3).tolist()[-1] == [0, 1, 2, 0]
    assert image_positions(1, 1, reference=1).tolist() == [[20, 0, 0, 0]]


def test_plain_attention_equals_the_fused_one() -> None:
    query, key, value = (torch.randn(2, 4, 7, 8) for _ in range(3))
    mask = torch.ones(7, 7, dtype=torch.bool).tril()
    fused = nn.functional.scaled_dot_product_attention
    assert torch.allclose(plain_attention(query, key, value), fused(query, key, value), atol=1e-5)
    masked = plain_attention(query, key, value, attn_mask=mask)
    assert torch.allclose(masked, fused(query, key, value, attn_mask=mask), atol=1e-5)


def test_orthogonalised_matrices_have_even_singular_values() -> None:
    values = torch.linalg.svdvals(orthogonalise(torch.randn(24, 40)))
    assert values.min() > 0.5
    assert values.max() < 1.4


def test_optimiser_moments_survive_a_checkpoint(tmp_path: Path) -> None:
    def make() -> tuple[nn.Module, Optimisers]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 1))
        matrices = Optimisers(model.named_parameters(), lambda _, p: p.ndim == 2, muon_rate=0.01, adam_rate=0.01)
        return model, matrices

    model, optimisers = make()
    optimisers.step(model(torch.ones(3, 4)).pow(2).mean(), 1.0)
    checkpoint.save(tmp_path, {"model": model.state_dict(), "moments": optimisers.tensors()}, {"step": 1})
    parts, state = checkpoint.load(tmp_path)
    other, resumed = make()
    other.load_state_dict(parts["model"])
    resumed.load(parts["moments"])
    assert state == {"step": 1}
    for m, o in ((model, optimisers), (other, resumed)):
        o.step(m(torch.ones(3, 4)).pow(2).mean(), 1.0)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-3)


@pytest.mark.parametrize(
    ("step", "progress", "factor"), [(0, 0.0, 0.1), (50, 0.2, 1.0), (50, 0.75, 0.5), (50, 1.0, 0.02)]
)
def test_the_rate_warms_up_stays_and_decays(step: int, progress: float, factor: float) -> None:
    assert schedule(step, progress, warm_steps=10, decay_share=0.5, floor=0.02) == pytest.approx(factor)


def test_tokens_of_things_count_more() -> None:
    weights = token_weights(torch.tensor([[False, True, False, False], [False] * 4]), 3.0)
    assert weights.mean().item() == pytest.approx(1.0)
    assert (weights[0, 1] / weights[0, 0]).item() == pytest.approx(3.0)
    assert torch.equal(weights[1], weights[1, :1].expand(4))
    assert torch.equal(token_weights(torch.zeros(2, 4, dtype=torch.bool), 3.0), torch.ones(2, 4))


def test_things_count_more_only_where_they_can_be_seen() -> None:
    things = torch.tensor([[False, True, False, False]] * 2)
    weights = token_weights(things, 3.0, torch.tensor([0.9, 0.5]))
    assert torch.equal(weights[0], weights[0, :1].expand(4))
    assert (weights[1, 1] / weights[1, 0]).item() == pytest.approx(3.0)


def test_the_tokens_of_things_are_those_they_reach_into() -> None:
    thing = make_thing(random.Random(1), "circle", "red", (0.5, 0.5))
    placed = (replace(thing, x=0.25, y=0.25, extent=0.1), replace(thing, x=0.75, y=0.5, extent=0.1))
    scenes = [Scene("one", Background("plain"), (thing,)) for thing in placed]
    first, second = (thing_tokens((8, 8), [scene]).reshape(8, 8) for scene in scenes)
    assert [(rows.min(), rows.max()) for rows in (*first.nonzero(), *second.nonzero())] == [
        (1, 2),
        (1, 2),
        (3, 4),
        (5, 6),
    ]
    assert (thing_tokens((8, 8), scenes).reshape(8, 8) == (first | second)).all()
    wide = thing_tokens((4, 8), scenes[:1]).reshape(4, 8)
    assert wide[0, 1]
    assert wide.sum() == 4, "an extent is a share of the shorter side"


def test_edits_learn_more_of_the_start_of_a_drawing() -> None:
    torch.manual_seed(0)
    plain, edits = (draw_times(20000, 64, references, "cpu") for references in (0, 1))
    for times, early in ((plain, 0.12), (edits, 0.25)):
        assert ((times > 0) & (times <= 1)).all()
        assert (times > 0.97).float().mean().item() == pytest.approx(0.3 * early + (1 - early) * 0.0034, abs=0.005)


def test_training_goes_on_from_an_exported_model(tmp_path: Path) -> None:
    """The checkpoints are those of its weights, and a trainer takes them up."""
    sizes = read_recipe().sizes
    unpack_model(MODEL, tmp_path, minutes=5.0)
    exported = Flux2KleinPipeline.from_pretrained(MODEL, dtype=torch.float32)
    text, model = load_average(tmp_path / "denoiser", sizes)
    for found, kept in ((text, exported.text_encoder), (model, exported.transformer)):
        assert all(torch.equal(value, found.state_dict()[name]) for name, value in kept.state_dict().items())
    vae = load_autoencoder(tmp_path / "autoencoder", sizes)
    assert torch.equal(vae.bn.running_var, exported.vae.bn.running_var)
    trainer = Trainer(sizes, AutoTokenizer.from_pretrained(tmp_path / "tokenizer"), Plan(6.0), "cpu", Team())
    assert trainer.load(tmp_path / "denoiser").minutes == 5.0
    assert torch.equal(trainer.denoiser.x_embedder.weight, exported.transformer.x_embedder.weight)


def test_any_text_becomes_tokens() -> None:
    tokenizer = train_tokenizer(["a red circle", "a blue star"] * 5, 300)
    ids, mask = tokenize(tokenizer, ["A RED Circle", "смайлик 🙂 " * 40])
    assert ids.shape == mask.shape == (2, MAX_TOKENS)
    assert mask[0].sum() < MAX_TOKENS


def test_pictures_are_scored_with_the_text_lengths_of_the_server() -> None:
    served = Catalogue.builtin().get("sketch").routes[0]
    assert served.text_lengths == SHORTER
    assert served.arguments["max_sequence_length"] == MAX_TOKENS
    tokenizer = train_tokenizer(["a red circle on white"], 300)
    lengths = {text: text_length(tokenizer, ["x", text]) for text in ("x" * 15, "x" * 16, "x" * 31, "x" * 32)}
    assert list(lengths.values()) == [16, 24, 32, MAX_TOKENS]


def test_the_recipe_can_be_read() -> None:
    assert read_recipe().sizes.token_width == 48
