"""A coarse mask brought to the contours that the picture has, by a guided filter.

Pure numpy; needs no model and no package beyond. For masks from models that see a picture small.
"""

from typing import Any, TypeAlias

import numpy as np
import PIL.Image
from numpy.typing import NDArray

_SOLVED_PX = 512  # the longer side at which it is solved; what it finds is applied to every pixel of the picture
_REACH = 24  # the longer side over how far from a mask's edge the contour may lie: about a patch, as such models see
_SMOOTHNESS = 1e-4  # of colours 0..1, squared: differences below its root are no contour
_ROUNDS = 4
_SURE = 0.3  # what is this near to all or nothing becomes it: the filter leaves a haze

Floats: TypeAlias = NDArray[np.floating[Any]]


def along_contours(image: PIL.Image.Image, mask: PIL.Image.Image) -> PIL.Image.Image:
    """``mask`` (mode L) with its edge where the RGB ``image`` of the same size has one near it, by the guided filter
    for colours (He, Sun and Tang, Guided Image Filtering, TPAMI 2013), solved small and applied at full size. Every
    round starts from where the one before has come to."""
    scale = min(1.0, _SOLVED_PX / max(image.size))
    extent = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    guide = _Guide(np.asarray(image.resize(extent)) / 255)
    slopes, offsets = guide.lines(np.asarray(mask.resize(extent)) / 255)
    for _ in range(_ROUNDS - 1):
        slopes, offsets = guide.lines(_sharp((slopes * guide.colours).sum(-1) + offsets))
    solved = _enlarged(offsets, image.size)
    for channel, slope in zip(image.split(), np.moveaxis(slopes, -1, 0), strict=True):
        solved = solved + _enlarged(slope, image.size) * (np.asarray(channel, np.float32) / 255)
    return PIL.Image.fromarray(np.rint(_sharp(solved) * 255).astype(np.uint8))


def _sharp(mask: Floats) -> Floats:
    return ((mask - _SURE) / (1 - 2 * _SURE)).clip(0, 1)


class _Guide:
    """What the filter needs of a picture's colours, (H, W, 3), whatever the mask."""

    def __init__(self, colours: Floats) -> None:
        self.colours = colours
        self._reach_px = max(2, max(colours.shape) // _REACH)
        self._mean = _mean(colours, self._reach_px)
        products = (colours[..., :, None] * colours[..., None, :]).reshape(*colours.shape[:2], 9)
        spread = _mean(products, self._reach_px).reshape(*colours.shape, 3)
        spread = spread - self._mean[..., :, None] * self._mean[..., None, :]
        self._inverse = np.linalg.inv(spread + _SMOOTHNESS * np.eye(3))  # (H, W, 3, 3)

    def lines(self, mask: Floats) -> tuple[Floats, Floats]:
        """The slopes (H, W, 3) and offsets (H, W) by which the mask is, around every pixel, a line of the colours."""
        mean_mask = _mean(mask[..., None], self._reach_px)  # (H, W, 1)
        together = _mean(self.colours * mask[..., None], self._reach_px) - self._mean * mean_mask
        slopes = (self._inverse @ together[..., None])[..., 0]
        offsets = mean_mask - (slopes * self._mean).sum(-1, keepdims=True)
        return _mean(slopes, self._reach_px), _mean(offsets, self._reach_px)[..., 0]


def _mean(values: Floats, reach_px: int) -> Floats:  # (H, W, C)
    """The mean over a square around every pixel; at the sides of the picture over what there is of it."""
    for axis in (0, 1):
        length = values.shape[axis]
        edge = np.zeros_like(values.take([0], axis))
        sums = np.concatenate([edge, values.cumsum(axis)], axis)
        ends, starts = (np.clip(np.arange(length) + step, 0, length) for step in (reach_px + 1, -reach_px))
        counts = (ends - starts).reshape([-1 if other == axis else 1 for other in range(values.ndim)])
        values = (sums.take(ends, axis) - sums.take(starts, axis)) / counts
    return values


def _enlarged(values: Floats, extent: tuple[int, int]) -> Floats:
    """(H, W) at another size."""
    image = PIL.Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize(extent, PIL.Image.Resampling.BILINEAR))
