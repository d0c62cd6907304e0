"""A Picture to the file that is sent back: PNG, JPEG or WEBP, with text such as a recipe where it is wanted.

CPU-bound (1024 x 1024: PNG and JPEG about 4 ms, WEBP 40); the server calls it through ``MediaThreads``.
"""

import io
import struct
import zlib
from collections.abc import Mapping

from fpng import fpng_ext
from PIL import Image

from limner.core import MAX_EDGE_PX, ImageFormat, Output, Picture
from limner.errors import InvalidRequest
from limner.media import exif, xmp
from limner.media.convert import from_image, to_image

DEFAULT_QUALITY: Mapping[ImageFormat, int] = {"jpeg": 95, "webp": 90}

_PNG_HEADER_BYTES = 33  # signature and IHDR
_FULL_CHROMA_QUALITY = 90
_MAX_JPEG_EXIF_BYTES = 65_533  # a segment's payload
_MAX_JPEG_XMP_BYTES = _MAX_JPEG_EXIF_BYTES - len(b"http://ns.adobe.com/xap/1.0/\0")
_COMMENT = "parameters"  # the keyword that other generators write and read as the EXIF UserComment


def media_type(image_format: ImageFormat) -> str:
    """The MIME type, such as ``image/png``."""
    return f"image/{image_format}"


def encode(picture: Picture, output: Output, text: Mapping[str, str] | None = None) -> bytes:
    """Encode as ``output`` says.

    ``output.compression`` is the quality of jpeg (default 95) and webp (90), larger giving larger files; png
    ignores it. ``background`` "opaque" puts the picture on white, as jpeg always does. ``text`` becomes
    tEXt or iTXt chunks in png; in jpeg and webp, "parameters" becomes the EXIF UserComment and every other keyword
    a property of an XMP packet; of a jpeg, comment or packet is left out whole where it exceeds a 64 KiB segment.
    Raises InvalidRequest for a transparent jpeg and for an edge the format cannot hold.
    """
    if output.format == "jpeg" and output.background == "transparent":
        raise InvalidRequest(
            "background 'transparent' cannot be kept in jpeg: ask for output_format png or webp.", param="background"
        )
    longest = max(picture.size.width_px, picture.size.height_px)
    if longest > MAX_EDGE_PX[output.format]:
        raise InvalidRequest(
            f"A picture of {picture.size} does not fit {output.format}, whose edges end at "
            f"{MAX_EDGE_PX[output.format]} pixels: ask for png.",
            param="output_format",
        )
    if picture.mode == "RGBA" and (output.format == "jpeg" or output.background == "opaque"):
        picture = on_white(picture)
    match output.format:
        case "png":
            return _png(picture, text or {})
        case "jpeg":
            return _jpeg(picture, _quality(output), text or {})
        case "webp":
            return _webp(picture, _quality(output), text or {})


def on_white(picture: Picture) -> Picture:
    """An RGBA picture composited on white, as RGB."""
    image = to_image(picture)
    canvas = Image.new("RGBA", image.size, "white")
    return from_image(Image.alpha_composite(canvas, image).convert("RGB"))


def _quality(output: Output) -> int:
    return DEFAULT_QUALITY[output.format] if output.compression is None else max(1, output.compression)


def _png(picture: Picture, text: Mapping[str, str]) -> bytes:
    if picture.mode == "L":  # fpng knows three and four channels
        buffer = io.BytesIO()
        to_image(picture).save(buffer, "PNG", compress_level=4)
        data = buffer.getvalue()
    else:
        size = picture.size
        data = bytes(fpng_ext.encode_image_to_memory(picture.pixels, size.width_px, size.height_px, len(picture.mode)))
    if not text:
        return data
    chunks = (_text_chunk(keyword, value) for keyword, value in text.items())
    return b"".join((data[:_PNG_HEADER_BYTES], *chunks, data[_PNG_HEADER_BYTES:]))


def _text_chunk(keyword: str, value: str) -> bytes:
    """A tEXt chunk, or an iTXt chunk where the value is not Latin-1 (PNG third edition, 11.3.3)."""
    key = keyword.encode("latin-1")
    assert 1 <= len(key) <= 79, "not a PNG keyword"
    assert b"\0" not in key, "not a PNG keyword"
    value = value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    try:
        return _chunk(b"tEXt", key + b"\0" + value.encode("latin-1"))
    except UnicodeEncodeError:
        return _chunk(b"iTXt", key + b"\0\0\0\0\0" + value.encode("utf-8", "replace"))


def _chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def _jpeg(picture: Picture, quality: int, text: Mapping[str, str]) -> bytes:
    comment, packet = _blocks(text)
    buffer = io.BytesIO()
    to_image(picture).save(
        buffer,
        "JPEG",
        quality=min(quality, 100),
        subsampling="4:4:4" if quality >= _FULL_CHROMA_QUALITY else "4:2:0",
        exif=comment if len(comment) <= _MAX_JPEG_EXIF_BYTES else b"",
        xmp=packet if len(packet) <= _MAX_JPEG_XMP_BYTES else b"",
    )
    return buffer.getvalue()


def _webp(picture: Picture, quality: int, text: Mapping[str, str]) -> bytes:
    image = to_image(picture)
    comment, packet = _blocks(text)
    buffer = io.BytesIO()
    (image if image.mode != "L" else image.convert("RGB")).save(
        buffer, "WEBP", quality=min(quality, 100), method=2, exif=comment, xmp=packet
    )
    return buffer.getvalue()


def _blocks(text: Mapping[str, str]) -> tuple[bytes, bytes]:
    """The EXIF block and the XMP packet that hold ``text``."""
    others = {keyword: value for keyword, value in text.items() if keyword != _COMMENT}
    return exif.with_comment(text[_COMMENT]) if _COMMENT in text else b"", xmp.packet(others)
