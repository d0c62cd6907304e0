"""Where tiles lie and how they are joined: pure geometry and masks.

A tile overlaps the one before it in its row and is laid over it with a soft edge, and so is a row over the row before.
Their outermost pixels, which a model has seen no surroundings of, do not show.
"""

import math
from dataclasses import dataclass

import PIL.Image
from PIL import ImageChops

from limner.core import Size


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a picture in its pixels; ``right`` and ``bottom`` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """As Pillow wants it."""
        return self.left, self.top, self.right, self.bottom


def rows(size: Size, side_px: int, overlap_px: int) -> list[list[Tile]]:
    """Rows of tiles of at most ``side_px`` that cover ``size``; neighbours share at least ``overlap_px``, and all are
    equally large."""
    assert 0 <= overlap_px < side_px, "tiles must advance"
    across, down = (_starts(extent, side_px, overlap_px) for extent in (size.width_px, size.height_px))
    width, height = min(size.width_px, side_px), min(size.height_px, side_px)
    return [[Tile(left, top, left + width, top + height) for left in across] for top in down]


def _starts(extent: int, side: int, overlap: int) -> list[int]:
    count = max(1, math.ceil((extent - overlap) / (side - overlap)))
    return [max(0, min(i * (side - overlap), extent - side)) for i in range(count)]


def feather(extent: tuple[int, int], left_px: int, top_px: int) -> PIL.Image.Image:
    """How much of a tile or row of ``extent`` shows, mode L: everything but for its first ``left_px`` columns and
    ``top_px`` rows, over which it fades in between their first and last quarter. 0 for a side that does not overlap."""
    across = PIL.Image.frombytes("L", (extent[0], 1), _fade(extent[0], left_px))
    down = PIL.Image.frombytes("L", (1, extent[1]), _fade(extent[1], top_px))
    return ImageChops.multiply(across.resize(extent), down.resize(extent))


def _fade(length: int, over: int) -> bytes:
    ramp = (round(255 * min(max(2 * (i + 0.5) / over - 0.5, 0), 1)) for i in range(over))
    return bytes([*ramp, *[255] * (length - over)])
