"""A picture that is as hard to encode as a photograph, for servers without a model."""

import numpy as np

from limner.core import EncodedPicture, Output, Picture, Size
from limner.media.encode import encode


def photograph(side_px: int) -> Picture:
    """Smooth shades under a little noise: as hard to compress as a photograph (1024 px: a PNG of about 2 MB)."""
    y, x = np.mgrid[0:side_px, 0:side_px] / side_px
    noise = np.random.default_rng(0)
    planes = [128 + 90 * np.sin(6 * x + 3 * y + k) * np.cos(5 * y + k) + noise.normal(0, 4, x.shape) for k in range(3)]
    pixels = np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)  # (H, W, 3)
    return Picture("RGB", Size(side_px, side_px), pixels.tobytes())


def as_png(picture: Picture) -> EncodedPicture:
    """The same picture as a file."""
    return EncodedPicture("png", picture.size, encode(picture, Output()))
