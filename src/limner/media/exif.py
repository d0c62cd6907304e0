"""The one EXIF field that image generators share: UserComment, written and read back (EXIF 2.32, section 4.6.5).

Readers of A1111's pictures expect UTF-16, big-endian, whatever the byte order of the block around it.
"""

import struct

from PIL import Image

_DIRECTORY, _USER_COMMENT = 0x8769, 0x9286
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_VALUE_BYTES = {1: 1, 4: 4, 7: 1, 13: 4}  # BYTE, LONG, UNDEFINED, IFD: what these two tags may be
_MAX_ENTRIES = 1000


def with_comment(text: str) -> bytes:
    """An EXIF block, ``Exif\\0\\0`` first, that holds ``text`` and nothing else; lone surrogates become "?"."""
    exif = Image.Exif()
    exif.get_ifd(_DIRECTORY)[_USER_COMMENT] = b"UNICODE\0" + text.encode("utf-16-be", "replace")
    return exif.tobytes()


def comment_in(exif: bytes) -> str | None:
    """The comment in a block with or without ``Exif\\0\\0``; None without one, or where the block is damaged."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = _ORDERS.get(tiff[:4])
    if order is None:
        return None
    try:
        (first,) = struct.unpack_from(order + "I", tiff, 4)
        (second,) = struct.unpack(order + "I", _value(tiff, order, first, _DIRECTORY))
        return _decoded(_value(tiff, order, second, _USER_COMMENT))
    except struct.error:
        return None


def _value(tiff: bytes, order: str, directory: int, wanted: int) -> bytes:
    """A tag's bytes, b"" where the directory lacks it; struct.error where it points outside."""
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    for index in range(min(entries, _MAX_ENTRIES)):
        at = directory + 2 + 12 * index
        tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
        if tag == wanted:
            size = count * _VALUE_BYTES.get(kind, 0)
            start = at + 8 if size <= 4 else struct.unpack_from(order + "I", tiff, at + 8)[0]
            return tiff[start : start + size]
    return b""


def _decoded(comment: bytes) -> str | None:
    code, body = comment[:8], comment[8:]
    if code == b"UNICODE\0":
        # Some write the block's own byte order; how many Latin letters each reading has tells.
        little = _letters(body[0::2], body[1::2]) > _letters(body[1::2], body[0::2])
        return body.decode("utf-16-le" if little else "utf-16-be", "replace")
    if code in (b"ASCII\0\0\0", bytes(8)) and body:
        return body.decode("utf-8", "replace").rstrip("\0 ")
    return None


def _letters(low: bytes, high: bytes) -> int:
    """How many different characters of ASCII there are; one that is repeated may be another's bytes turned around."""
    return len({letter for letter, above in zip(low, high, strict=False) if not above and 32 <= letter < 127})
