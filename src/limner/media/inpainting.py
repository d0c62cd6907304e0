"""Masks and what lies under them as painting programs and A1111's clients mean them.

Owns reading such a mask (painted is repainted), its softness, and filling what is under it from around it. Other
clients' masks are `mask`'s business. Pure Pillow, CPU-bound.
"""

from PIL import Image, ImageChops, ImageFilter

from limner.core import Picture
from limner.errors import InvalidRequest
from limner.media.canvas import Box
from limner.media.convert import from_image, to_image
from limner.media.mask import REPAINTED

_SPREADS = (0.5, 0.125, 0.03, 0.008)  # radii, as shares of the longer side, over which colours run under the mask


def painted_mask(picture: Picture, *, invert: bool, blur_px: tuple[float, float], param: str) -> Picture:
    """The mask in mode L, 255 = repaint: what is painted on transparent ground, or else what is white.

    ``invert`` swaps both; ``blur_px`` are the standard deviations of its softness, across and down. Raises
    InvalidRequest where nothing would be repainted.
    """
    image = to_image(picture)
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        mask = image.getchannel("A")
    else:
        mask = image.convert("L")
    mask = mask.point(lambda value: 255 if value >= REPAINTED else 0)
    if invert:
        mask = ImageChops.invert(mask)
    if mask.getbbox() is None:
        raise InvalidRequest(f"{param} marks nothing to repaint: paint the area white on black.", param=param)
    return from_image(mask.filter(ImageFilter.GaussianBlur(blur_px)) if any(blur_px) else mask)


def hardened(mask: Picture, least: int) -> Picture:
    """``mask`` without soft edges: 255 where it is ``least`` or more, 0 elsewhere."""
    return from_image(to_image(mask).point(lambda value: 255 if value >= least else 0))


def marked(mask: Picture) -> Box:
    """The smallest box around all that ``mask`` marks, its soft edge included."""
    box = to_image(mask).getbbox()
    assert box is not None, "a mask marks something"
    return Box(*box)


def filled(picture: Picture, mask: Picture) -> Picture:
    """``picture`` in RGB with the colours around the mask run together under it."""
    image, under = to_image(picture).convert("RGB"), to_image(mask)
    known = image.convert("RGBA")
    known.putalpha(ImageChops.invert(under))
    ground = Image.new("RGBA", image.size, (127, 127, 127, 255))
    weighted = known.convert("RGBa")
    for share in _SPREADS:
        spread = weighted.filter(ImageFilter.GaussianBlur(share * max(image.size)))
        ground.alpha_composite(spread.convert("RGBA"))
    return from_image(Image.composite(ground.convert("RGB"), image, under))
