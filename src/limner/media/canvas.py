"""Bringing a picture to another size by stretching, cropping or filling up, and taking out and putting back a part.

Owns geometry on whole pictures: what editors of pictures do before and after a model draws. Pure Pillow, CPU-bound.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from PIL import Image

from limner.core import Picture, Size
from limner.media.convert import from_image, to_image
from limner.media.resize import fit

Fit: TypeAlias = Literal["stretch", "crop", "fill"]


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a picture in pixels; ``right`` and ``bottom`` are the first beyond it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> Size:
        """Its extent."""
        return Size(self.right - self.left, self.bottom - self.top)

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """As Pillow takes it."""
        return (self.left, self.top, self.right, self.bottom)


def fitted(picture: Picture, size: Size, how: Fit) -> Picture:
    """``picture`` at exactly ``size``: stretched; scaled to cover it and cut; or scaled into it, with what is left
    filled from the nearest edge's colours."""
    match how:
        case "stretch":
            return fit(picture, size)
        case "crop":
            return fit(cut(picture, _covered(picture.size, size)), size)
        case "fill":
            return _filled_up(picture, size)


def inside(size: Size, frame: Size) -> Size:
    """The largest size in the proportions of ``size`` that fits into ``frame``."""
    scale = min(frame.width_px / size.width_px, frame.height_px / size.height_px)
    return Size(max(1, round(size.width_px * scale)), max(1, round(size.height_px * scale)))


def cut(picture: Picture, box: Box) -> Picture:
    """The part of ``picture`` in ``box``."""
    return from_image(to_image(picture).crop(box.sides))


def put_back(part: Picture, original: Picture, box: Box, mask: Picture) -> Picture:
    """``original`` in RGB with ``part``, brought to the box's size, where ``mask`` (as large as the original) is 255,
    and softly where it is between."""
    canvas = to_image(original).convert("RGB")
    patch = to_image(fit(part, box.size)).convert("RGB")
    canvas.paste(patch, box.sides[:2], to_image(mask).convert("L").crop(box.sides))
    return from_image(canvas)


def around(box: Box, padding_px: int, size: Size, bounds: Size) -> Box:
    """``box`` with ``padding_px`` on each side, then grown to the proportions of ``size``; inside ``bounds``."""
    left, right = _grown(box.left, box.right, padding_px, bounds.width_px)
    top, bottom = _grown(box.top, box.bottom, padding_px, bounds.height_px)
    width, height = right - left, bottom - top
    if width * size.height_px < height * size.width_px:
        left, right = _widened(left, right, round(height * size.width_px / size.height_px), bounds.width_px)
    else:
        top, bottom = _widened(top, bottom, round(width * size.height_px / size.width_px), bounds.height_px)
    return Box(left, top, right, bottom)


def _grown(low: int, high: int, padding: int, limit: int) -> tuple[int, int]:
    return max(0, low - padding), min(limit, high + padding)


def _widened(low: int, high: int, length: int, limit: int) -> tuple[int, int]:
    """The stretch grown evenly to ``length``, moved rather than cut at the ends."""
    length = min(length, limit)
    start = min(max(0, low - (length - (high - low)) // 2), limit - length)
    return start, start + length


def _covered(source: Size, size: Size) -> Box:
    """The middle of ``source`` in the proportions of ``size``."""
    width = min(source.width_px, max(1, round(source.height_px * size.width_px / size.height_px)))
    height = min(source.height_px, max(1, round(source.width_px * size.height_px / size.width_px)))
    left, top = (source.width_px - width) // 2, (source.height_px - height) // 2
    return Box(left, top, left + width, top + height)


def _filled_up(picture: Picture, size: Size) -> Picture:
    inner = inside(picture.size, size)
    image = to_image(fit(picture, inner))
    canvas = Image.new(image.mode, (size.width_px, size.height_px))
    left, top = (size.width_px - inner.width_px) // 2, (size.height_px - inner.height_px) // 2
    right, bottom = size.width_px - left - inner.width_px, size.height_px - top - inner.height_px
    for length, edge, x in ((left, 0, 0), (right, inner.width_px - 1, size.width_px - right)):
        if length:
            column = image.crop((edge, 0, edge + 1, inner.height_px))
            canvas.paste(column.resize((length, inner.height_px)), (x, top))
    canvas.paste(image, (left, top))
    for length, edge, y in ((top, 0, 0), (bottom, inner.height_px - 1, size.height_px - bottom)):
        if length:
            row = canvas.crop((0, top + edge, size.width_px, top + edge + 1))
            canvas.paste(row.resize((size.width_px, length)), (0, y))
    return from_image(canvas)
