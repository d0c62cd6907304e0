from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from limner.core import Picture, Size
from limner.engine.grounding import Grounding
from limner.engine.pictures import picture_of
from limner.errors import InvalidRequest, LimnerError, MissingParameter, RegionIsAll
from tests.engine.grounding import tiny


class Brightness:
    """Finds what is bright, whatever the words."""

    def scores(self, image: Image.Image, words: str) -> Image.Image:
        assert (image.mode, words) == ("RGB", "the lamp")
        return image.convert("L").resize((32, 32))


def night(*lamp: int, mode: str = "RGB") -> Picture:
    image = Image.new(mode, (96, 64), "black")
    if lamp:
        ImageDraw.Draw(image).rectangle(lamp, fill="white")
    return picture_of(image)


def test_the_mask_is_as_large_as_the_picture_and_where_the_thing_is() -> None:
    mask = Grounding(Brightness(), "").mask(night(30, 20, 60, 50), "the lamp")
    image = Image.frombytes("L", (96, 64), mask.pixels)
    assert (mask.mode, mask.size) == ("L", Size(96, 64))
    assert [image.getpixel(at) for at in ((45, 35), (5, 5), (90, 60))] == [255, 0, 0]


def test_a_picture_may_be_transparent_or_grey() -> None:
    grounding = Grounding(Brightness(), "")
    for mode in ("RGBA", "L"):
        assert grounding.mask(night(30, 20, 60, 50, mode=mode), "the lamp").size == Size(96, 64)


@pytest.mark.parametrize(
    ("lamp", "message"),
    [((), "Nothing of 'the lamp' was found"), ((0, 0, 96, 64), "'the lamp' would be the whole picture.*'edit'")],
)
def test_nothing_and_everything_are_refused_naming_the_words(lamp: tuple[int, ...], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        Grounding(Brightness(), "").mask(night(*lamp), "the lamp")
    assert caught.value.param == "region"


def test_blank_words_are_missing_ones() -> None:
    with pytest.raises(MissingParameter) as caught:
        Grounding(Brightness(), "").mask(night(), " ")
    assert caught.value.param == "region"


def test_a_model_is_loaded_by_what_its_configuration_says(tmp_path: Path) -> None:
    model = tiny.clipseg(tmp_path)
    first = Grounding.load(str(tmp_path), "cpu")
    with torch.no_grad():
        model.decoder.transposed_convolution.bias += 100.0
    model.save_pretrained(tmp_path)
    second = Grounding.load(str(tmp_path), "cpu")
    assert len(first.revision) == 12
    assert first.revision != second.revision
    with pytest.raises(RegionIsAll, match="would be the whole picture"):
        second.mask(night(30, 20, 60, 50), "the red circle")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"model_type": "bert", "architectures": ["BertModel"]}', "is a BertModel, which finds nothing by words"),
        ('{"model_type": "clipseg", "architectures": ["CLIPSegForImageSegmentation"]}', "cannot load"),
        ("{", "cannot load"),
    ],
)
def test_what_cannot_be_loaded_is_said_so(tmp_path: Path, config: str, message: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(InvalidRequest, match=message):
        Grounding.load(str(tmp_path), "cpu")


@pytest.mark.parametrize("source", ["embedded:nobody", "/no/such/model", "nobody/nothing"])
def test_what_is_not_there_is_said_so(source: str) -> None:
    with pytest.raises(LimnerError, match=source.rpartition(":")[2]):
        Grounding.load(source, "cpu")
