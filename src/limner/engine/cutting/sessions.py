"""The models that tell a subject from its background: rembg's by their names, and ONNX files by their paths.

Owns loading them, which is the only moment at which anything may be downloaded, and how each is asked.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageChops

from limner.errors import InvalidRequest, NotReady

EXTRA = "pip install 'limner[cutout]'"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as U2-Net and BiRefNet were trained
_FAR = 30.0  # a logit beyond which nothing changes and float32 might overflow
_SIDE_PX = 1024  # for files that take any
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class Session(Protocol):
    """A loaded model; ``file`` holds its weights."""

    @property
    def file(self) -> Path:
        """Where its weights are."""
        ...

    def alpha(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """How much each pixel of an RGB image is subject: mode L, the same size."""
        ...


@dataclass(frozen=True, slots=True)
class NamedSession:
    """One of rembg's models."""

    session: Any
    file: Path

    @classmethod
    def load(cls, name: str) -> Self:
        """By rembg's name for it; fetches its file unless it is here. Raises InvalidRequest for what is no such model,
        NotReady where it cannot be fetched."""
        _require("rembg", name)
        from rembg.session_factory import new_session
        from rembg.sessions import sessions

        local = sorted(known for known, kind in sessions.items() if kind.is_local())
        if name not in local:
            raise InvalidRequest(f"rembg has no model {name!r} for this machine; it has: {', '.join(local)}")
        try:
            return cls(new_session(name), Path(sessions[name].download_models()))
        except OSError as error:
            place = Path(sessions[name].model_dir()) / f"{name}.onnx"
            raise NotReady(f"{name} is not on this machine ({place}) and cannot be fetched: {_line(error)}") from error

    def alpha(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """As `Session.alpha`."""
        with np.errstate(invalid="ignore"):  # rembg stretches contrast, of which a flat answer has none
            masks = self.session.predict(image)
        together = PIL.Image.new("L", image.size)
        for mask in masks:
            together = ImageChops.lighter(together, mask.convert("L").resize(image.size))
        return together


@dataclass(frozen=True, slots=True)
class FileSession:
    """An own ONNX file: pixels (1, 3, H, W) in, scores (1, 1, H, W) out, as probabilities or logits."""

    session: Any
    file: Path
    size: tuple[int, int]  # width, height
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def load(cls, file: Path, arguments: Mapping[str, object]) -> Self:
        """``arguments`` may be ``mean`` and ``std`` (three numbers each) by which pixels 0..1 are normalised, and
        ``side_px`` for a file that takes any size. Raises InvalidRequest for what is no such file."""
        _require("onnxruntime", file.name)
        from onnxruntime import InferenceSession, get_available_providers

        unknown = sorted(arguments.keys() - {"mean", "std", "side_px"})
        if unknown:
            raise InvalidRequest(f"{file.name} takes no argument {unknown[0]!r}. Allowed: mean, std, side_px")
        there = get_available_providers()
        session = InferenceSession(str(file), providers=[name for name in _PROVIDERS if name in there])
        size = _size(session.get_inputs()[0].shape, int(str(arguments.get("side_px", _SIDE_PX))), file.name)
        return cls(session, file, size, _three(arguments, "mean", _MEAN), _three(arguments, "std", _STD))

    def alpha(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """As `Session.alpha`."""
        taken = self.session.get_inputs()[0]
        pixels = np.asarray(image.resize(self.size, PIL.Image.Resampling.LANCZOS), np.float32) / 255
        normal = ((pixels - self.mean) / self.std).transpose(2, 0, 1)[None]
        kind = np.float16 if taken.type == "tensor(float16)" else np.float32
        scores = np.asarray(self.session.run(None, {taken.name: normal.astype(kind)})[0], np.float32)
        grey = PIL.Image.fromarray(_levels(scores.reshape(scores.shape[-2:])))
        return grey.resize(image.size, PIL.Image.Resampling.LANCZOS)


def _levels(scores: NDArray[np.float32]) -> NDArray[np.uint8]:  # (H, W), 0..255
    """Logits are told from probabilities by their range; what is clearly there becomes fully opaque."""
    are_logits = scores.min() < 0 or scores.max() > 1
    sure = 1 / (1 + np.exp(-np.clip(scores, -_FAR, _FAR))) if are_logits else scores
    most = float(sure.max())
    return np.rint(sure * (255 / most if most > 0.5 else 255)).astype(np.uint8)


def _size(shape: list[int | str | None], side_px: int, name: str) -> tuple[int, int]:
    if len(shape) != 4 or shape[1] != 3:
        raise InvalidRequest(f"{name} takes pixels of shape {shape}. Allowed: batch, 3, height, width", param="model")
    height, width = (extent if isinstance(extent, int) else side_px for extent in shape[2:])
    return width, height


def _three(arguments: Mapping[str, object], name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    value = arguments.get(name, default)
    given = value if isinstance(value, list | tuple) else ()
    numbers = tuple(float(number) for number in given if isinstance(number, int | float))
    if len(numbers) != 3 or len(given) != 3:
        raise InvalidRequest(f"Invalid value for {name!r}: {value!r}. Allowed: three numbers", param="model")
    return numbers


def _require(package: str, model: str) -> None:
    """Looked for before it is imported: rembg ends the process where its runtime is missing."""
    for name in (package, "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            raise InvalidRequest(f"{model} needs {name}, which is not installed: {EXTRA}", param="model")


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
