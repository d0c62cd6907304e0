"""The hostile files by name: those that are refused and how, and those whose picture is taken and nothing else.

Built by code, so that each says what is wrong with it. Both the decoder and the API are driven through all of them.
"""

import gzip
import struct
import zlib
from collections.abc import Callable

from limner.errors import InvalidRequest, LimnerError, TooLarge, UnsupportedMedia
from limner.media.containers import MAX_EXIF_BYTES, MAX_GIF_BLOCKS, MAX_METADATA_BYTES
from limner.media.decode import DecodeLimits
from tests.media import hostile
from tests.media.hostile import (
    BLACK_ROWS,
    SIDE,
    black_png,
    chunk,
    file_of,
    gif,
    gif_carrying,
    gif_frame,
    gif_picture,
    honest,
    idat,
    ihdr,
    jpeg_carrying,
    jpeg_frame_byte,
    overwritten,
    png,
    png_of,
    segment,
    spoil_checksum,
    tiff_directory,
)

LIMITS = DecodeLimits(max_bytes=20 * 1024 * 1024, max_pixels=4_000_000, max_frames=200)
PALETTE = chunk(b"PLTE", bytes(6))
HUGE_FRAME = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 60_000, 60_000, 0, 0, 1, 1, 0, 0))
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "' + b"&a;" * 1000 + b'">]><svg>&b;</svg>'

