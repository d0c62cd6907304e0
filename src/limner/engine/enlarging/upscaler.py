"""An upscaler's file as a model: what spandrel makes of it.

Owns loading, the number type and the way from Pillow to tensors and back.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import PIL.Image
import torch

from limner.engine.devices import resolve
from limner.engine.sample import EngineSettings
from limner.errors import InvalidRequest

EXTRA = "pip install 'limner[upscale]'"
PURPOSE = "SR"
_CHANNELS = (1, 3)


@dataclass(frozen=True, slots=True)
class Upscaler:
    """A loaded model that makes any part of a picture ``scale`` times as large. ``whole`` says that it must see all of
    a picture at once."""

    descriptor: Any
    device: str
    dtype: torch.dtype
    scale: int
    whole: bool

    @classmethod
    def load(cls, file: Path, settings: EngineSettings) -> Self:
        """Raises InvalidRequest for a file that is no model that enlarges, or where spandrel is missing."""
        for name in ("spandrel", "torchvision"):
            if importlib.util.find_spec(name) is None:
                message = f"{file.name} needs {name}, which is not installed: {EXTRA}"
                raise InvalidRequest(message, param="model")
        from spandrel import ModelLoader

        return cls.of(ModelLoader("cpu").load_from_file(file), file.name, settings)

    @classmethod
    def of(cls, descriptor: Any, name: str, settings: EngineSettings) -> Self:
        """From what spandrel has loaded. Raises InvalidRequest for a model of another purpose."""
        channels = (descriptor.input_channels, descriptor.output_channels)
        if descriptor.purpose != PURPOSE or descriptor.scale < 2 or channels not in [(n, n) for n in _CHANNELS]:
            raise InvalidRequest(
                f"{name} is a model for {descriptor.purpose} of scale {descriptor.scale} with {channels[0]} channels. "
                f"Allowed: {PURPOSE} of scale 2 or more with 1 or 3 channels",
                param="model",
            )
        device = resolve(settings)
        dtype = _taken(descriptor, device.dtype)
        descriptor.to(device=device.name, dtype=dtype).eval()
        return cls(descriptor, device.name, dtype, descriptor.scale, descriptor.tiling.name == "INTERNAL")

    def enlarge(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """An RGB image, ``scale`` times as large."""
        pixels = torch.from_numpy(np.array(image)).to(self.device, self.dtype).permute(2, 0, 1) / 255  # (3, H, W)
        step = self.descriptor.input_channels  # a model of grey pictures draws every channel by itself
        with torch.inference_mode():
            parts = [self.descriptor(pixels[None, first : first + step])[0] for first in range(0, 3, step)]
        drawn = torch.cat(parts)  # (3, sH, sW)
        levels = (drawn.float().clamp(0, 1) * 255).round().to(torch.uint8)
        return PIL.Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())


def _taken(descriptor: Any, wanted: torch.dtype) -> torch.dtype:
    """``wanted`` where the model works in it, float32 otherwise."""
    works = {torch.bfloat16: descriptor.supports_bfloat16, torch.float16: descriptor.supports_half}
    return wanted if works.get(wanted, False) else torch.float32
