import asyncio
import contextlib
import io
import struct
import tracemalloc
from collections.abc import Callable

import pybase64
import pytest
from PIL import Image

from limner.core import Picture, Size
from limner.errors import InvalidRequest, LimnerError, TooLarge, UnsupportedMedia
from limner.media.containers import MAX_METADATA_BYTES, orientation
from limner.media.convert import to_image
from limner.media.decode import DecodeLimits, decode, decode_base64, read_base64
from limner.media.threads import MediaThreads
from tests.media import hostile
from tests.media.hostile import black_png, chunk, file_of, gif, gif_frame, png, segment

LIMITS = DecodeLimits(max_bytes=20 * 1024 * 1024, max_pixels=4_000_000, max_frames=200)


def read(data: bytes) -> Picture:
    return decode(data, LIMITS, param="image")


HOSTILE: dict[str, tuple[Callable[[], bytes], type[LimnerError]]] = {
    "empty": (lambda: b"", InvalidRequest),
    "one byte": (lambda: b"\x89", UnsupportedMedia),
    "text": (lambda: b"<html>not a picture</html>", UnsupportedMedia),
    "tiff": (lambda: file_of(kind="TIFF"), UnsupportedMedia),
    "bmp": (lambda: file_of(kind="BMP"), UnsupportedMedia),
    "ico": (lambda: file_of("RGBA", kind="ICO"), UnsupportedMedia),
    "ppm": (lambda: file_of(kind="PPM"), UnsupportedMedia),
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/>', UnsupportedMedia),
    "pdf": (lambda: b"%PDF-1.7\n1 0 obj\n", UnsupportedMedia),
    "postscript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", UnsupportedMedia),
    "avif": (lambda: b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(64), UnsupportedMedia),
    "zip": (hostile.zip_archive, UnsupportedMedia),
    "wave": (lambda: b"RIFF\x24\0\0\0WAVEfmt " + bytes(32), UnsupportedMedia),
    "riff of no length": (lambda: b"RIFF\0\0\0\0WEBP", InvalidRequest),
    "more bytes than allowed": (lambda: black_png() + bytes(LIMITS.max_bytes), TooLarge),
    "png signature alone": (lambda: hostile.PNG_SIGNATURE, InvalidRequest),
    "png of 100000 x 100000": (lambda: png(100_000, 100_000, rows=bytes(1 << 20)), TooLarge),
    "png just beyond the limit": (lambda: png(4001, 1000), TooLarge),
    "png of no width": (lambda: png(0, 5), InvalidRequest),
    "png without pixels": (lambda: png(64, 64), InvalidRequest),
    "png of garbage pixels": (lambda: black_png().replace(b"\x78\x9c", b"\x00\x00"), InvalidRequest),
    "png of impossible depth": (lambda: png(4, 4, rows=bytes(99), depth=3), InvalidRequest),
    "png of two headers": (lambda: png(4, 4, png(300, 300)[8:33], rows=bytes(99)), InvalidRequest),
    "png of two headers, one huge": (lambda: png(4, 4, png(60_000, 60_000)[8:33], rows=bytes(99)), TooLarge),
    "png of a wrong checksum": (lambda: black_png()[:29] + b"\0\0\0\0" + black_png()[33:], InvalidRequest),
    "png chunk beyond the end": (lambda: black_png()[:33] + b"\x7f\xff\xff\xffIDAT" + bytes(9), InvalidRequest),
    "png with a critical unknown": (lambda: black_png(chunk(b"EVIL", b"")), InvalidRequest),
    "png with zip behind": (lambda: black_png() + hostile.zip_archive(), InvalidRequest),
    "png with giant zTXt": (lambda: black_png(chunk(b"zTXt", bytes(MAX_METADATA_BYTES))), TooLarge),
    "png with much small text": (lambda: black_png(*[chunk(b"tEXt", b"a\0" + bytes(4000))] * 2500), TooLarge),
    "png of endless chunks": (lambda: black_png(chunk(b"teSt", b"") * 70_000), TooLarge),
    "png of a billion frames": (lambda: black_png(chunk(b"acTL", struct.pack(">II", 10**9, 0))), TooLarge),
    "png without palette": (lambda: png(4, 4, rows=bytes(20), color=3), InvalidRequest),
    "gif of an absurd screen": (lambda: gif(65535, 65535, gif_frame()), TooLarge),
    "gif frame beyond the screen": (lambda: gif(1, 1, gif_frame(65535, 65535)), TooLarge),
    "gif of thousands of frames": (lambda: gif(1, 1, gif_frame() * 5000), TooLarge),
    "gif of no frame": (lambda: gif(10, 10), InvalidRequest),
    "gif of no size": (lambda: gif(0, 0, gif_frame(0, 0)), InvalidRequest),
    "gif header alone": (lambda: b"GIF89a", InvalidRequest),
    "gif of a million blocks": (lambda: gif(9, 9, b"!\xfe" + b"\x01a" * 1_000_001 + b"\0", gif_frame()), TooLarge),
    "gif of a cut frame": (lambda: file_of("P", kind="GIF")[:-200], InvalidRequest),
    "jpeg start alone": (lambda: b"\xff\xd8\xff", InvalidRequest),
    "jpeg without scans": (lambda: b"\xff\xd8" + segment(0xE0, b"JFIF\0") + b"\xff\xd9", InvalidRequest),
    "jpeg of 65500 x 65500": (lambda: hostile.jpeg_declaring(65500, 65500), TooLarge),
    "jpeg of no height": (lambda: hostile.jpeg_declaring(48, 0), InvalidRequest),
    "jpeg segment of length 0": (lambda: b"\xff\xd8\xff\xe0\0\0" + file_of(kind="JPEG")[2:], InvalidRequest),
    "jpeg of endless segments": (lambda: b"\xff\xd8" + segment(0xE1, b"Exif\0\0") * 70_000, TooLarge),
    "jpeg of a thousand scans": (lambda: hostile.jpeg_of_scans(1000), TooLarge),
    "jpeg scan before its frame": (lambda: b"\xff\xd8" + segment(0xDA, bytes(9)) + bytes(99), InvalidRequest),
    "webp of a huge canvas": (lambda: hostile.webp_declaring(1 << 24, 1 << 24), TooLarge),
    "webp of a wrong canvas": (lambda: hostile.webp_declaring(1999, 2000), InvalidRequest),
    "webp of thousands of frames": (lambda: hostile.webp_of_frames(5000), TooLarge),
    "webp of hollow frames": (lambda: hostile.webp_of_frames(3), InvalidRequest),
    "webp of an unknown first chunk": (lambda: b"RIFF\x20\0\0\0WEBPEVIL" + bytes(32), InvalidRequest),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_cheaply(name: str) -> None:
    build, expected = HOSTILE[name]
    data = build()
    tracemalloc.start()
    try:
        with pytest.raises(expected) as caught:
            read(data)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert type(caught.value) is expected
    assert caught.value.param == "image"
    assert caught.value.message.startswith("image ")
    assert peak_bytes < 3 * len(data) + (32 << 20)


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


def test_text_bombs_are_never_inflated() -> None:
    data = black_png(hostile.text_bomb(60), hostile.text_bomb(60).replace(b"zTXt", b"iCCP"))
    tracemalloc.start()
    assert read(data) == Picture("RGB", Size(4, 4), bytes(48))
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_jpeg_films_and_comments_are_passed_over() -> None:
    clean = file_of(kind="JPEG")
    laden = clean[:2] + segment(0xFE, bytes(60_000)) * 50 + clean[2:] + b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 500
    assert read(laden) == read(clean)


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


def test_sixteen_bit_colour_keeps_its_high_bytes() -> None:
    row = struct.pack(">B3H", 0, 0x1234, 0x5678, 0x9ABC)
    transparent = chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))
    assert read(png(1, 1, transparent, rows=row, depth=16)) == Picture("RGB", Size(1, 1), b"\x12\x56\x9a")


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