REFUSED: dict[str, tuple[Callable[[], bytes], type[LimnerError]]] = {
    # other kinds of file
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
    "png of half a transparent shade": (
        lambda: png(4, 4, chunk(b"tRNS", b"\1"), rows=bytes(8), depth=4, color=0),
        InvalidRequest,
    ),
    "png of endless chunks": (lambda: black_png(chunk(b"teSt", b"") * 70_000), TooLarge),
    "png of a billion frames": (lambda: black_png(chunk(b"acTL", struct.pack(">II", 10**9, 0))), TooLarge),
    "png without palette": (lambda: png(4, 4, rows=bytes(20), color=3), InvalidRequest),
    "gif of an absurd screen": (lambda: gif(65535, 65535, gif_frame()), TooLarge),
    "gif frame beyond the screen": (lambda: gif(1, 1, gif_frame(65535, 65535)), TooLarge),
    "gif of thousands of frames": (lambda: gif(1, 1, gif_frame() * 5000), TooLarge),
    "gif of no frame": (lambda: gif(10, 10), InvalidRequest),
    "gif of no size": (lambda: gif(0, 0, gif_frame(0, 0)), InvalidRequest),
    "gif header alone": (lambda: b"GIF89a", InvalidRequest),
    "gif of endless blocks": (lambda: gif(9, 9, b"!\xfe" + b"\x01a" * MAX_GIF_BLOCKS + b"\0", gif_frame()), TooLarge),
    "gif of a cut frame": (lambda: file_of("P", kind="GIF")[:-200], InvalidRequest),
    "jpeg start alone": (lambda: b"\xff\xd8\xff", InvalidRequest),
    "jpeg without scans": (lambda: b"\xff\xd8" + segment(0xE0, b"JFIF\0") + b"\xff\xd9", InvalidRequest),
    "jpeg of 65500 x 65500": (lambda: hostile.jpeg_declaring(65500, 65500), TooLarge),
    "jpeg of no height": (lambda: hostile.jpeg_declaring(48, 0), InvalidRequest),
    "jpeg segment of length 0": (lambda: b"\xff\xd8\xff\xe0\0\0" + file_of(kind="JPEG")[2:], InvalidRequest),
    "jpeg of endless segments": (lambda: b"\xff\xd8" + segment(0xE1, b"Exif\0\0") * 70_000, TooLarge),
    "jpeg of a thousand scans": (lambda: hostile.jpeg_of_scans(1000), TooLarge),
    "jpeg of endless segments behind its scan": (
        lambda: honest("JPEG")[:-2] + segment(0xFE, b"\xff\xda" * 99) + segment(0xE0, b"") * 70_000 + b"\xff\xd9",
        TooLarge,
    ),
    "jpeg scan before its frame": (lambda: b"\xff\xd8" + segment(0xDA, bytes(9)) + bytes(99), InvalidRequest),
    "webp of a huge canvas": (lambda: hostile.webp_declaring(1 << 24, 1 << 24), TooLarge),
    "webp of a wrong canvas": (lambda: hostile.webp_declaring(1999, 2000), InvalidRequest),
    "webp of thousands of frames": (lambda: hostile.webp_of_frames(5000), TooLarge),
    "webp of hollow frames": (lambda: hostile.webp_of_frames(3), InvalidRequest),
    "webp of an unknown first chunk": (lambda: b"RIFF\x20\0\0\0WEBPEVIL" + bytes(32), InvalidRequest),
    "svg behind an xml declaration": (lambda: b"<?xml version='1.0'?>" + SVG, UnsupportedMedia),
    "svg of a billion laughs": (lambda: LAUGHS, UnsupportedMedia),
    "svg compressed": (lambda: gzip.compress(SVG), UnsupportedMedia),
    "gzip bomb": (lambda: gzip.compress(bytes(30 << 20), 1), UnsupportedMedia),
    "eps with a binary header": (lambda: b"\xc5\xd0\xd3\xc6" + bytes(28) + b"%!PS", UnsupportedMedia),
    "big tiff": (lambda: b"II+\0\x08\0\0\0" + bytes(64), UnsupportedMedia),
    "psd": (lambda: b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 30_000, 30_000, 8, 3), UnsupportedMedia),
    "jpeg 2000": (lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64), UnsupportedMedia),
    "jpeg xl": (lambda: b"\xff\x0a" + bytes(64), UnsupportedMedia),
    "heic": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64), UnsupportedMedia),
    "mp4": (lambda: b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(64), UnsupportedMedia),
    "tga": (lambda: file_of(kind="TGA"), UnsupportedMedia),
    "pcx": (lambda: file_of(kind="PCX"), UnsupportedMedia),
    "dds": (lambda: file_of(kind="DDS"), UnsupportedMedia),
    "wmf": (lambda: b"\xd7\xcd\xc6\x9a" + bytes(64), UnsupportedMedia),
    "xpm": (lambda: b'/* XPM */ static char *x[] = {"1 1 1 1", "a c #000", "a"};', UnsupportedMedia),
    "mng": (lambda: b"\x8aMNG\r\n\x1a\n" + black_png()[8:], UnsupportedMedia),
    "html before a png": (lambda: b"<html>" + black_png(), UnsupportedMedia),
    "pdf before a jpeg": (lambda: b"%PDF-1.7\n" + file_of(kind="JPEG"), UnsupportedMedia),
    "zip before a gif": (lambda: hostile.zip_archive() + gif(1, 1, gif_frame()), UnsupportedMedia),
    "nothing but zeros": (lambda: bytes(1 << 20), UnsupportedMedia),
    # png
    "png of 2^31 x 1": (lambda: png_of(ihdr(2**31, 1), idat(b"")), TooLarge),
    "png of 1 x 2^31": (lambda: png_of(ihdr(1, 2**31), idat(b"")), TooLarge),
    "png of 2^32 - 1 squared": (lambda: png_of(ihdr(2**32 - 1, 2**32 - 1), idat(b"")), TooLarge),
    "png of one pixel row too many": (lambda: png_of(ihdr(1, 4_000_001), idat(bytes(100))), TooLarge),
    "png without IDAT": (lambda: png_of(ihdr(4, 4)), InvalidRequest),
    "png of empty IDATs": (lambda: png_of(ihdr(4, 4), *[chunk(b"IDAT", b"")] * 20_000), InvalidRequest),
    "png of an unknown filter": (lambda: png_of(ihdr(4, 4), idat(b"\x09" + bytes(51))), InvalidRequest),
    "png of an unknown filter method": (lambda: png_of(ihdr(4, 4, filtering=5), idat(bytes(52))), InvalidRequest),
    "png of an unknown interlace": (lambda: png_of(ihdr(4, 4, interlace=7), idat(bytes(52))), InvalidRequest),
    "png of colour type 5": (lambda: png_of(ihdr(4, 4, color=5), idat(bytes(52))), InvalidRequest),
    "png of a 16-bit palette": (lambda: png_of(ihdr(4, 4, 16, 3), PALETTE, idat(bytes(99))), InvalidRequest),
    "png of a palette of 300": (
        lambda: png_of(ihdr(4, 4, 8, 3), chunk(b"PLTE", bytes(900)), idat(bytes(20))),
        InvalidRequest,
    ),
    "png of a preset dictionary": (lambda: png_of(ihdr(4, 4), chunk(b"IDAT", b"\x78\xbb" + bytes(9))), InvalidRequest),
    "png of a wrong Adler sum": (
        lambda: png_of(ihdr(4, 4), chunk(b"IDAT", zlib.compress(bytes(52))[:-4] + b"abcd")),
        InvalidRequest,
    ),
    "png of a wrong IDAT checksum": (lambda: spoil_checksum(black_png(), b"IDAT"), InvalidRequest),
    "png of a wrong IEND checksum": (lambda: spoil_checksum(black_png(), b"IEND"), InvalidRequest),
    "png of a wrong palette checksum": (
        lambda: spoil_checksum(png_of(ihdr(4, 4, 8, 3), PALETTE, idat(bytes(20))), b"PLTE"),
        InvalidRequest,
    ),
    "png as a phone crushes it": (
        lambda: hostile.PNG_SIGNATURE + chunk(b"CgBI", bytes(4)) + black_png()[8:],
        InvalidRequest,
    ),
    "png with text behind": (lambda: black_png() + b"<?php system($_GET[0]);", InvalidRequest),
    "png twice": (lambda: black_png() * 2, InvalidRequest),
    "png with line ends converted": (lambda: black_png().replace(b"\r\n", b"\n"), UnsupportedMedia),
    "png with giant iCCP": (lambda: black_png(chunk(b"iCCP", bytes(MAX_METADATA_BYTES))), TooLarge),
    "png with giant eXIf": (lambda: black_png(chunk(b"eXIf", bytes(MAX_METADATA_BYTES))), TooLarge),
    "png with giant private chunk": (lambda: black_png(chunk(b"prVt", bytes(MAX_METADATA_BYTES))), TooLarge),
    # gif
    "gif of an offset frame": (lambda: gif(4, 4, gif_picture(60_000, 60_000, 4, 4, b"\x44\x01")), TooLarge),
    "gif of code size 255": (lambda: gif(1, 1, gif_picture(0, 0, 1, 1, b"\x44\x01", 255)), InvalidRequest),
    "gif of garbage codes": (lambda: gif(8, 8, gif_picture(0, 0, 8, 8, b"\xff" * 9)), InvalidRequest),
    "gif of too few codes": (lambda: gif(2000, 2000, gif_picture(0, 0, 2000, 2000, b"\x44\x01")), InvalidRequest),
    "gif that is a script": (lambda: b"GIF89a/*" + bytes(99) + b"*/=1;alert(1)//", InvalidRequest),
    "gif of endless comments": (lambda: gif(1, 1, b"!\xfe\x01a\0" * (MAX_GIF_BLOCKS // 2 + 1)), TooLarge),
    "gif cut inside its palette": (lambda: gif(1, 1)[:15], InvalidRequest),
    # jpeg
    "jpeg of 12 bits": (lambda: jpeg_frame_byte(4, 12), InvalidRequest),
    "jpeg of no components": (lambda: jpeg_frame_byte(9, 0), InvalidRequest),
    "jpeg of 200 components": (lambda: jpeg_frame_byte(9, 200), InvalidRequest),
    "jpeg of impossible sampling": (lambda: jpeg_frame_byte(11, 0xFF), InvalidRequest),
    "jpeg of a missing table": (lambda: jpeg_frame_byte(12, 9), InvalidRequest),
    "jpeg lossless": (lambda: jpeg_frame_byte(1, 0xC3), InvalidRequest),
    "jpeg hierarchical": (lambda: jpeg_frame_byte(1, 0xC5), InvalidRequest),
    "jpeg of no width": (lambda: hostile.jpeg_declaring(0, 32), InvalidRequest),
    "jpeg of two frames": (
        lambda: jpeg_carrying(segment(0xC0, b"\x08\0\x20\0\x30\x01\x01\x11\0")),
        InvalidRequest,
    ),
    "jpeg of two frames, one huge": (
        lambda: jpeg_carrying(segment(0xC0, b"\x08\xff\xff\xff\xff\x01\x01\x11\0")),
        TooLarge,
    ),
    "jpeg segment beyond the end": (lambda: b"\xff\xd8\xff\xe1\xff\xffExif\0\0", InvalidRequest),
    # webp
    "webp lossy of 16383 squared": (
        lambda: overwritten(file_of(kind="WEBP"), 26, struct.pack("<HH", 16383, 16383)),
        TooLarge,
    ),
    "webp lossless of 16384 squared": (
        lambda: overwritten(file_of(kind="WEBP", lossless=True), 21, struct.pack("<I", 0x0FFFFFFF)),
        TooLarge,
    ),
    "webp of garbage": (hostile.webp_lossless_garbage, InvalidRequest),
    "webp of garbage alpha": (hostile.webp_garbage_alpha, InvalidRequest),
    "webp of 4 GiB": (lambda: overwritten(file_of(kind="WEBP"), 4, b"\xff" * 4), InvalidRequest),
    "webp chunk of 4 GiB": (lambda: overwritten(file_of(kind="WEBP"), 16, b"\xff" * 4), InvalidRequest),
    "webp header alone": (lambda: file_of(kind="WEBP")[:12], InvalidRequest),
    "webp film of no frame": (lambda: hostile.webp_of_frames(0), InvalidRequest),
    "webp of endless chunks": (
        lambda: b"RIFF" + struct.pack("<I", 22 + 8 * 70_000) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(10)
        + b"\0\0\0\0\0\0\0\0" * 70_000,
        TooLarge,
    ),
}  # fmt: skip

# name -> the file, and an honest one of the same picture
HARMLESS: dict[str, tuple[Callable[[], bytes], Callable[[], bytes]]] = {
    "png text and profile bombs": (
        lambda: black_png(hostile.text_bomb(60), hostile.text_bomb(60).replace(b"zTXt", b"iCCP")),
        black_png,
    ),
    "png international text bomb": (
        lambda: black_png(chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(60 << 20), 1))),
        black_png,
    ),
    "png that inflates to far more than its size": (
        lambda: png_of(ihdr(SIDE, SIDE), idat(bytes(100 << 20))),
        black_png,
    ),
    "png that inflates to less than its size": (  # what is missing is black, never somebody else's memory
        lambda: png_of(ihdr(600, 600), idat(bytes(1801))),
        lambda: png_of(ihdr(600, 600), idat(bytes(600 * 1801))),
    ),
    "png of a broken profile": (lambda: black_png(chunk(b"iCCP", b"x\0\0not zlib")), black_png),
    "png with php in its text": (lambda: black_png(chunk(b"tEXt", b"a\0<?php system($_GET[0]);?>")), black_png),
    "png with html in its text": (lambda: black_png(chunk(b"tEXt", b"<script>\0alert(1)</script>")), black_png),
    "png of a second, huge frame": (
        lambda: black_png(chunk(b"acTL", struct.pack(">II", 2, 0)), HUGE_FRAME, chunk(b"fdAT", bytes(99))),
        black_png,
    ),
    "png of frames that are longer than texts may be": (
        lambda: black_png(
            chunk(b"acTL", struct.pack(">II", 3, 0)), *[HUGE_FRAME, chunk(b"fdAT", bytes(MAX_METADATA_BYTES))] * 2
        ),
        black_png,
    ),
    "png of split pixels": (
        lambda: png_of(ihdr(SIDE, SIDE), *(chunk(b"IDAT", bytes((byte,))) for byte in zlib.compress(BLACK_ROWS))),
        black_png,
    ),
    "png with an EXIF directory that names itself": (
        lambda: black_png(chunk(b"eXIf", tiff_directory((0x8769, 4, 1, 8), next_at=8))),
        black_png,
    ),
    "png with an EXIF bomb": (
        lambda: black_png(chunk(b"eXIf", tiff_directory(*[(1, 2, 2**32 - 1, 0)] * 5000))),
        black_png,
    ),
    "png with EXIF too large to search": (lambda: black_png(chunk(b"eXIf", bytes(MAX_EXIF_BYTES))), black_png),
    "png of a wrong text checksum": (
        lambda: spoil_checksum(black_png(chunk(b"tEXt", b"a\0b")), b"tEXt"),
        black_png,
    ),
    "gif with a script behind": (
        lambda: honest("GIF") + b"<script>alert(1)</script>",
        lambda: honest("GIF"),
    ),
    "gif with a comment of html": (
        lambda: gif_carrying(b"!\xfe\x06<html>\0"),
        lambda: honest("GIF"),
    ),
    "gif of many frames, the rest huge": (
        lambda: honest("GIF")[:-1] + gif_frame(60_000, 60_000) * 50 + b";",
        lambda: honest("GIF"),
    ),
    "jpeg with html behind": (lambda: honest("JPEG") + b"<html><script>", lambda: honest("JPEG")),
    "jpeg with a zip behind": (lambda: honest("JPEG") + hostile.zip_archive(), lambda: honest("JPEG")),
    "jpeg with html in a comment": (
        lambda: jpeg_carrying(segment(0xFE, b"<html><script>alert(1)</script>")),
        lambda: honest("JPEG"),
    ),
    "jpeg of films and comments": (
        lambda: jpeg_carrying(*[segment(0xFE, bytes(60_000))] * 50) + b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 500,
        lambda: honest("JPEG"),
    ),
    "jpeg of many profiles": (
        lambda: jpeg_carrying(*[segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(60_000))] * 50),
        lambda: honest("JPEG"),
    ),
    "jpeg of broken EXIF": (
        lambda: jpeg_carrying(segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff")),
        lambda: honest("JPEG"),
    ),
    "jpeg of an EXIF bomb": (
        lambda: jpeg_carrying(segment(0xE1, b"Exif\0\0" + tiff_directory(*[(0x8769, 4, 2**32 - 1, 8)] * 5000))),
        lambda: honest("JPEG"),
    ),
    "webp with a zip behind": (lambda: honest("WEBP") + hostile.zip_archive(), lambda: honest("WEBP")),
}  # fmt: skip
