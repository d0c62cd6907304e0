"""What spandrel gives, played by a descriptor of the same shape around a real module."""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from PIL import Image

from limner.engine import EngineSettings
from limner.engine.enlarging import Enlarging
from limner.engine.enlarging.upscaler import Upscaler
from limner.errors import InvalidRequest


@dataclass
class Descriptor:
    scale: int = 2
    input_channels: int = 3
    output_channels: int = 3
    purpose: str = "SR"
    supports_half: bool = True
    supports_bfloat16: bool = False
    tiling: Any = field(default_factory=lambda: SimpleNamespace(name="SUPPORTED"))
    placed: dict[str, Any] = field(default_factory=dict)
    gain: float = 1.0

    def to(self, **where: Any) -> "Descriptor":
        self.placed = where
        return self

    def eval(self) -> "Descriptor":
        return self

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        assert image.shape[:2] == (1, self.input_channels)
        assert image.dtype == self.placed["dtype"]
        assert float(image.min()) >= 0
        assert float(image.max()) <= 1
        return torch.nn.functional.interpolate(image, scale_factor=self.scale, mode="nearest") * self.gain


SETTINGS = EngineSettings(device="cpu")
SQUARES = Image.merge(
    "RGB", [Image.linear_gradient("L").resize((8, 6)).point(lambda v, k=k: v // k) for k in (1, 2, 3)]
)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_go_in_and_come_out_as_they_are(channels: int) -> None:
    model = Upscaler.of(Descriptor(input_channels=channels, output_channels=channels), "x", SETTINGS)
    drawn = model.enlarge(SQUARES)
    assert (drawn.mode, drawn.size) == ("RGB", (16, 12))
    assert drawn.tobytes() == SQUARES.resize((16, 12), Image.Resampling.NEAREST).tobytes()


def test_what_a_model_overshoots_is_clipped() -> None:
    drawn = Upscaler.of(Descriptor(gain=3.0), "x", SETTINGS).enlarge(Image.new("RGB", (4, 4), (200, 10, 0)))
    assert drawn.getpixel((0, 0)) == (255, 30, 0)


@pytest.mark.parametrize(
    ("asked", "used"),
    [("float32", torch.float32), ("float16", torch.float16), ("bfloat16", torch.float32), ("auto", torch.float32)],
)
def test_a_number_type_that_the_model_lacks_is_not_used(
    asked: Literal["auto", "float32", "float16", "bfloat16"], used: torch.dtype
) -> None:
    model = Upscaler.of(Descriptor(), "x", EngineSettings(device="cpu", dtype=asked))
    assert model.dtype is used
    assert model.enlarge(SQUARES).size == (16, 12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 1, "purpose": "Restoration"}, "is a model for Restoration of scale 1 with 3 channels. Allowed: SR"),
        ({"purpose": "FaceSR"}, "for FaceSR"),
        ({"input_channels": 4}, "with 4 channels"),
        ({"input_channels": 4, "output_channels": 4}, "with 4 channels"),
    ],
)
def test_models_of_another_purpose_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=f"x.pth .*{message}"):
        Upscaler.of(Descriptor(**change), "x.pth", SETTINGS)


def test_a_model_that_tiles_by_itself_sees_everything() -> None:
    assert Upscaler.of(Descriptor(tiling=SimpleNamespace(name="INTERNAL")), "x", SETTINGS).whole
    assert not Upscaler.of(Descriptor(tiling=SimpleNamespace(name="DISCOURAGED")), "x", SETTINGS).whole


@pytest.mark.parametrize("missing", ["spandrel", "torchvision"])
def test_what_is_not_installed_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else found("torch"))
    file = tmp_path / "RealESRGAN_x4plus.pth"
    file.touch()
    with pytest.raises(InvalidRequest, match=rf"RealESRGAN_x4plus.pth needs {missing}, .*'limner\[upscale\]'"):
        Enlarging.load(str(file), SETTINGS)


def test_a_real_file_from_load_to_picture(tmp_path: Path) -> None:
    """A small ESRGAN with random weights; where spandrel can be imported."""
    try:
        from spandrel.architectures.ESRGAN import ESRGAN
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"spandrel cannot be imported: {error}")
    torch.manual_seed(0)
    network = ESRGAN(num_filters=8, num_blocks=1, scale=4)
    torch.save(network.state_dict(), tmp_path / "tiny.pth")
    from limner.core import Size
    from limner.engine.pictures import picture_of

    model = Enlarging.load(str(tmp_path / "tiny.pth"), SETTINGS)
    told: list[tuple[int, int]] = []
    drawn = model.enlarge(picture_of(SQUARES), Size(64, 48), lambda *step: told.append(step))
    assert (drawn.size, told) == (Size(64, 48), [(1, 2), (2, 2)])
