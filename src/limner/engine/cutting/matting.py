"""Alpha matting: how opaque the pixels near an edge are, solved from their colours.

Owns the area that is left open and the size at which it is solved; the solver is PyMatting's.
"""

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageFilter

SOLVED_PX = 1024  # the longer side at which it is solved: its time and memory grow faster than the picture
_OPEN_PX = 11  # how far from the edge, either way, pixels are open
_SURE, _SURELY_NOT = 240, 10  # of an alpha: what lies between is open too


def refined(image: PIL.Image.Image, alpha: PIL.Image.Image) -> PIL.Image.Image | None:
    """``alpha`` solved anew around its edge, by closed-form matting (Levin, Lischinski and Weiss 2008) of an RGB image.
    None where it has no sure inside or no sure outside to begin with."""
    small, coarse = _within(image), _within(alpha)
    known = _trimap(coarse)
    if not {0.0, 1.0} <= set(np.unique(known).tolist()):
        return None
    from pymatting.alpha.estimate_alpha_cf import estimate_alpha_cf

    solved = estimate_alpha_cf(np.asarray(small) / 255.0, known)
    return PIL.Image.fromarray((solved * 255).round().clip(0, 255).astype(np.uint8)).resize(alpha.size)


def _trimap(alpha: PIL.Image.Image) -> NDArray[np.float64]:  # (H, W)
    """1 inside, 0 outside, a half where it is open."""
    shrunk = ImageFilter.MinFilter(_OPEN_PX)
    inside = alpha.point([255 * (value >= _SURE) for value in range(256)]).filter(shrunk)
    outside = alpha.point([255 * (value <= _SURELY_NOT) for value in range(256)]).filter(shrunk)
    known = np.full((alpha.height, alpha.width), 0.5)
    known[np.asarray(inside) == 255] = 1.0
    known[np.asarray(outside) == 255] = 0.0
    return known


def _within(image: PIL.Image.Image) -> PIL.Image.Image:
    scale = SOLVED_PX / max(image.size)
    if scale >= 1:
        return image
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
