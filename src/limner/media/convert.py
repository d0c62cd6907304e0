"""Between our Picture and Pillow's Image, for the modules here that need Pillow's operations."""

from typing import cast

from PIL import Image

from limner.core import Picture, PixelMode, Size


def to_image(picture: Picture) -> Image.Image:
    """A Pillow image of the same mode; the pixels are copied."""
    return Image.frombytes(picture.mode, (picture.size.width_px, picture.size.height_px), picture.pixels)


def from_image(image: Image.Image) -> Picture:
    """A Picture of an image whose mode is already RGB, RGBA or L; the pixels are copied, nothing else is kept."""
    assert image.mode in ("RGB", "RGBA", "L"), image.mode
    return Picture(cast(PixelMode, image.mode), Size(*image.size), image.tobytes())
