"""The texts that picture files carry, read back: ours, and those of other generators.

Owns where PNG, JPEG and WEBP keep them. Files come from strangers: every walk is bounded by `containers`, nothing is
inflated, and pixels are not touched.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from limner.errors import InvalidRequest, TooLarge, UnsupportedMedia
from limner.media import exif, xmp
from limner.media.containers import Damaged, Excessive, jpeg_segments, png_chunks, sniff, webp_chunks
from limner.media.recipe_text import INFOTEXT_KEYWORD, RECIPE_KEYWORD

_XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"


def read_recipe(data: bytes, *, param: str = "image") -> Mapping[str, Any] | None:
    """The recipe that limner put into the file, as it was; None where there is none. Raises as `read_text` does."""
    try:
        recipe = orjson.loads(read_text(data, param=param).get(RECIPE_KEYWORD, "null"))
    except orjson.JSONDecodeError:
        return None
    return recipe if isinstance(recipe, dict) else None


def read_text(data: bytes, *, param: str = "image") -> dict[str, str]:
    """Keyword to text: PNG's text chunks (compressed ones are left alone), and in JPEG and WEBP the EXIF UserComment
    as "parameters" and our XMP properties.

    ``param`` is named in errors: UnsupportedMedia for other files, InvalidRequest for damage, TooLarge for more
    chunks than are read.
    """
    kind = sniff(data)
    try:
        match kind:
            case "PNG":
                return dict(_png_texts(data))
            case "JPEG":
                return _texts_of(*_jpeg_blocks(data))
            case "WEBP":
                blocks = {name: data[start:end] for name, start, end in webp_chunks(data) if name in (b"EXIF", b"XMP ")}
                return _texts_of(blocks.get(b"EXIF", b""), blocks.get(b"XMP ", b""))
            case "GIF":
                return {}
            case None:
                raise UnsupportedMedia(f"{param} is not a picture that is read here.", param=param)
    except (Damaged, struct.error) as error:
        raise InvalidRequest(f"{param} is a damaged {kind} file.", param=param) from error
    except Excessive as error:
        raise TooLarge(f"{param} is more than is read here: the {kind} file {error}.", param=param) from error


def _texts_of(exif_block: bytes, xmp_packet: bytes) -> dict[str, str]:
    comment = exif.comment_in(exif_block)
    found = {} if comment is None else {INFOTEXT_KEYWORD: comment}
    return found | xmp.texts_in(xmp_packet)


def _png_texts(data: bytes) -> Iterator[tuple[str, str]]:
    for name, start, end in png_chunks(data):
        keyword, separator, rest = data[start + 8 : end - 4].partition(b"\0")
        if name == b"tEXt" and separator:
            yield keyword.decode("latin-1"), rest.decode("latin-1")
        elif name == b"iTXt" and rest[:1] == b"\0":  # the flag that says it is not compressed
            _language, _, translated = rest[2:].partition(b"\0")
            yield keyword.decode("latin-1"), translated.partition(b"\0")[2].decode("utf-8", "replace")


def _jpeg_blocks(data: bytes) -> tuple[bytes, bytes]:
    """EXIF block and XMP packet, each b"" where there is none."""
    exif_block = packet = b""
    for marker, start, end in jpeg_segments(data):
        if marker == 0xDA:
            break
        payload = data[start + 4 : end] if marker == 0xE1 else b""
        if payload.startswith(b"Exif\0\0"):
            exif_block = exif_block or payload
        elif payload.startswith(_XMP_SEGMENT):
            packet = packet or payload.removeprefix(_XMP_SEGMENT)
    return exif_block, packet
