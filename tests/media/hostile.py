"""Files no honest encoder writes, built from scratch so that each says what is wrong with it."""

import io
import random
import struct
import zipfile
import zlib

from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIDE = 64
BLACK_ROWS = bytes(SIDE * (1 + 3 * SIDE))


def file_of(mode: str = "RGB", size: tuple[int, int] = (48, 32), kind: str = "PNG", **options: object) -> bytes:
    """An honest file of noise, which no encoder shrinks away."""
    channels = len(Image.new(mode, (1, 1)).tobytes())
    noise = random.Random(1).randbytes(size[0] * size[1] * channels)
    buffer = io.BytesIO()
    Image.frombytes(mode, size, noise).save(buffer, kind, **options)
    return buffer.getvalue()


def honest(kind: str) -> bytes:
    """An honest file, large enough that every model takes it."""
    return file_of("P" if kind == "GIF" else "RGB", (80, 64), kind)


def chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def png(width: int, height: int, *extra: bytes, rows: bytes = b"", depth: int = 8, color: int = 2) -> bytes:
    """A PNG of the declared size whose pixel data is ``rows``, whatever the size would need."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"".join(
        (PNG_SIGNATURE, chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    )


def png_of(*chunks: bytes) -> bytes:
    return b"".join((PNG_SIGNATURE, *chunks, chunk(b"IEND", b"")))


def ihdr(width: int, height: int, depth: int = 8, color: int = 2, *, filtering: int = 0, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, filtering, interlace))


def idat(rows: bytes) -> bytes:
    return chunk(b"IDAT", zlib.compress(rows))


def spoil_checksum(data: bytes, name: bytes) -> bytes:
    """The PNG with a wrong checksum in its first chunk called ``name``."""
    at = data.index(name)
    (length,) = struct.unpack_from(">I", data, at - 4)
    end = at + 4 + length
    return data[:end] + bytes(byte ^ 0xFF for byte in data[end : end + 4]) + data[end + 4 :]


def black_png(*extra: bytes) -> bytes:
    """A good picture of SIDE x SIDE with extra chunks."""
    return png(SIDE, SIDE, *extra, rows=BLACK_ROWS)


def text_bomb(megabytes: int) -> bytes:
    return chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(megabytes << 20), 1))


def gif_frame(width: int = 1, height: int = 1) -> bytes:
    return b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00"


def gif_picture(left: int, top: int, width: int, height: int, codes: bytes, code_size: int = 2) -> bytes:
    """A frame anywhere with any LZW codes, at most 255 bytes of them."""
    head = b"," + struct.pack("<HHHHB", left, top, width, height, 0) + bytes((code_size, len(codes)))
    return head + codes + b"\0"


def gif(width: int, height: int, *blocks: bytes) -> bytes:
    return (
        b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + b"".join(blocks) + b";"
    )


def gif_carrying(*blocks: bytes) -> bytes:
    """An honest GIF with blocks before its picture."""
    data = honest("GIF")
    end = 13 + (3 << (data[10] & 7) + 1)
    return data[:end] + b"".join(blocks) + data[end:]


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def jpeg_frame_byte(offset: int, value: int) -> bytes:
    """A real JPEG with one byte of its frame header changed; ``offset`` counts from the marker."""
    data = bytearray(file_of(kind="JPEG"))
    data[data.index(b"\xff\xc0") + offset] = value
    return bytes(data)


def jpeg_carrying(*segments: bytes) -> bytes:
    data = honest("JPEG")
    return data[:2] + b"".join(segments) + data[2:]


def jpeg_declaring(width: int, height: int) -> bytes:
    """A real JPEG whose frame header claims another size."""
    data = bytearray(file_of(kind="JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_of_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = file_of("L", kind="JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + b"\xff\xd9"


def webp_declaring(width: int, height: int) -> bytes:
    """An extended WEBP whose canvas claims another size than its picture."""
    data = bytearray(file_of("RGBA", kind="WEBP"))
    assert data[12:16] == b"VP8X"
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def overwritten(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def webp_lossless_garbage() -> bytes:
    data = file_of(kind="WEBP", lossless=True)
    return data[:26] + b"\xff" * (len(data) - 26)


def webp_garbage_alpha() -> bytes:
    data = file_of("RGBA", kind="WEBP")
    return overwritten(data, data.index(b"ALPH") + 8, b"\xff" * 40)


def webp_of_frames(count: int) -> bytes:
    frame = b"ANMF" + struct.pack("<I", 16) + bytes(16)
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02" + bytes(9) + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    body += frame * count
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_directory(*entries: tuple[int, int, int, int], next_at: int = 0) -> bytes:
    """A little-endian TIFF with one directory; an entry is tag, type, count, value."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + struct.pack("<I", next_at)


def zip_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("payload.txt", "hidden")
    return buffer.getvalue()
