import asyncio
from typing import get_args

import pytest

from limner.core import ImageFormat, Output, Picture, Size
from limner.errors import InternalError
from limner.media.decode import DecodeLimits, decode
from limner.media.encode import encode
from limner.media.picture_text import read_text
from limner.media.threads import MediaThreads
from limner.media.thumbnail import thumbnail, thumbnail_size


def halves(size: Size, mode: str = "RGB") -> Picture:
    """Red above, blue below; an alpha channel is half transparent."""
    alpha = b"\x80" if mode == "RGBA" else b""
    row = size.width_px * (size.height_px // 2)
    return Picture(mode, size, (b"\xff\0\0" + alpha) * row + (b"\0\0\xff" + alpha) * row)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "width", "smaller"),
    [
        ("1024x512", 256, "256x128"),
        ("1024x512", 1023, "1023x512"),
        ("1024x512", 1024, None),
        ("1024x512", 2048, None),
        ("300x1000", 100, "100x333"),
        ("2000x3", 16, "16x1"),
    ],
)
def test_the_size_keeps_the_aspect_ratio_and_never_grows(size: str, width: int, smaller: str | None) -> None:
    assert thumbnail_size(Size.parse(size), width) == (smaller and Size.parse(smaller))


@pytest.mark.parametrize("image_format", get_args(ImageFormat))
def test_a_thumbnail_shows_the_same_in_the_same_format(image_format: ImageFormat) -> None:
    data = encode(halves(Size(128, 64)), Output(image_format), {"parameters": "secret"})
    small = thumbnail(data, image_format, Size(32, 16))
    picture = decode(small, DecodeLimits(), param="image")
    assert picture.size == Size(32, 16)
    assert picture.pixels[:3] == pytest.approx((255, 0, 0), abs=6)
    assert picture.pixels[-3:] == pytest.approx((0, 0, 255), abs=6)
    assert read_text(small) == {}
    assert len(small) < len(data)


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_transparency_stays(image_format: ImageFormat) -> None:
    small = thumbnail(encode(halves(Size(64, 64), "RGBA"), Output(image_format)), image_format, Size(16, 16))
    picture = decode(small, DecodeLimits(), param="image")
    assert picture.mode == "RGBA"
    assert picture.pixels[3] == pytest.approx(0x80, abs=2)


def test_a_damaged_file_is_told() -> None:
    with pytest.raises(InternalError):
        thumbnail(encode(halves(Size(64, 64)), Output())[:200], "png", Size(16, 16))


async def test_threads_read_no_more_files_than_they_resize() -> None:
    media, data = MediaThreads(DecodeLimits(), workers=2), encode(halves(Size(64, 64)), Output())
    held = most = 0

    async def read() -> bytes:
        nonlocal held, most
        held += 1
        most = max(most, held)
        await asyncio.sleep(0.001)
        held -= 1
        return data

    try:
        made = await asyncio.gather(*(media.thumbnail(read, "png", Size(16, 16)) for _ in range(20)))
    finally:
        media.close()
    assert set(made) == {thumbnail(data, "png", Size(16, 16))}
    assert most == 2
