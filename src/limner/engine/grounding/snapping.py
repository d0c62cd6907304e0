"""Moves the edges of what was found to the edges of flat colours: for drawings, where an outline is where colour ends.

Owns when a picture counts as flat. Knows neither models nor words.
"""

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageFilter

COLORS = 24
CELL_SHARE = 0.25  # of the shorter side: spots of one colour that are this close share a score
FLAT = 7.0  # mean difference, 0..255, between a picture and itself in few colours, up to which it is a drawing

Numbers = NDArray[np.float64]


def snapped(scores: PIL.Image.Image, image: PIL.Image.Image) -> PIL.Image.Image:
    """``scores`` (mode L, any size) at the size of the RGB ``image``, even over neighbouring spots of one colour.

    The scores come back as they are where the picture is not drawn in flat colours: photographs have no such edges.
    """
    few = image.filter(ImageFilter.MedianFilter(3)).quantize(
        COLORS, PIL.Image.Quantize.MEDIANCUT, dither=PIL.Image.Dither.NONE
    )
    if _difference(image, few) > FLAT:
        return scores
    whole = scores.resize(image.size, PIL.Image.Resampling.BILINEAR)
    found = _even(np.asarray(whole, np.float64), np.asarray(few, np.int64))
    return PIL.Image.fromarray(found.round().astype(np.uint8))


def _difference(image: PIL.Image.Image, few: PIL.Image.Image) -> float:
    """How far apart two pictures are on average, in each channel."""
    one, two = np.asarray(image, np.int16), np.asarray(few.convert("RGB"), np.int16)
    return float(np.abs(one - two).mean())


def _even(scores: Numbers, colors: NDArray[np.int64]) -> Numbers:
    """Every spot's mean score over its colour in its cell, averaged over four grids of cells, each moved by half a
    cell, so that no border of a cell shows."""
    height, width = scores.shape
    cell = max(2, round(CELL_SHARE * min(height, width)))
    total = np.zeros_like(scores)
    for down, across in ((0, 0), (cell // 2, 0), (0, cell // 2), (cell // 2, cell // 2)):
        rows, columns = (np.arange(height) + down) // cell, (np.arange(width) + across) // cell
        keys = (rows[:, None] * (columns[-1] + 1) + columns[None]) * COLORS + colors
        counts = np.bincount(keys.ravel()).clip(1)
        total += (np.bincount(keys.ravel(), scores.ravel()) / counts)[keys]
    return total / 4
