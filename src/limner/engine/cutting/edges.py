"""From a picture and how opaque each spot of it shall be to a cut-out whose edge has no trace of the background.

Pure Pillow and numpy; knows no model.
"""

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageChops, ImageFilter

from limner.core import Picture
from limner.engine.pictures import image_of, opaque, picture_of

_REACHES = ((12, 8), (170, 3))  # how far colours are looked for: the part of the longer side, and at least in pixels


def cut_out(picture: Picture, alpha: Picture) -> Picture:
    """``picture`` in RGBA with ``alpha`` (mode L, the same size); what was transparent stays so. Where nothing is left
    there is no colour either. Edges have the subject's own colour, without what shone through."""
    return picture_of(_cut(picture, image_of(alpha)))


def _cut(picture: Picture, alpha: PIL.Image.Image) -> PIL.Image.Image:
    own = image_of(picture)
    if own.mode == "RGBA":
        alpha = ImageChops.darker(alpha, own.getchannel("A"))
    alphas = np.asarray(alpha)  # (H, W)
    pixels = np.array(_subject(opaque(picture), alpha, (alphas > 0) & (alphas < 255)))  # (H, W, 3)
    pixels[alphas == 0] = 0
    return PIL.Image.merge("RGBA", (*PIL.Image.fromarray(pixels).split(), alpha))


def _subject(image: PIL.Image.Image, alpha: PIL.Image.Image, edge: NDArray[np.bool_]) -> PIL.Image.Image:
    """``image`` with the subject's own colours at ``edge``, by blur fusion in two steps, a wide and a narrow one
    (Forte, Approximate Fast Foreground Colour Estimation, ICIP 2021): the colours around, weighted by how much they
    are subject or background, and the subject's corrected so that blended they give the picture again."""
    shown = np.asarray(image)[edge].astype(np.float32)  # (N, 3)
    share = np.asarray(alpha)[edge].astype(np.float32)[:, None] / 255
    subject, background = np.array(image), np.array(image)
    for part, least_px in _REACHES:
        reach_px = max(least_px, max(image.size) // part)
        inner = _around(subject, alpha, reach_px)[edge].astype(np.float32)
        outer = _around(background, ImageChops.invert(alpha), reach_px)[edge].astype(np.float32)
        corrected = inner + share * (shown - share * inner - (1 - share) * outer)
        subject[edge], background[edge] = np.rint(corrected).clip(0, 255), outer
    return PIL.Image.fromarray(subject)


def _around(pixels: NDArray[np.uint8], weights: PIL.Image.Image, reach_px: int) -> NDArray[np.uint8]:
    """The weighted mean of the colours around every pixel, (H, W, 3)."""
    weighted = PIL.Image.merge("RGBA", (*PIL.Image.fromarray(pixels).split(), weights)).convert("RGBa")
    return np.asarray(weighted.filter(ImageFilter.BoxBlur(reach_px)).convert("RGBA"))[..., :3]
