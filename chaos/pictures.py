"""Looking at picture files: whether they open, and how far two of them are apart."""

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from chaos.snapshot import ImageRecord


def trouble_with(data: bytes, image: ImageRecord) -> str | None:
    """What is wrong with the file behind ``image``; None when it is whole and as large as its row says."""
    if len(data) != image.size_bytes:
        return f"{len(data)} bytes under {image.key}, the row says {image.size_bytes}"
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            size = picture.size
    except (UnidentifiedImageError, OSError, SyntaxError) as error:  # a damaged PNG is a SyntaxError to Pillow
        return f"{image.key} does not open: {error}"
    if size != (image.width_px, image.height_px):
        return f"{size[0]}x{size[1]} pixels, the row says {image.width_px}x{image.height_px}"
    return None


def difference(first: bytes, second: bytes) -> int:
    """The largest difference of any channel of any pixel, of 255; 255 also for pictures of different sizes."""
    a, b = (np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=np.int16) for data in (first, second))
    return 255 if a.shape != b.shape else int(np.abs(a - b).max())
