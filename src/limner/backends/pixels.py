"""Pictures on their way into a pipeline and out again. Pure Pillow; knows neither engine nor loop."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import PIL.Image
import PIL.ImageOps

from limner.core import Picture, Size
from limner.media.canvas import Fit, fitted
from limner.media.convert import from_image, to_image

REFERENCE_PIXELS = 1024 * 1024
_WHITE = (255, 255, 255)


def opaque(picture: Picture) -> PIL.Image.Image:
    """``picture`` in RGB, which is what pipelines read: what is transparent lies on white."""
    image = to_image(picture)
    if image.mode != "RGBA":
        return image.convert("RGB")
    ground = PIL.Image.new("RGB", image.size, _WHITE)
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def grey(mask: Picture) -> PIL.Image.Image:
    """``mask`` in mode L."""
    return to_image(mask).convert("L")


def resized(image: PIL.Image.Image, size: Size | None) -> PIL.Image.Image:
    """``image`` at ``size`` by a Lanczos filter; the same object where nothing changes."""
    if size is None or image.size == (size.width_px, size.height_px):
        return image
    return image.resize((size.width_px, size.height_px), PIL.Image.Resampling.LANCZOS)


def alike(images: Sequence[PIL.Image.Image]) -> list[PIL.Image.Image]:
    """References for pipelines that cut all of a list to the first one's size, and take that at any area: the first
    brought below `REFERENCE_PIXELS`, the others whole inside its frame, on white."""
    width, height = images[0].size
    factor = min(1.0, math.sqrt(REFERENCE_PIXELS / (width * height)))
    frame = (max(1, round(width * factor)), max(1, round(height * factor)))
    return [PIL.ImageOps.pad(image, frame, PIL.Image.Resampling.LANCZOS, _WHITE) for image in images]


@dataclass(frozen=True, slots=True)
class Finish:
    """What is done to a drawn picture: its middle is cut out in the proportions of ``part``; it is brought to ``size``,
    which some pipelines only take as a hint, by ``how``; and it gets back what a masked edit left alone."""

    size: Size | None = None
    kept: "Kept | None" = None
    part: Size | None = None
    how: Fit = "stretch"

    def __call__(self, drawn: Picture) -> Picture:
        """The picture as it was asked for."""
        shown = drawn if self.part is None else fitted(drawn, self.part, "crop")
        brought = shown if self.size is None else fitted(shown, self.size, self.how)
        return brought if self.kept is None else self.kept.restored(brought)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a masked edit must leave alone. Models redraw everything, if only by a little."""

    original: PIL.Image.Image
    mask: PIL.Image.Image

    def restored(self, drawn: Picture) -> Picture:
        """``drawn`` where the mask is 255, the original where it is 0, and softly between, in RGB.

        Where the sizes are equal, what the mask keeps is the original's bytes.
        """
        original, mask = (resized(image, drawn.size) for image in (self.original, self.mask))
        return picture_of(PIL.Image.composite(opaque(drawn), original, mask))


def picture_of(image: PIL.Image.Image) -> Picture:
    """An image of mode RGB, RGBA or L as a Picture."""
    return from_image(image)
