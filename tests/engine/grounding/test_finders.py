"""The real classes with random weights: what is given to them and what their answers become."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limner.engine.grounding.finders import LOADERS, Detector, Outliner, Segmenter
from limner.errors import InvalidRequest
from tests.engine.grounding import tiny

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def clipseg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clipseg")
    tiny.clipseg(folder)
    return folder


@torch.inference_mode()
def test_clipseg_answers_with_a_score_for_every_spot(clipseg: Path) -> None:
    finder = Segmenter.load(str(clipseg), "cpu")
    grey = finder.scores(NOISE, "the red circle")
    assert (grey.mode, grey.size) == ("L", (tiny.SIDE, tiny.SIDE))
    inputs = finder.tokenizer(["the red circle"], return_tensors="pt")
    pixels = finder.processor([NOISE], return_tensors="pt")["pixel_values"]
    expected = finder.model(input_ids=inputs["input_ids"], pixel_values=pixels).logits.sigmoid() * 255
    assert np.abs(np.asarray(grey) - expected.reshape(tiny.SIDE, tiny.SIDE).numpy()).max() <= 0.51


@torch.inference_mode()
def test_other_words_give_other_scores_and_long_ones_are_cut(clipseg: Path) -> None:
    finder = Segmenter.load(str(clipseg), "cpu")
    red, blue = (np.asarray(finder.scores(NOISE, words)).astype(int) for words in ("the red circle", "the blue circle"))
    assert np.abs(red - blue).max() > 0
    assert finder.scores(NOISE, "the red circle " * 50).size == (tiny.SIDE, tiny.SIDE)


@torch.inference_mode()
def test_grounding_dino_fills_the_boxes_that_it_is_sure_of(tmp_path: Path) -> None:
    model = tiny.grounding_dino(tmp_path)
    finder = Detector.load(str(tmp_path), "cpu")
    inputs = finder.processor(images=NOISE, text="the red circle.", return_tensors="pt")
    answer = model.eval()(**inputs)
    canvas = finder.scores(NOISE, " The red  circle. ")
    assert canvas.size == NOISE.size
    filled = np.asarray(canvas) == 255
    boxes = answer.pred_boxes[0][answer.logits[0].sigmoid().amax(-1) > 0.25]
    assert len(boxes)
    inside = np.zeros_like(filled)
    for x, y, width, height in (boxes * torch.tensor([80, 48, 80, 48])).tolist():
        inside[
            max(0, round(y - height / 2)) : round(y + height / 2), max(0, round(x - width / 2)) : round(x + width / 2)
        ] = True
    assert (filled != inside).mean() < 0.06  # but for the boxes' borders


def test_sam_3_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.utils.is_torchvision_available", lambda: False)
    with pytest.raises(InvalidRequest, match="needs torchvision, which is not installed: pip install"):
        Outliner.load("facebook/sam3", "cpu")


def test_every_architecture_is_a_class_of_transformers() -> None:
    import transformers

    assert [name for name in LOADERS if not hasattr(transformers, name)] == []
