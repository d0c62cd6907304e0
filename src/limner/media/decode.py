"""Strangers' bytes to a Picture, or a clear refusal.

Owns what is accepted: PNG, JPEG, WEBP and GIF (first frame), within limits that are checked from the header before a
pixel is allocated. All metadata is dropped after the EXIF orientation has been applied; colour profiles are dropped,
not applied. Does no I/O and touches none of Pillow's global state; CPU-bound, so the server calls it through
``MediaThreads``.
"""

import io
import logging
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import pybase64
from PIL import GifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from limner.core import Picture, Size
from limner.errors import InvalidRequest, LimnerError, TooLarge, UnsupportedMedia
from limner.media.containers import Container, Damaged, Excessive, Kind, orientation, read_container, sniff
from limner.media.convert import from_image

logger = logging.getLogger(__name__)

ACCEPTED = "PNG, JPEG, WEBP and GIF"

# The plugins are called directly: no sniffing beyond ours, and no process-wide MAX_IMAGE_PIXELS that only warns.
_PLUGINS: dict[Kind, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}

# EXIF orientation -> what makes the picture upright (EXIF 2.32, section 4.6.4 A).
_UPRIGHT: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """The largest picture that is read: file bytes, canvas pixels, and frames of an animation."""

    max_bytes: int = 50 * 1024 * 1024
    max_pixels: int = 64 * 1024 * 1024
    max_frames: int = 1000


def decode(data: bytes, limits: DecodeLimits, *, param: str) -> Picture:
    """Decode a file to RGB, or to RGBA where at least one pixel is not opaque. ``param`` is named in errors.

    An animation gives its first frame. 16-bit samples keep their high byte. Peak memory is two to three copies of the
    decoded pixels. Raises UnsupportedMedia for other formats, TooLarge beyond ``limits``, InvalidRequest for damage.
    """
    if not data:
        raise InvalidRequest(f"{param} is empty: send a picture ({ACCEPTED}).", param=param)
    if len(data) > limits.max_bytes:
        raise _too_many_bytes(limits, param)
    kind = sniff(data)
    if kind is None:
        raise UnsupportedMedia(f"{param} is not a picture that is read here: send {ACCEPTED}.", param=param)
    try:
        container = read_container(kind, data, max_frames=limits.max_frames)
        _check_size(container.size, limits)
        image = _pixels(container, limits)
    except Damaged as error:
        raise InvalidRequest(f"{param} is a damaged {kind} file: it {error}.", param=param) from error
    except Excessive as error:
        raise TooLarge(f"{param} is more than is read here: the {kind} file {error}.", param=param) from error
    return from_image(image)


def decode_base64(text: str, limits: DecodeLimits, *, param: str) -> Picture:
    """Decode a picture given as a data URL or as bare base64; raises as ``decode`` and ``read_base64`` do."""
    return decode(read_base64(text, limits, param=param), limits, param=param)


def is_data_url(text: str) -> bool:
    """Whether ``text`` is meant as a data URL."""
    return text[:16].lstrip()[:5].lower() == "data:"


def read_base64(text: str, limits: DecodeLimits, *, param: str) -> bytes:
    """The bytes of a base64 data URL or of bare base64.

    Line breaks, the URL-safe alphabet, percent escapes and missing padding are accepted; any other character is
    not. The media type a data URL claims is ignored: the bytes decide. Raises InvalidRequest, or TooLarge.
    """
    payload = _payload(text, param) if is_data_url(text) else text
    if len(payload) > 4 * limits.max_bytes:
        raise _too_many_bytes(limits, param)
    try:
        raw = unquote_to_bytes(payload) if "%" in payload else payload.encode("ascii")
        raw = b"".join(raw.split()).translate(_URL_SAFE).rstrip(b"=")
        data = pybase64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except ValueError as error:  # includes binascii.Error and UnicodeEncodeError
        raise InvalidRequest(f"{param} is not valid base64.", param=param) from error
    if len(data) > limits.max_bytes:
        raise _too_many_bytes(limits, param)
    return data


_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _payload(text: str, param: str) -> str:
    header, comma, payload = text.partition(",")
    if not comma or not header.rstrip().lower().endswith(";base64"):
        raise InvalidRequest(f"{param} is not a data URL of the form data:image/png;base64,...", param=param)
    return payload


def _too_many_bytes(limits: DecodeLimits, param: str) -> LimnerError:
    return TooLarge(f"{param} is larger than {limits.max_bytes} bytes, the most that is read.", param=param)


def _check_size(size: Size, limits: DecodeLimits) -> None:
    if size.pixels > limits.max_pixels:
        raise Excessive(f"is {size} = {size.pixels} pixels, of at most {limits.max_pixels}")


def _pixels(container: Container, limits: DecodeLimits) -> Image.Image:
    """The upright first frame in RGB or RGBA."""
    try:
        image: Image.Image = _PLUGINS[container.kind](io.BytesIO(container.body))
        # No plugin has allocated pixels yet; a size other than the announced one is a parser being deceived.
        if image.size == (container.size.width_px, container.size.height_px):
            image.load()
            return _upright(_eight_bit(image), orientation(container.exif))
    except Exception as error:  # on hostile bytes the parsers raise whatever they stumble over
        logger.debug("Pillow refused a %s file: %r", container.kind, error)
        raise Damaged("cannot be decoded, or is truncated") from error
    _check_size(Size(*image.size), limits)
    raise Damaged("contradicts itself about its size")


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":  # little-endian samples; convert() would clip instead of scale
        return Image.frombytes("L", image.size, image.tobytes()[1::2]).convert("RGB")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image if image.mode == "RGBA" else image.convert("RGBA")
    opaque = image.getchannel("A").getextrema() == (255, 255)
    return image.convert("RGB") if opaque else image


def _upright(image: Image.Image, exif_orientation: int) -> Image.Image:
    transpose = _UPRIGHT.get(exif_orientation)
    return image if transpose is None else image.transpose(transpose)
