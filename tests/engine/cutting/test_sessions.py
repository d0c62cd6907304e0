import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limner.engine.cutting.sessions import FileSession, NamedSession
from limner.errors import InvalidRequest, NotReady

pytest.importorskip("onnxruntime")
tiny = pytest.importorskip("tests.engine.cutting.tiny")

STRIPES = Image.new("RGB", (100, 50), "white")
STRIPES.paste("black", (0, 0, 40, 50))


def levels(image: Image.Image, *box: int) -> tuple[int, int]:
    """The least and the greatest value in a part of an image, or in all of it."""
    pixels = np.asarray(image)
    left, top, right, bottom = box or (0, 0, image.width, image.height)
    return int(pixels[top:bottom, left:right].min()), int(pixels[top:bottom, left:right].max())


@pytest.mark.parametrize("side", [32, "open"])
def test_an_own_file_is_asked_at_its_own_size_and_answers_at_the_pictures(tmp_path: Path, side: int | str) -> None:
    file = tiny.brightness(tmp_path / "own.onnx", side=side)
    session = FileSession.load(file, {**tiny.FLAT, "side_px": 64})
    assert session.size == ((32, 32) if side == 32 else (64, 64))
    alpha = session.alpha(STRIPES)
    assert (alpha.mode, alpha.size) == ("L", STRIPES.size)
    assert levels(alpha, 0, 0, 35, 50)[1] < 30
    assert levels(alpha, 45, 0, 100, 50)[0] > 225


@pytest.mark.parametrize(("gain", "bright"), [(20.0, 255), (0.8, 255), (0.3, 76)])
def test_logits_become_probabilities_and_what_is_clearly_there_opaque(tmp_path: Path, gain: float, bright: int) -> None:
    session = FileSession.load(tiny.brightness(tmp_path / "own.onnx", side=32, gain=gain), tiny.FLAT)
    assert session.alpha(STRIPES).getpixel((80, 25)) == pytest.approx(bright, abs=2)


def test_pixels_are_normalised_as_imagenets_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    file = tiny.brightness(tmp_path / "own.onnx", side=32)
    grey = Image.new("RGB", (32, 32), (124, 116, 104))  # ImageNet's mean, of which nothing is left
    assert levels(FileSession.load(file, {}).alpha(grey))[1] < 140
    assert levels(FileSession.load(file, tiny.FLAT).alpha(grey))[1] < 130


def test_a_file_of_half_precision_is_fed_halves(tmp_path: Path) -> None:
    session = FileSession.load(tiny.brightness(tmp_path / "own.onnx", side=32, half=True), tiny.FLAT)
    assert session.alpha(STRIPES).getpixel((80, 25)) == 255


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"means": [0, 0, 0]}, "no argument 'means'. Allowed: mean, std, side_px"),
        ({"mean": [0, 0]}, r"'mean': \[0, 0\]. Allowed: three numbers"),
        ({"std": 1.0}, "'std': 1.0. Allowed: three numbers"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        FileSession.load(tiny.brightness(tmp_path / "own.onnx"), arguments)


def test_a_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"takes pixels of shape .*Allowed: batch, 3, height, width"):
        FileSession.load(tiny.brightness(tmp_path / "own.onnx", channels=4), {})


@pytest.mark.parametrize("missing", ["rembg", "onnxruntime"])
def test_what_is_not_installed_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else found(name))
    with pytest.raises(InvalidRequest, match=rf"u2net needs {missing}, .*: pip install 'limner\[cutout\]'"):
        NamedSession.load("u2net")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where rembg looks for files, with no way to fetch any."""
    pytest.importorskip("rembg")
    monkeypatch.delenv("U2NET_HOME", raising=False)
    monkeypatch.setenv("REMBG_HOME", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    return tmp_path


def test_a_model_of_rembgs_is_found_by_its_name(home: Path) -> None:
    folder = home / "models" / "u2netp"
    folder.mkdir(parents=True)
    tiny.brightness(folder / "u2netp.onnx")
    session = NamedSession.load("u2netp")
    assert session.file == folder / "u2netp.onnx"
    alpha = session.alpha(STRIPES)
    assert alpha.size == STRIPES.size
    assert levels(alpha, 0, 0, 30, 50)[1] < 30
    assert levels(alpha, 50, 0, 100, 50)[0] > 225
    assert levels(session.alpha(Image.new("RGB", (20, 10), "grey"))) == (0, 0)  # flat: no subject, and no warning


def test_a_model_that_cannot_be_fetched_says_where_it_was_looked_for_and_why(home: Path) -> None:
    with pytest.raises(
        NotReady, match=rf"u2netp is not on this machine \({home}.*u2netp.onnx\) and cannot be fetched: "
    ):
        NamedSession.load("u2netp")


@pytest.mark.parametrize("name", ["u2nett", "withoutbg", "atlascloud"])
def test_other_names_and_models_that_send_pictures_away_are_refused(home: Path, name: str) -> None:
    with pytest.raises(
        InvalidRequest, match=rf"no model '{name}' for this machine; it has: .*birefnet-general"
    ) as caught:
        NamedSession.load(name)
    assert "withoutbg" not in caught.value.message.partition("it has")[2]
