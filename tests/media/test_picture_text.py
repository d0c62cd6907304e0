import io
import struct
from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from limner.core import ImageFormat, Output, Picture, Size
from limner.errors import InvalidRequest, TooLarge, UnsupportedMedia
from limner.media import exif, xmp
from limner.media.encode import encode
from limner.media.picture_text import read_recipe, read_text
from tests.media.hostile import file_of

SQUARE = Picture("RGB", Size(16, 16), bytes(16 * 16 * 3))
TEXT = {"parameters": "a circle, 円", "limner": '{"seed":1}'}


def saved(image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, image_format, **options)
    return buffer.getvalue()


def test_what_pillow_writes_into_a_png_is_read() -> None:
    """As A1111 and most others do."""
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "circle\nSteps: 1")
    info.add_itxt("Titel", "円", lang="ja", tkey="題")
    info.add_text("compressed", "x" * 100, zip=True)
    assert read_text(saved("PNG", pnginfo=info)) == {"parameters": "circle\nSteps: 1", "Titel": "円"}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("codec", ["utf-16-be", "utf-16-le"])
def test_a_comment_is_read_in_either_byte_order(order: str, codec: str) -> None:
    comment = b"UNICODE\0" + "a circle, 円".encode(codec)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(order + "HHHIII", 1, 0x8769, 4, 1, 26, 0)
    nested = struct.pack(order + "HHHIII", 1, 0x9286, 7, len(comment), 44, 0)
    block = mark + struct.pack(order + "I", 8) + directory + nested + comment
    assert exif.comment_in(block) == exif.comment_in(b"Exif\0\0" + block) == "a circle, 円"


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        (b"ASCII\0\0\0circle\0", "circle"),
        (bytes(8) + b"circle  ", "circle"),
        (bytes(8), None),
        (b"JIS\0\0\0\0\0x", None),
    ],
)
def test_a_comment_in_another_code(comment: bytes, text: str | None) -> None:
    block = Image.Exif()
    block.get_ifd(0x8769)[0x9286] = comment
    assert exif.comment_in(block.tobytes()) == text


@given(st.binary(max_size=80))
def test_no_exif_block_is_too_odd(tail: bytes) -> None:
    for head in (b"II*\0", b"MM\0*", b"Exif\0\0II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x1a\0\0\0"):
        assert isinstance(exif.comment_in(head + tail), str | None)


def test_a_packet_that_another_program_wrote_anew_is_read() -> None:
    packet = xmp.packet(TEXT).decode().replace("><", ">\n  <")
    packet = packet.replace("<rdf:Description", '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"')
    assert xmp.texts_in(packet.encode()) == TEXT


def test_a_foreign_packet_says_nothing() -> None:
    assert xmp.texts_in(b"<x:xmpmeta><limner:parameters>x</limner:parameters></x:xmpmeta>") == {}
    assert xmp.packet({}) == b""


def test_what_xml_cannot_hold_is_replaced() -> None:
    assert xmp.texts_in(xmp.packet({"a": "\0\r\n<&>\ufffe"})) == {"a": "\ufffd\r\n<&>\ufffd"}


@pytest.mark.parametrize(
    "text", [{}, {"parameters": "x"}, {"limner": "[1]"}, {"limner": "no json"}, {"limner": "null"}]
)
@pytest.mark.parametrize("image_format", get_args(ImageFormat))
def test_a_file_without_a_recipe_has_none(text: dict[str, str], image_format: ImageFormat) -> None:
    assert read_recipe(encode(SQUARE, Output(image_format), text)) is None


def test_a_gif_carries_nothing() -> None:
    assert read_text(saved("GIF", comment=b"parameters")) == {}


@pytest.mark.parametrize("image_format", get_args(ImageFormat))
def test_damage_is_told(image_format: ImageFormat) -> None:
    data = encode(SQUARE, Output(image_format), TEXT)
    with pytest.raises(InvalidRequest, match="mask is a damaged") as caught:
        read_text(data[: len(data) // 8], param="mask")
    assert caught.value.param == "mask"


def test_other_files_are_refused() -> None:
    with pytest.raises(UnsupportedMedia, match="image is not a picture"):
        read_text(b"<svg/>")


def test_a_flood_of_chunks_is_refused() -> None:
    head = encode(SQUARE, Output())[:33]
    with pytest.raises(TooLarge, match="PNG file has more than 65536 chunks"):
        read_text(head + struct.pack(">I4sI", 0, b"tEXt", 0) * 66_000)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=8), st.sampled_from(get_args(ImageFormat)))
def test_any_damage_is_text_or_a_refusal(at: int, change: bytes, image_format: ImageFormat) -> None:
    data = bytearray(encode(SQUARE, Output(image_format), TEXT))
    data[at : at + len(change)] = change
    with suppress(InvalidRequest, TooLarge, UnsupportedMedia):
        assert all(isinstance(part, str) for pair in read_text(bytes(data)).items() for part in pair)


def test_pictures_from_elsewhere_have_no_recipe() -> None:
    assert read_recipe(file_of("RGB", (8, 8))) is None


@pytest.mark.parametrize("text", ["一" * 20 + ", a cat", "Ā" * 20 + " a", "Steps: 20, " + "䀀一" * 9])
@pytest.mark.parametrize("code", ["utf-16-be", "utf-16-le"])
def test_letters_that_end_in_zeros_do_not_turn_a_comment_around(text: str, code: str) -> None:
    block = Image.Exif()
    block.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode(code)
    assert exif.comment_in(block.tobytes()) == text
