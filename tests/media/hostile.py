"""Files no honest encoder writes, built from scratch so that each says what is wrong with it."""

import io
import random
import struct
import zipfile
import zlib

from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def file_of(mode: str = "RGB", size: tuple[int, int] = (48, 32), kind: str = "PNG", **options: object) -> bytes:
    """An honest file of noise, which no encoder shrinks away."""
    channels = len(Image.new(mode, (1, 1)).tobytes())
    noise = random.Random(1).randbytes(size[0] * size[1] * channels)
    buffer = io.BytesIO()
    Image.frombytes(mode, size, noise).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def png(width: int, height: int, *extra: bytes, rows: bytes = b"", depth: int = 8, color: int = 2) -> bytes:
    """A PNG of the declared size whose pixel data is ``rows``, whatever the size would need."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"".join(
        (PNG_SIGNATURE, chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    )


def black_png(*extra: bytes) -> bytes:
    """A good 4 x 4 picture with extra chunks."""
    return png(4, 4, *extra, rows=bytes(4 * 13))


def text_bomb(megabytes: int) -> bytes:
    return chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(megabytes << 20), 1))


def gif_frame(width: int = 1, height: int = 1) -> bytes:
    return b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00"


def gif(width: int, height: int, *blocks: bytes) -> bytes:
    return (
        b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + b"".join(blocks) + b";"
    )


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


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


def webp_of_frames(count: int) -> bytes:
    frame = b"ANMF" + struct.pack("<I", 16) + bytes(16)
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02" + bytes(9) + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    body += frame * count
    return b"RIFF" + struct.pack("<I", len(body)) + body


def zip_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("payload.txt", "hidden")
    return buffer.getvalue()
