import asyncio
import contextlib
import io
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pybase64
import pytest
from PIL import Image

from limner.core import Picture, Size
from limner.errors import InvalidRequest, LimnerError, TooLarge, UnsupportedMedia
from limner.media.containers import orientation
from limner.media.convert import to_image
from limner.media.decode import DecodeLimits, decode, decode_base64, read_base64
from limner.media.threads import MediaThreads
from tests.media.hostile import chunk, file_of, idat, ihdr, png, png_of
from tests.media.hostile_files import HARMLESS, LIMITS, REFUSED


def read(data: bytes) -> Picture:
    return decode(data, LIMITS, param="image")


MEMORY_BYTES = 32 << 20  # beside a few copies of the file
QUICK_S = 1.5  # on a busy machine


@contextlib.contextmanager
def cheaply(data: bytes) -> Iterator[None]:
    """Whatever happens inside must not need much memory."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 3 * len(data) + MEMORY_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_files_are_refused_cheaply(name: str) -> None:
    build, expected = REFUSED[name]
    data = build()
    began = time.perf_counter()
    with pytest.raises(LimnerError) as caught:
        read(data)
    assert time.perf_counter() - began < QUICK_S
    assert type(caught.value) is expected
    assert caught.value.status in (400, 413, 415)
    assert caught.value.param == "image"
    assert caught.value.message.startswith("image ")
    with cheaply(data), pytest.raises(expected):
        read(data)


@pytest.mark.parametrize("name", HARMLESS)
def test_files_with_stowaways_give_their_picture_alone_and_cheaply(name: str) -> None:
    build, honest = HARMLESS[name]
    data = build()
    began = time.perf_counter()
    picture = read(data)
    assert time.perf_counter() - began < QUICK_S
    assert picture == read(honest())
    with cheaply(data):
        read(data)


def encodings() -> dict[str, bytes]:
    return {
        "png": file_of(),
        "png with alpha": file_of("RGBA"),
        "jpeg": file_of(kind="JPEG"),
        "progressive jpeg": file_of(kind="JPEG", progressive=True),
        "lossy webp": file_of(kind="WEBP"),
        "lossless webp": file_of("RGBA", kind="WEBP", lossless=True),
        "gif": file_of("P", kind="GIF"),
    }


@pytest.mark.parametrize("name", encodings())
def test_a_file_cut_anywhere_never_fails_as_our_fault(name: str) -> None:
    data = encodings()[name]
    assert read(data).size == Size(48, 32)
    for length in range(0, len(data) - 16, 7):
        with pytest.raises(LimnerError) as caught:
            read(data[:length])
        assert caught.value.status in (400, 415)
        assert caught.value.param == "image"


@pytest.mark.parametrize("name", encodings())
def test_flipped_bytes_give_a_picture_or_a_refusal(name: str) -> None:
    data = bytearray(encodings()[name])
    for at in range(min(len(data), 400)):
        kept, data[at] = data[at], data[at] ^ 0xFF
        with contextlib.suppress(InvalidRequest, TooLarge, UnsupportedMedia):
            read(bytes(data))
        data[at] = kept


def pixels(picture: Picture) -> list[object]:
    return list(to_image(picture).get_flattened_data())


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("image", "mode", "expected"),
    [
        (Image.new("1", (2, 1), 1), "RGB", (255, 255, 255)),
        (Image.new("L", (2, 1), 77), "RGB", (77, 77, 77)),
        (Image.new("LA", (2, 1), (77, 255)), "RGB", (77, 77, 77)),
        (Image.new("LA", (2, 1), (77, 128)), "RGBA", (77, 77, 77, 128)),
        (Image.new("I;16", (2, 1), 0x80FF), "RGB", (128, 128, 128)),
        (Image.new("RGBA", (2, 1), (1, 2, 3, 255)), "RGB", (1, 2, 3)),
        (Image.new("RGBA", (2, 1), (1, 2, 3, 254)), "RGBA", (1, 2, 3, 254)),
        (Image.new("RGB", (2, 1), (1, 2, 3)).quantize(4), "RGB", (1, 2, 3)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_every_png_mode_becomes_rgb_or_rgba(image: Image.Image, mode: str, expected: tuple[int, ...]) -> None:
    picture = read(saved(image))
    assert (picture.mode, pixels(picture)) == (mode, [expected] * 2)


@pytest.mark.parametrize(
    ("image", "transparency", "expected"),
    [
        (Image.new("L", (1, 1), 9), 9, (9, 9, 9, 0)),
        (Image.new("RGB", (1, 1), (9, 8, 7)), (9, 8, 7), (9, 8, 7, 0)),
        (Image.new("P", (1, 1), 0), bytes([64]), (0, 0, 0, 64)),
    ],
    ids=["grey", "colour", "palette"],
)
def test_a_transparent_colour_becomes_alpha(
    image: Image.Image, transparency: object, expected: tuple[int, ...]
) -> None:
    picture = read(saved(image, transparency=transparency))
    assert (picture.mode, pixels(picture)) == ("RGBA", [expected])


@pytest.mark.parametrize(
    ("depth", "row", "shade", "grey"),
    [(1, b"\x80", 1, 255), (2, b"\xd0", 3, 255), (2, b"\x70", 1, 85), (4, b"\x5f", 5, 85), (8, b"\x05\xff", 5, 5)],
)
def test_a_transparent_grey_means_the_same_shade_at_every_depth(depth: int, row: bytes, shade: int, grey: int) -> None:
    transparent = chunk(b"tRNS", struct.pack(">H", shade))
    first, second = pixels(read(png(2, 1, transparent, rows=b"\0" + row, depth=depth, color=0)))
    assert first == (grey, grey, grey, 0)
    assert isinstance(second, tuple)
    assert second[3] == 255


def test_sixteen_bit_colour_keeps_its_high_bytes() -> None:
    row = struct.pack(">B3H", 0, 0x1234, 0x5678, 0x9ABC)
    transparent = chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))
    assert read(png(1, 1, transparent, rows=row, depth=16)) == Picture("RGB", Size(1, 1), b"\x12\x56\x9a")


@pytest.mark.parametrize(
    ("depth", "color", "row", "expected"),
    [
        (1, 0, b"\x80", [(255, 255, 255), (0, 0, 0)]),
        (2, 0, b"\x60", [(85, 85, 85), (170, 170, 170)]),
        (4, 0, b"\x3c", [(51, 51, 51), (204, 204, 204)]),
        (1, 3, b"\x40", [(1, 2, 3), (4, 5, 6)]),
        (2, 3, b"\x10", [(1, 2, 3), (4, 5, 6)]),
        (4, 3, b"\x10", [(4, 5, 6), (1, 2, 3)]),
        (16, 4, b"\x12\xff\xff\xff\x34\xff\xff\xff", [(0x12,) * 3, (0x34,) * 3]),
        (16, 4, b"\x12\xff\x80\0\x34\xff\x90\0", [(0x12, 0x12, 0x12, 0x80), (0x34, 0x34, 0x34, 0x90)]),
        (16, 6, b"\1\xff\2\xff\3\xff\x80\0" * 2, [(1, 2, 3, 0x80)] * 2),
    ],
)
def test_every_png_depth_keeps_its_values(depth: int, color: int, row: bytes, expected: list[object]) -> None:
    palette = chunk(b"PLTE", bytes(range(1, 7))) if color == 3 else b""
    assert pixels(read(png(2, 1, palette, rows=b"\0" + row, depth=depth, color=color))) == expected


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def test_an_interlaced_png_is_put_together() -> None:
    width, height = 7, 5
    shades = bytes(range(width * height))
    rows = b"".join(
        b"\0" + shades[y * width + left : (y + 1) * width : across]
        for left, top, across, down in ADAM7
        for y in range(top, height, down)
        if left < width
    )
    picture = read(png_of(ihdr(width, height, color=0, interlace=1), idat(rows)))
    assert pixels(picture) == [(shade,) * 3 for shade in shades]


def test_an_interlaced_gif_is_put_together() -> None:
    image = Image.new("P", (4, 9))
    image.putpalette([shade for shade in range(9) for _ in range(3)])
    image.putdata([y for y in range(9) for _ in range(4)])
    straight, interlaced = (read(saved(image, "GIF", interlace=flag)) for flag in (0, 1))
    assert straight == interlaced
    assert pixels(straight) == [(y,) * 3 for y in range(9) for _ in range(4)]


def test_a_grey_jpeg_becomes_rgb() -> None:
    assert pixels(read(saved(Image.new("L", (8, 8), 77), "JPEG"))) == [(77, 77, 77)] * 64


def test_cmyk_jpeg_becomes_rgb() -> None:
    picture = read(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert picture.mode == "RGB"
    red, green, blue = to_image(picture).getpixel((4, 4))  # type: ignore[misc]
    assert red > 240
    assert green < 15
    assert blue < 15


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (8, 4), color) for color in ("red", "lime", "blue")]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    picture = read(data)
    assert picture.size == Size(8, 4)
    assert pixels(picture) == [(255, 0, 0)] * 32


def test_a_transparent_gif_keeps_its_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    assert pixels(read(saved(image, "GIF", transparency=1))) == [(255, 0, 0, 255), (0, 255, 0, 0)]


# The upright picture is 2 x 3 with the shades A..F in reading order; each row is how a camera would have stored it.
STORED = {
    1: "AB CD EF",
    2: "BA DC FE",
    3: "FE DC BA",
    4: "EF CD AB",
    5: "ACE BDF",
    6: "BDF ACE",
    7: "FDB ECA",
    8: "ECA FDB",
}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("value", STORED)
def test_exif_orientation_is_applied_exactly(value: int, kind: str) -> None:
    rows, cell = STORED[value].split(), 16  # cells of 16 pixels survive lossy chroma
    shades = {letter: 20 + 40 * index for index, letter in enumerate("ABCDEF")}
    image = Image.new("L", (len(rows[0]), len(rows)))
    image.putdata([shades[letter] for row in rows for letter in row])
    image = image.resize((image.width * cell, image.height * cell), Image.Resampling.NEAREST).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = value
    picture = read(saved(image, kind, exif=exif, lossless=True, quality=100))
    assert picture.size == Size(2 * cell, 3 * cell)
    centers = [(x * cell + 8, y * cell + 8) for y in range(3) for x in range(2)]
    found = [to_image(picture).convert("L").getpixel(center) for center in centers]
    assert found == pytest.approx(list(shades.values()), abs=1)


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"Exif\0\0",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0",
    ],
)
def test_malformed_exif_means_upright(exif: bytes) -> None:
    assert orientation(exif) == 1


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: text,
        lambda text: "data:image/png;base64," + text,
        lambda text: "DATA:image/jpeg;name=a.png;Base64," + text,
        lambda text: text.rstrip("="),
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: "\n".join(text[i : i + 76] for i in range(0, len(text), 76)) + "\r\n",
        lambda text: "data:;base64," + text.replace("+", "%2B").replace("=", "%3D"),
    ],
    ids=["bare", "url", "parameters", "unpadded", "url-safe", "wrapped", "percent"],
)
def test_base64_is_read_in_the_forms_clients_send(wrap: Callable[[str], str]) -> None:
    data = file_of(size=(11, 5))
    text = pybase64.b64encode_as_string(data)
    assert read_base64(wrap(text), LIMITS, param="image") == data
    assert decode_base64(wrap(text), LIMITS, param="image") == read(data)


@pytest.mark.parametrize(
    "text",
    ["data:", "data:image/png,AAAA", "data:image/png;base64", "!!!!", "AAAA*AAA", "AAAAA", "A=AA", "äöüß", "AA\0A"],
)
def test_garbage_is_not_base64(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_base64(text, LIMITS, param="mask")
    assert caught.value.param == "mask"


def test_base64_obeys_the_byte_limit() -> None:
    limits = DecodeLimits(max_bytes=30)
    assert len(read_base64("A" * 40, limits, param="image")) == 30
    for text in ("A" * 44, "A" * 4000, "%41" * 4000):
        with pytest.raises(TooLarge):
            read_base64(text, limits, param="image")


async def test_threads_bound_how_many_decode_at_once() -> None:
    media = MediaThreads(LIMITS, workers=1)
    data = file_of()
    try:
        pictures = await asyncio.gather(*(media.decode(data, param="image") for _ in range(5)))
        assert pictures == [read(data)] * 5
        with pytest.raises(UnsupportedMedia):
            await media.decode_base64("AAAA", param="image")
    finally:
        media.close()
