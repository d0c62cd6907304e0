import io
from collections.abc import Mapping
from typing import get_args
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from limner.core import ImageFormat, Output, Picture, PixelMode, Size
from limner.errors import InvalidRequest
from limner.media.convert import from_image
from limner.media.decode import DecodeLimits, decode
from limner.media.encode import encode, media_type, on_white
from limner.media.picture_text import read_text
from limner.media.resize import fit
from limner.media.threads import MediaThreads
from tests.media.hostile import file_of


def picture_of(mode: PixelMode = "RGB", size: tuple[int, int] = (96, 64)) -> Picture:
    data = file_of(mode, size)
    with Image.open(io.BytesIO(data)) as image:
        smooth = image.resize(size, Image.Resampling.BICUBIC, (0, 0, size[0] // 16, size[1] // 16))
    return from_image(smooth)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    mode = draw(st.sampled_from(get_args(PixelMode)))
    width, height = draw(st.sampled_from([(1, 1), (1, 7), (5, 1), (4097, 1), (1, 3000), (17, 31), (256, 3)]))
    seed = draw(st.binary(min_size=1, max_size=64))
    size = width * height * len(mode)
    return Picture(mode, Size(width, height), (seed * (size // len(seed) + 1))[:size])


@given(picture=pictures(), text=st.dictionaries(st.sampled_from(["parameters", "limner"]), st.text(max_size=30)))
def test_png_is_exact_and_carries_its_text(picture: Picture, text: Mapping[str, str]) -> None:
    image = opened(encode(picture, Output(), text))
    assert image.mode == picture.mode
    assert image.tobytes() == picture.pixels
    read = image.text  # type: ignore[attr-defined]
    assert read == {key: value.replace("\0", "\N{REPLACEMENT CHARACTER}") for key, value in text.items()}


def test_a_png_with_text_is_well_formed() -> None:
    data = encode(picture_of(), Output(), {"parameters": "ein Kreis, 円", "limner": "{}"})
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    assert decode(data, DecodeLimits(), param="image") == picture_of()


@pytest.mark.parametrize("image_format", get_args(ImageFormat))
def test_the_format_and_its_media_type_agree(image_format: ImageFormat) -> None:
    image = opened(encode(picture_of(), Output(image_format)))
    assert Image.MIME[image.format or ""] == media_type(image_format)
    assert image.size == (96, 64)


@pytest.mark.parametrize("image_format", ["jpeg", "webp"])
def test_a_larger_compression_value_gives_a_larger_file(image_format: ImageFormat) -> None:
    sizes = [len(encode(picture_of(), Output(image_format, quality))) for quality in (0, 1, 20, 50, 80, 89, 90, 100)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) >= 7
    assert sizes[4] < len(encode(picture_of(), Output(image_format))) < sizes[-1]


def test_png_ignores_compression() -> None:
    assert encode(picture_of(), Output("png", 5)) == encode(picture_of(), Output("png"))


@pytest.mark.parametrize("image_format", ["jpeg", "webp"])
@pytest.mark.parametrize("mode", get_args(PixelMode))
def test_lossy_formats_stay_close(image_format: ImageFormat, mode: PixelMode) -> None:
    picture = picture_of(mode)
    opaque = on_white(picture) if mode == "RGBA" else picture
    data = encode(picture, Output(image_format, background="opaque"))
    image = opened(data).convert(opaque.mode)
    errors = [abs(a - b) for a, b in zip(image.tobytes(), opaque.pixels, strict=True)]
    assert sum(errors) / len(errors) < 4


def test_jpeg_puts_transparency_on_white() -> None:
    clear = Picture("RGBA", Size(8, 8), bytes(8 * 8 * 4))
    image = opened(encode(clear, Output("jpeg")))
    assert image.mode == "RGB"
    assert image.getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize("image_format", ["png", "webp"])
@pytest.mark.parametrize(("background", "mode"), [("auto", "RGBA"), ("transparent", "RGBA"), ("opaque", "RGB")])
def test_background_decides_about_alpha(image_format: ImageFormat, background: str, mode: str) -> None:
    half = Picture("RGBA", Size(8, 8), bytes((0, 0, 0, 51)) * 64)
    image = opened(encode(half, Output(image_format, background=background)))  # type: ignore[arg-type]
    assert image.mode == mode
    if mode == "RGB":
        assert image.getpixel((3, 3)) == pytest.approx((204, 204, 204), abs=2)
    else:
        assert image.getchannel("A").getextrema() == (51, 51)


def test_a_transparent_jpeg_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="png or webp") as caught:
        encode(picture_of(), Output("jpeg", background="transparent"))
    assert caught.value.param == "background"


@pytest.mark.parametrize(("image_format", "edge"), [("webp", 16_384), ("jpeg", 65_501)])
def test_an_edge_the_format_cannot_hold_is_refused(image_format: ImageFormat, edge: int) -> None:
    with pytest.raises(InvalidRequest, match=str(edge)) as caught:
        encode(Picture("L", Size(edge, 1), bytes(edge)), Output(image_format))
    assert caught.value.param == "output_format"


TEXTS = {"parameters": "a circle, 円", "limner": '{"prompt":"<a> & \\"b\\""}', "other": "x"}


@pytest.mark.parametrize("image_format", ["jpeg", "webp"])
def test_lossy_formats_carry_the_parameters_as_user_comment_and_the_rest_in_xmp(image_format: ImageFormat) -> None:
    image = opened(encode(picture_of(), Output(image_format), TEXTS))
    assert image.getexif().get_ifd(0x8769)[0x9286] == b"UNICODE\0" + "a circle, 円".encode("utf-16-be")
    assert ElementTree.fromstring(image.info["xmp"].decode()).findtext(".//{urn:limner:text:1.0}other") == "x"
    assert opened(encode(picture_of(), Output(image_format))).info.keys().isdisjoint({"exif", "xmp"})


@pytest.mark.parametrize("image_format", get_args(ImageFormat))
@pytest.mark.parametrize("keywords", [("parameters",), ("limner",), ("parameters", "limner", "other")])
def test_what_a_file_carries_can_be_read_back(image_format: ImageFormat, keywords: tuple[str, ...]) -> None:
    text = {keyword: TEXTS[keyword] for keyword in keywords}
    assert read_text(encode(picture_of(), Output(image_format), text)) == text


@pytest.mark.parametrize(
    ("characters", "kept"), [(32_700, {"parameters", "limner"}), (32_800, {"limner"}), (66_600, set())]
)
def test_what_no_jpeg_segment_holds_is_left_out_whole(characters: int, kept: set[str]) -> None:
    """A segment takes 64 KiB: half as many characters of UTF-16, all of them in ASCII."""
    text = {"parameters": "x" * characters, "limner": "y" * (characters - 1000)}
    assert set(read_text(encode(picture_of(), Output("jpeg"), text))) == kept
    for image_format in ("png", "webp"):
        assert read_text(encode(picture_of(), Output(image_format), text)) == text


@pytest.mark.parametrize("mode", get_args(PixelMode))
def test_fit_resamples_to_the_size(mode: PixelMode) -> None:
    picture = picture_of(mode)
    assert fit(picture, picture.size) is picture
    assert fit(picture, Size(7, 200)).size == Size(7, 200)
    flat = Picture(mode, Size(9, 9), bytes([90]) * (81 * len(mode)))
    assert fit(flat, Size(4, 5)).pixels == pytest.approx(bytes([90]) * (20 * len(mode)), abs=1)


def test_fit_does_not_bleed_hidden_colours() -> None:
    checks = bytes((255, 0, 0, 255, 0, 255, 0, 0)) * 32
    shrunk = fit(Picture("RGBA", Size(8, 8), checks), Size(2, 2))
    assert shrunk.pixels[1::4] == bytes(4)


async def test_threads_encode_as_the_function_does() -> None:
    media = MediaThreads(DecodeLimits())
    try:
        assert await media.encode(picture_of(), Output("webp"), {"a": "b"}) == encode(
            picture_of(), Output("webp"), {"a": "b"}
        )
    finally:
        media.close()
