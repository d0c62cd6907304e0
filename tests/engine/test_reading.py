"""How much of a prompt each family reads, by its pipeline's own tokenizers."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from limner.engine import Engine
from limner.engine.reading import Reading, reading
from tests.engine.conftest import adopt, draw_all, sample, tiny

# In the tiny tokenizers a letter is a token, apart from Qwen's, which have merged a few.


@pytest.mark.parametrize(
    ("family", "arguments", "expected"),
    [
        ("sd15", {}, Reading(100, 75, 102)),  # CLIP's 77 less the marks of beginning and end
        ("sdxl", {}, Reading(100, 75, 102)),
        ("flux1", {}, Reading(101, 511, 102)),  # T5's 512, not CLIP's 77; sentencepiece puts a blank before
        ("flux1", {"max_sequence_length": 128}, Reading(101, 127, 102)),
        ("flux1", {"max_sequence_length": 64}, Reading(100, 75, 102)),
        ("sd3", {}, Reading(101, 255, 102)),
        ("qwen_image", {"max_sequence_length": 40}, Reading(100, 40, 238)),
    ],
)
def test_the_longest_reader_counts(family: str, arguments: dict[str, Any], expected: Reading, engine: Engine) -> None:
    adopt(engine, family)
    assert engine.reading(family, type(tiny(family)).__name__, "Q" * 100, arguments) == expected


@pytest.mark.parametrize("family", ["flux2_klein", "z_image"])
def test_a_chat_template_takes_its_share(family: str, engine: Engine) -> None:
    adopt(engine, family)
    pipeline = type(tiny(family)).__name__
    found = engine.reading(family, pipeline, "Q" * 100, {"max_sequence_length": 64})
    assert found is not None
    assert found.tokens == 100
    assert 50 < found.limit < 64
    longer = engine.reading(family, pipeline, "Q" * 100, {"max_sequence_length": 128})
    assert longer == Reading(100, found.limit + 64, found.length)
    assert found.length >= 100 + 64 - found.limit  # what comes after the prompt is counted as well


def test_counting_goes_on_beside_drawing(engine: Engine) -> None:
    adopt(engine, "flux1")
    with ThreadPoolExecutor(4) as pool:
        counts = [pool.submit(engine.reading, "flux1", "FluxPipeline", "Q" * length, {}) for length in range(1, 200)]
        draw_all(engine, [sample("flux1", seed) for seed in range(3)])
        tokens = [found.tokens for count in counts if (found := count.result()) is not None]
    assert tokens == [length + 1 for length in range(1, 200)]


class SeesPictures:
    def encode_prompt(self, prompt: str, image: object) -> None: ...


class SaysNothing:
    def __call__(self, prompt: str, max_sequence_length: int | None = None) -> None: ...

    def encode_prompt(self, prompt: str) -> None: ...


@pytest.mark.parametrize("pipeline", [SeesPictures(), SaysNothing(), object()], ids=lambda one: type(one).__name__)
def test_where_it_cannot_be_known_nothing_is_claimed(pipeline: object) -> None:
    tokenizers = {"tokenizer": tiny("qwen_image").tokenizer}
    assert reading(pipeline, tokenizers, "Q" * 10_000, {}) is None


@pytest.mark.parametrize(
    "tokenizers", [{}, {"tokenizer": object()}, {"tokenizer": None}], ids=["none", "other", "null"]
)
def test_only_tokenizers_are_counted_with(tokenizers: dict[str, object]) -> None:
    assert reading(tiny("sd15"), tokenizers, "Q" * 100, {}) is None
