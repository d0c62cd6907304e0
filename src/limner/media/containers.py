"""What a picture file is made of, read from its raw bytes before any decoder sees them.

Owns walking PNG, JPEG, GIF and WEBP containers: canvas size, frame count, the EXIF block, and the bytes that carry
pixels. Metadata is skipped over, never inflated or collected, so text bombs, comment floods and colour profiles cost
nothing. Every walk is bounded in steps. Knows neither Pillow nor HTTP.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from limner.core import Size

Kind: TypeAlias = Literal["PNG", "JPEG", "GIF", "WEBP"]

MAX_CHUNKS = 65_536  # PNG chunks, WEBP chunks and JPEG segments, those before the first scan and those from it on
MAX_METADATA_BYTES = 8 * 1024 * 1024  # PNG chunks that carry no pixels, together
MAX_EXIF_BYTES = 65_536  # what fits a JPEG segment; a larger block is not searched for an orientation
MAX_GIF_BLOCKS = 400_000  # of up to 255 bytes: twice what fills the largest file that is read by default
MAX_JPEG_SCANS = 32  # progressive encoders write about ten; each one costs a pass over all pixels

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PIXEL_CHUNKS = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"))
_PNG_FRAME_CHUNKS = frozenset((b"fcTL", b"fdAT"))  # of an animation's later pictures
_PNG_GREY = 0
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_TABLE_MARKERS = frozenset((0xC4, 0xCC, 0xDB, 0xDD))
_JPEG_NEXT_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)


class Damaged(Exception):
    """The container breaks its own format; the message completes "the picture ..."."""


class Excessive(Exception):
    """The container is well formed and asks for absurd work; the message completes "the picture ..."."""


@dataclass(frozen=True, slots=True)
class Container:
    """A picture file taken apart. ``body`` is a file of the same kind with only what the first picture needs;
    ``size`` is its canvas before any rotation, ``exif`` a TIFF structure or empty."""

    kind: Kind
    size: Size
    frames: int
    body: bytes = field(repr=False)
    exif: bytes = field(default=b"", repr=False)


def sniff(data: bytes) -> Kind | None:
    """The kind that the leading bytes announce, or None for everything that is not read here."""
    if data.startswith(_PNG_SIGNATURE):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    return None


def read_container(kind: Kind, data: bytes, *, max_frames: int) -> Container:
    """Take a file apart. Raises Damaged, or Excessive for more than ``max_frames`` frames and the other bounds here."""
    try:
        container = _READERS[kind](data, max_frames)
    except (struct.error, IndexError) as error:
        raise Damaged("ends inside its header") from error
    if not container.size.pixels:
        raise Damaged("has no pixels")
    if container.frames > max_frames:
        raise Excessive(f"has more than {max_frames} frames")
    return container


def orientation(exif: bytes) -> int:
    """The EXIF orientation, 1..8 (EXIF 2.32, tag 0x0112); 1, upright, for anything absent or malformed."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, directory)
        for at in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, _kind, _count, value = struct.unpack_from(order + "HHIH", tiff, at)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _png(data: bytes, _max_frames: int) -> Container:
    """Bytes after IEND are refused: no honest encoder writes any, and they are how archives hide in pictures."""
    if data[12:16] != b"IHDR" or data[8:12] != b"\0\0\0\x0d":
        raise Damaged("does not begin with a PNG header")
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    kept, exif, frames, metadata_bytes = [_PNG_SIGNATURE], b"", 1, 0
    for name, start, end in png_chunks(data):
        if name in _PNG_PIXEL_CHUNKS:
            _check_crc(data, name, start, end)  # the decoder passes over some
            chunk = data[start:end]
            kept.append(_png_transparency(chunk, depth, colour) if name == b"tRNS" else chunk)
            continue
        if not name[0] & 0x20:
            raise Damaged(f"has an unknown critical chunk {name!r}")
        metadata_bytes += 0 if name in _PNG_FRAME_CHUNKS else end - start
        if name == b"acTL":
            (frames,) = struct.unpack_from(">I", data, start + 8)
        elif name == b"eXIf" and end - start <= MAX_EXIF_BYTES:
            exif = data[start + 8 : end - 4]
    if metadata_bytes > MAX_METADATA_BYTES:
        raise Excessive(f"carries {metadata_bytes} bytes of text and metadata (at most {MAX_METADATA_BYTES})")
    return Container("PNG", Size(width, height), max(frames, 1), b"".join(kept), exif)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's name and its extent, length field to checksum, up to and with IEND."""
    position = len(_PNG_SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if position + 12 > len(data):
            raise Damaged("is truncated")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise Damaged("is truncated")
        yield name, position, end
        if name == b"IEND":
            if end != len(data):
                raise Damaged(f"has {len(data) - end} bytes after its end")
            return
        position = end
    raise Excessive(f"has more than {MAX_CHUNKS} chunks")


def _png_transparency(chunk: bytes, depth: int, colour: int) -> bytes:
    """The tRNS chunk as Pillow reads it right: it compares a transparent shade with samples that are already 8-bit.
    A 16-bit one means none of those, and is left out."""
    if depth == 16:
        return b""
    if colour != _PNG_GREY or depth not in (2, 4):
        return chunk
    most = 2**depth - 1
    (shade,) = struct.unpack(">H", chunk[8:-4])
    scaled = b"tRNS" + struct.pack(">H", (shade & most) * 255 // most)
    return struct.pack(">I", 2) + scaled + struct.pack(">I", zlib.crc32(scaled))


def _check_crc(data: bytes, name: bytes, start: int, end: int) -> None:
    if zlib.crc32(memoryview(data)[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
        raise Damaged(f"has a wrong checksum in its chunk {name.decode()}")


def _jpeg(data: bytes, _max_frames: int) -> Container:
    """Bytes after the picture are left alone: phones append films and depth maps there."""
    kept, exif, size = [b"\xff\xd8"], b"", None
    for marker, start, end in jpeg_segments(data):
        payload = data[start + 4 : start + 4 + 14]
        if marker in _JPEG_FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", payload, 1)
            size = size or Size(width, height)
            kept.append(data[start:end])
        elif marker == 0xDA:
            if size is None:
                raise Damaged("has no frame header before its first scan")
            _check_scans(data, start)
            return Container("JPEG", size, 1, b"".join((*kept, data[start:])), exif)
        elif marker in _JPEG_TABLE_MARKERS or payload.startswith((b"JFIF\0", b"Adobe")):
            kept.append(data[start:end])
        elif marker == 0xE1 and payload.startswith(b"Exif\0\0") and not exif:
            exif = data[start + 4 : end]
    raise Excessive(f"has more than {MAX_CHUNKS} segments")


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Each segment's marker and extent, marker to last payload byte; stray bytes between segments are skipped."""
    position = 2
    for _ in range(MAX_CHUNKS):
        found = _JPEG_NEXT_MARKER.search(data, position)
        if found is None or found.end() + 2 > len(data):
            raise Damaged("is truncated")
        marker, start = data[found.start() + 1], found.start()
        if marker == 0xD9:
            raise Damaged("ends before its first scan")
        (length,) = struct.unpack_from(">H", data, start + 2)
        position = start + 2 + length
        if length < 2 or position > len(data):
            raise Damaged("is truncated")
        yield marker, start, position


def _check_scans(data: bytes, first_scan: int) -> None:
    # Entropy-coded data never holds FF DA, so few of them anywhere proves few scans without a walk.
    if data.count(b"\xff\xda", first_scan) <= MAX_JPEG_SCANS:
        return
    scans, position = 0, first_scan
    for _ in range(MAX_CHUNKS):
        found = _JPEG_NEXT_MARKER.search(data, position)
        if found is None or data[found.start() + 1] == 0xD9:
            return
        scans += data[found.start() + 1] == 0xDA
        if scans > MAX_JPEG_SCANS:
            raise Excessive(f"has more than {MAX_JPEG_SCANS} scans")
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        position = found.end() + max(length, 2)
    raise Excessive(f"has more than {MAX_CHUNKS} segments")


def _gif(data: bytes, max_frames: int) -> Container:
    """The body is the first frame alone, so the decoder never walks comments or later frames."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + _gif_palette_bytes(flags)
    screen, control, first, frames, blocks = data[:position], b"", b"", 0, 0
    while position < len(data) and frames <= max_frames:
        start, introducer = position, data[position]
        if introducer == 0x21:
            position, passed = _gif_skip(data, position + 2)
            if data[start + 1] == 0xF9:
                control = data[start:position]
        elif introducer == 0x2C:
            left, top, across, down, local = struct.unpack_from("<HHHHB", data, position + 1)
            position, passed = _gif_skip(data, position + 11 + _gif_palette_bytes(local))
            if not frames:
                # The decoder grows its canvas to a frame that sticks out.
                width, height = max(width, left + across), max(height, top + down)
                first = control + data[start:position]
            frames += 1
        else:
            break  # the trailer, or what stands in its place
        blocks += passed
        if blocks > MAX_GIF_BLOCKS:
            raise Excessive(f"has more than {MAX_GIF_BLOCKS} blocks")
    if not frames:
        raise Damaged("is truncated or holds no frame")
    return Container("GIF", Size(width, height), frames, screen + first + b";")


def _gif_palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_skip(data: bytes, position: int) -> tuple[int, int]:
    """The position after a run of sub-blocks and how many there were; the file's end also ends a run."""
    blocks, end = 1, len(data)
    while position < end and data[position] and blocks <= MAX_GIF_BLOCKS:
        position += 1 + data[position]
        blocks += 1
    return min(position + 1, end), blocks


def _webp(data: bytes, max_frames: int) -> Container:
    size, exif, frames = _webp_canvas(data), b"", 0
    for name, start, end in webp_chunks(data):
        frames += name == b"ANMF"
        if frames > max_frames:
            break
        if name == b"EXIF" and end - start <= MAX_EXIF_BYTES:
            exif = data[start:end]
    return Container("WEBP", size, max(frames, 1), data, exif)


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's name and the extent of its payload, as far as the file says it goes."""
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    if riff_bytes + 8 > len(data):
        raise Damaged("is truncated")
    position = 12
    for _ in range(MAX_CHUNKS):
        if position + 8 > riff_bytes + 8:
            return
        name, length = struct.unpack_from("<4sI", data, position)
        yield name, position + 8, position + 8 + length
        position += 8 + length + length % 2
    raise Excessive(f"has more than {MAX_CHUNKS} chunks")


def _webp_canvas(data: bytes) -> Size:
    match data[12:16]:
        case b"VP8X":
            return Size(
                1 + int.from_bytes(data[24:27], "little"),
                1 + int.from_bytes(data[27:30], "little"),
            )
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return Size(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return Size(width & 0x3FFF, height & 0x3FFF)
    raise Damaged("does not begin with a WEBP picture")


_READERS: dict[Kind, Callable[[bytes, int], Container]] = {"PNG": _png, "JPEG": _jpeg, "GIF": _gif, "WEBP": _webp}
