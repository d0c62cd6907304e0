from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from limner.core import Picture, Size
from limner.engine.cutting import Cutting
from limner.engine.pictures import image_of, picture_of
from limner.errors import InternalError, InvalidRequest


class Bright:
    """The subject is what is bright."""

    file = Path("bright.onnx")

    def alpha(self, image: Image.Image) -> Image.Image:
        return image.convert("L")


class Broken(Bright):
    def alpha(self, image: Image.Image) -> Image.Image:
        raise RuntimeError("cuDNN")


class Left(BaseException):
    pass


def moon() -> Picture:
    image = Image.new("RGB", (64, 48), "black")
    ImageDraw.Draw(image).ellipse((10, 10, 40, 40), fill="white")
    return picture_of(image)


def silent(step: int, total_steps: int) -> None:
    pass


def test_the_subject_is_cut_out_and_the_steps_are_told() -> None:
    told: list[tuple[int, int]] = []
    cut, warnings = Cutting(Bright(), "r").cut(moon(), lambda *step: told.append(step), matting=False)
    assert (cut.mode, cut.size, warnings) == ("RGBA", Size(64, 48), ())
    assert [image_of(cut).getpixel(at) for at in ((25, 25), (60, 5))] == [(255, 255, 255, 255), (0, 0, 0, 0)]
    assert told == [(1, 2), (2, 2)]


def test_matting_without_anything_sure_is_a_warning() -> None:
    pytest.importorskip("pymatting")
    dusk = picture_of(Image.new("RGB", (32, 32), (100, 100, 100)))
    cut, warnings = Cutting(Bright(), "r").cut(dusk, silent, matting=True)
    assert image_of(cut).getchannel("A").getpixel((5, 5)) == 100
    assert [(warning.param, warning.code) for warning in warnings] == [("alpha_matting", "ignored")]


def test_a_picture_without_a_subject_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="No subject was found") as caught:
        Cutting(Bright(), "r").cut(picture_of(Image.new("RGB", (8, 8))), silent, matting=False)
    assert caught.value.param == "image"


def test_what_breaks_is_reported_and_what_tells_raises_ends_the_work(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InternalError, match="removing the background failed: RuntimeError"):
        Cutting(Broken(), "r").cut(moon(), silent, matting=False)
    assert "cuDNN" in caplog.text

    def leave(step: int, total_steps: int) -> None:
        raise Left

    with pytest.raises(Left):
        Cutting(Bright(), "r").cut(moon(), leave, matting=False)


def test_an_own_file_from_load_to_cut_out(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    tiny = pytest.importorskip("tests.engine.cutting.tiny")
    file = tiny.brightness(tmp_path / "own.onnx", side=64)
    model = Cutting.load(str(file), tiny.FLAT)
    cut, _ = model.cut(moon(), silent, matting=False)
    assert [image_of(cut).getchannel("A").getpixel(at) for at in ((25, 25), (60, 45))] == [255, 0]
    assert len(model.revision) == 12


def test_what_cannot_be_loaded_is_said_so(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "own.onnx").write_bytes(b"no protobuf")
    for source, message in ((tmp_path / "none.onnx", "there is no file"), (tmp_path / "own.onnx", "cannot load .*own")):
        with pytest.raises(InvalidRequest, match=message):
            Cutting.load(str(source), {})
