"""The models that find things by words, each behind the same narrow method.

Owns how every architecture is called and what its answers mean; what becomes of the scores is `masks`. All run in
float32: they are small, their scores meet thresholds, and not all of them work in less.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import PIL.Image
import torch
from PIL import ImageDraw

from limner.errors import InvalidRequest

BOX_SCORE = 0.25  # what GroundingDINO's own demonstration asks of a box, and of the words for it
INSTANCE_SCORE = 0.3  # what SAM 3's own processor asks of an instance
_BOX_CANVAS_PX = 1024


class Finder(Protocol):
    """A loaded model."""

    def scores(self, image: PIL.Image.Image, words: str) -> PIL.Image.Image:
        """How surely each spot of an RGB image belongs to what ``words`` name: mode L, of any size, stretched over
        the whole image."""
        ...


@dataclass(frozen=True, slots=True)
class Segmenter:
    """CLIPSeg (Lüddecke and Ecker 2022): one score for every spot."""

    model: Any
    tokenizer: Any
    processor: Any

    @classmethod
    def load(cls, place: str, device: str) -> "Segmenter":
        """From a directory or a hub's id."""
        from transformers import AutoTokenizer, CLIPSegForImageSegmentation

        model = _placed(CLIPSegForImageSegmentation.from_pretrained(place, dtype=torch.float32), device)
        return cls(model, AutoTokenizer.from_pretrained(place), _image_processor(place))

    def scores(self, image: PIL.Image.Image, words: str) -> PIL.Image.Image:
        """As `Finder.scores`."""
        longest = self.model.config.text_config.max_position_embeddings
        text = self.tokenizer([words], truncation=True, max_length=longest, return_tensors="pt")
        pixels = self.processor([image], return_tensors="pt")["pixel_values"]  # (1, 3, H, W)
        answer = self.model(
            input_ids=text["input_ids"].to(self.model.device),
            attention_mask=text["attention_mask"].to(self.model.device),
            pixel_values=pixels.to(self.model.device),
        )
        return _grey(answer.logits.sigmoid())


@dataclass(frozen=True, slots=True)
class Detector:
    """GroundingDINO (Liu et al. 2023): boxes, which are taken whole."""

    model: Any
    processor: Any

    @classmethod
    def load(cls, place: str, device: str) -> "Detector":
        """From a directory or a hub's id."""
        from transformers import AutoModelForZeroShotObjectDetection, AutoTokenizer, GroundingDinoProcessor

        model = AutoModelForZeroShotObjectDetection.from_pretrained(place, dtype=torch.float32)
        processor = GroundingDinoProcessor(_image_processor(place), AutoTokenizer.from_pretrained(place))
        return cls(_placed(model, device), processor)

    def scores(self, image: PIL.Image.Image, words: str) -> PIL.Image.Image:
        """As `Finder.scores`."""
        phrase = f"{' '.join(words.replace('.', ' ').split()).lower()}."  # a full stop ends what is looked for
        inputs = self.processor(images=image, text=phrase, return_tensors="pt").to(self.model.device)
        extent = _within(image, _BOX_CANVAS_PX)
        found = self.processor.post_process_grounded_object_detection(
            self.model(**inputs), inputs["input_ids"], threshold=BOX_SCORE, text_threshold=BOX_SCORE,
            target_sizes=[(extent[1], extent[0])],
        )[0]  # fmt: skip
        canvas = PIL.Image.new("L", extent)
        for left, top, right, bottom in found["boxes"].tolist():
            ImageDraw.Draw(canvas).rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), fill=255)
        return canvas


@dataclass(frozen=True, slots=True)
class Outliner:
    """SAM 3 (Carion et al. 2025): a mask for every thing that the words name."""

    model: Any
    processor: Any

    @classmethod
    def load(cls, place: str, device: str) -> "Outliner":
        """From a directory or a hub's id. Raises InvalidRequest where torchvision is not installed."""
        from transformers import AutoProcessor, Sam3Model
        from transformers.utils import is_torchvision_available

        if not is_torchvision_available():
            raise InvalidRequest(
                f"{place} needs torchvision, which is not installed: pip install torchvision", param="model"
            )
        model = _placed(Sam3Model.from_pretrained(place, dtype=torch.float32), device)
        return cls(model, AutoProcessor.from_pretrained(place))

    def scores(self, image: PIL.Image.Image, words: str) -> PIL.Image.Image:
        """As `Finder.scores`."""
        inputs = self.processor(images=image, text=words, return_tensors="pt").to(self.model.device)
        answer = self.model(**inputs)
        sure = answer.pred_logits.sigmoid()  # (1, things)
        if answer.presence_logits is not None:
            sure = sure * answer.presence_logits.sigmoid()
        masks = answer.pred_masks[0][sure[0] > INSTANCE_SCORE].sigmoid()  # (things, h, w)
        return _grey(masks.amax(dim=0) if len(masks) else torch.zeros_like(answer.pred_masks[0, 0]))


LOADERS: Mapping[str, Callable[[str, str], Finder]] = {
    "CLIPSegForImageSegmentation": Segmenter.load,
    "GroundingDinoForObjectDetection": Detector.load,
    "MMGroundingDinoForObjectDetection": Detector.load,
    "Sam3Model": Outliner.load,
    "Sam3VideoModel": Outliner.load,
}
"""By what config.json calls the architecture; SAM 3 is published as its video model, which holds the other."""


def _image_processor(place: str) -> Any:
    """Pillow's, so that the same picture gives the same mask wherever it is looked at."""
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(place, backend="pil")


def _placed(model: Any, device: str) -> Any:
    return model.to(device).eval().requires_grad_(False)


def _grey(scores: torch.Tensor) -> PIL.Image.Image:
    """Scores 0..1 of one picture, (..., H, W), as an image."""
    flat = scores.reshape(scores.shape[-2:])
    return PIL.Image.fromarray((flat * 255).round().to(torch.uint8).cpu().numpy())


def _within(image: PIL.Image.Image, longest_px: int) -> tuple[int, int]:
    """The image's extent, or a smaller one of the same proportions with sides of at most ``longest_px``."""
    scale = min(1.0, longest_px / max(image.size))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))
