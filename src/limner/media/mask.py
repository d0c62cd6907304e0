"""Masks in either convention to the one the engine reads: mode L, 255 = repaint, 0 = keep."""

from PIL import ImageChops

from limner.core import Picture, Size
from limner.errors import InvalidRequest
from limner.media.convert import from_image, to_image

REPAINTED = 128  # the least value that pipelines repaint: they round masks at one half


def as_mask(picture: Picture, size: Size, *, param: str) -> Picture:
    """The mask that ``picture`` means for an input of ``size``.

    With an alpha channel that is not fully opaque, transparent is repainted (OpenAI's convention); otherwise white
    is (everyone else's). Values between stay soft, but pipelines repaint from 128 on: below, a value only blends.
    Raises InvalidRequest where the sizes differ or where no value reaches that, so that nothing would be repainted.
    """
    if picture.size != size:
        raise InvalidRequest(
            f"{param} is {picture.size} but the picture it belongs to is {size}: they must be the same size.",
            param=param,
        )
    image = to_image(picture)
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        mask = ImageChops.invert(image.getchannel("A"))
    else:
        mask = image.convert("L")
    if not any(mask.histogram()[REPAINTED:]):
        raise InvalidRequest(
            f"{param} marks nothing to repaint: make the area transparent, or white on black without transparency.",
            param=param,
        )
    return from_image(mask)
