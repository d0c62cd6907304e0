"""Resampling for the server's own uses; models' sizes are decided elsewhere."""

from PIL import Image

from limner.core import Picture, Size
from limner.media.convert import from_image, to_image


def fit(picture: Picture, size: Size) -> Picture:
    """``picture`` resampled to exactly ``size`` with a Lanczos filter (alpha-weighted for RGBA).

    The aspect ratio is the caller's business. The same object comes back where nothing changes.
    """
    if picture.size == size:
        return picture
    image = to_image(picture).resize((size.width_px, size.height_px), Image.Resampling.LANCZOS)
    return from_image(image)


def nearest(picture: Picture, size: Size) -> Picture:
    """As `fit`, each pixel the nearest one of the original."""
    image = to_image(picture).resize((size.width_px, size.height_px), Image.Resampling.NEAREST)
    return from_image(image)
