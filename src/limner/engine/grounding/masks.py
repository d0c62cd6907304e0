"""From how sure a model is of every spot to a mask of the picture's size.

Owns the threshold, the soft edge and what counts as nothing or as everything. Knows no model.
"""

import numpy as np
import PIL.Image
from PIL import ImageChops, ImageFilter

from limner.core import Size
from limner.engine.grounding.regions import without_speckles

THRESHOLD = 0.5  # of a score: from here on a spot is counted in
STEEPNESS = 4.0  # of the soft edge: scores from 0.375 to 0.625 become 0..255
LEAST = 1 / 5000  # of the picture: less is nothing
MOST = 0.995  # of the picture: more is everything

_EDGE = [round(255 * min(max(0.5 + (value / 255 - THRESHOLD) * STEEPNESS, 0), 1)) for value in range(256)]
_HALF = 128


def mask_of(scores: PIL.Image.Image, size: Size) -> PIL.Image.Image:
    """A mask in mode L of ``size`` from ``scores`` in mode L of any size, 255 = surely. What was found in speckles
    besides larger regions is left out. The edge is cut at the picture's own resolution, along the contour."""
    assert scores.mode == "L", scores.mode
    kept = without_speckles(np.asarray(scores) >= THRESHOLD * 255)
    # Just outside the contour the edge is still soft, so a margin of what was kept may show.
    allowed = PIL.Image.fromarray(kept.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(5))
    extent = (size.width_px, size.height_px)
    edge = scores.resize(extent, PIL.Image.Resampling.BICUBIC).point(_EDGE)
    return ImageChops.darker(edge, allowed.resize(extent, PIL.Image.Resampling.NEAREST))


def share(mask: PIL.Image.Image) -> float:
    """How much of the picture a mask covers, 0..1: the pixels that are more in than out."""
    histogram = mask.histogram()
    return sum(histogram[_HALF:]) / sum(histogram)
