"""Between our Picture and Pillow's images, for the models of the engine that look at one picture."""

from typing import cast

import PIL.Image

from limner.core import Picture, PixelMode, Size


def image_of(picture: Picture) -> PIL.Image.Image:
    """An image of the same mode; the pixels are copied."""
    return PIL.Image.frombytes(picture.mode, (picture.size.width_px, picture.size.height_px), picture.pixels)


def opaque(picture: Picture) -> PIL.Image.Image:
    """``picture`` in RGB; what is transparent lies on white."""
    image = image_of(picture)
    if image.mode != "RGBA":
        return image.convert("RGB")
    return PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image).convert("RGB")


def picture_of(image: PIL.Image.Image) -> Picture:
    """An image of mode RGB, RGBA or L as a Picture; the pixels are copied."""
    assert image.mode in ("RGB", "RGBA", "L"), image.mode
    return Picture(cast(PixelMode, image.mode), Size(*image.size), image.tobytes())
