"""Canvases and masks for operations that are repainting under a mask which is made for the purpose.

Owns that geometry: pictures with new sides, masks that follow words, and what of the original is put back afterwards.
Pure Pillow, CPU-bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageChops, ImageFilter

from limner.backends.pixels import grey, opaque, picture_of, resized
from limner.catalogue.sizing import extended, fit, problem
from limner.catalogue.spec import SizeRules
from limner.core import ParamValue, Picture, Size
from limner.errors import RegionNotFound
from limner.media.canvas import Box
from limner.media.mask import REPAINTED

GROWN: Final = 0.02  # of the shorter side: what words name is marked so much wider, for its edge belongs to it
SOFT: Final = 0.01  # of the shorter side: over how much a region runs into what is around it
RUN: Final = 0.03  # of the shorter side: over how much colours run together where a picture goes on


@dataclass(frozen=True, slots=True)
class Repainting:
    """A picture to repaint under a mask, both of a size that the model draws, and how a result becomes what was asked
    for: its part in ``box``, at the size of ``original``, lies on that where ``blend`` is above 0."""

    canvas: Picture
    mask: Picture
    original: Image.Image
    blend: Image.Image
    box: Box

    def finished(self, drawn: Picture) -> Picture:
        """``drawn``, of whatever size, as the operation's result: where ``blend`` is 0, the original's own pixels."""
        image = resized(opaque(drawn), self.canvas.size).crop(self.box.sides)
        image = resized(image, Size(*self.original.size))
        return picture_of(Image.composite(image, self.original, self.blend))


def extending(picture: Picture, params: Mapping[str, ParamValue], size: Size, rules: SizeRules) -> Repainting:
    """``picture`` with the sides that ``params`` name, all of it at ``size``: the new sides are repainted, and run into
    the picture over its outermost ``feather`` pixels."""
    whole = extended(picture.size, params)
    across, down = size.width_px / whole.width_px, size.height_px / whole.height_px
    left, top = (int(str(params.get(side) or 0)) for side in ("left", "top"))
    kept = Box(
        round(left * across),
        round(top * down),
        max(round((left + picture.size.width_px) * across), round(left * across) + 1),
        max(round((top + picture.size.height_px) * down), round(top * down) + 1),
    )
    blend = _seam(kept, size, round(int(str(params.get("feather") or 0)) * across))
    return _extended(resized(opaque(picture), kept.size), kept, blend, rules)


def changing(picture: Picture, region: Picture, size: Size, rules: SizeRules) -> Repainting:
    """``picture`` at ``size``, of which what ``region`` marks is repainted, and a little around it.

    Raises RegionNotFound where it marks nothing.
    """
    marked = grey(region).point(lambda value: 255 if value >= REPAINTED else 0)
    if marked.getbbox() is None:
        raise RegionNotFound("Invalid value for 'region': nothing of it was found in the picture", param="region")
    side = min(marked.size)
    softness = max(1.0, side * SOFT)
    grown = ImageChops.lighter(marked, _grown(marked, round(side * GROWN + 2 * softness)))
    soft = grown.filter(ImageFilter.GaussianBlur(softness))  # where it was grown by GROWN alone, all but 255 still
    blend = resized(ImageChops.lighter(soft, marked), size)
    original = resized(opaque(picture), size)
    return _resampled(original, _hard(blend), original, blend, drawn_size(size, rules))


def everything(size: Size) -> Picture:
    """A mask that marks all of a picture."""
    return Picture("L", size, b"\xff" * size.pixels)


def drawn_size(size: Size, rules: SizeRules) -> Size:
    """The size at which a model draws best what will be brought to ``size``."""
    return fit(rules, size.width_px, size.height_px, rules.edit_pixels)


def _extended(inner: Image.Image, kept: Box, blend: Image.Image, rules: SizeRules) -> Repainting:
    """``inner`` lies in the ``kept`` box. Where the model does not draw that size, it draws a little more than is
    needed, or else all of it smaller or larger."""
    size = Size(*blend.size)
    wider = _rounded_up(size, rules)
    frame = wider or size
    canvas = _continued(inner, kept, frame)
    box = Box(0, 0, size.width_px, size.height_px)
    original = canvas.crop(box.sides)
    hard = Image.new("L", canvas.size, 255)
    hard.paste(_hard(blend), (0, 0))
    if wider is not None:
        return Repainting(picture_of(canvas), picture_of(hard), original, blend, box)
    pixels = min(rules.max_pixels, max(size.pixels, rules.edit_pixels))
    return _resampled(canvas, hard, original, blend, fit(rules, size.width_px, size.height_px, pixels))


def _continued(inner: Image.Image, kept: Box, frame: Size) -> Image.Image:
    """``inner`` in its box of a frame whose other pixels have the colours of its edges, run together."""
    turned = Image.Transpose.TRANSPOSE
    band = _with_edges(inner, kept.left, frame.width_px)
    canvas = _with_edges(band.transpose(turned), kept.top, frame.height_px).transpose(turned)
    outside = Image.new("L", canvas.size, 255)
    outside.paste(0, kept.sides)
    return Image.composite(canvas.filter(ImageFilter.GaussianBlur(RUN * min(canvas.size))), canvas, outside)


def _with_edges(image: Image.Image, left: int, width: int) -> Image.Image:
    """``image`` at ``left`` of a band of that width, which repeats its first and last columns beside it."""
    wide = Image.new(image.mode, (width, image.height))
    right = left + image.width
    for start, column, end in ((0, 0, left), (right, image.width - 1, width)):
        if start < end:
            edge = image.crop((column, 0, column + 1, image.height))
            wide.paste(edge.resize((end - start, image.height)), (start, 0))
    wide.paste(image, (left, 0))
    return wide


def _resampled(
    canvas: Image.Image, hard: Image.Image, original: Image.Image, blend: Image.Image, drawn: Size
) -> Repainting:
    mask = _hard(resized(hard, drawn))
    box = Box(0, 0, drawn.width_px, drawn.height_px)
    return Repainting(picture_of(resized(canvas, drawn)), picture_of(mask), original, blend, box)


def _rounded_up(size: Size, rules: SizeRules) -> Size | None:
    """``size`` with its sides rounded up to what the model draws, if it draws that."""
    wider = Size(*(-(-side // rules.multiple) * rules.multiple for side in (size.width_px, size.height_px)))
    return wider if problem(wider, rules) is None else None


def _seam(kept: Box, size: Size, feather_px: int) -> Image.Image:
    """255 outside ``kept``; inside it falls to 0 over ``feather_px`` from those sides that are not ``size``'s too."""
    across = _ramp(kept.left, kept.right, size.width_px, feather_px)
    down = _ramp(kept.top, kept.bottom, size.height_px, feather_px)
    extent = (size.width_px, size.height_px)
    rows = Image.frombytes("L", (size.width_px, 1), across).resize(extent, Image.Resampling.NEAREST)
    columns = Image.frombytes("L", (1, size.height_px), down).resize(extent, Image.Resampling.NEAREST)
    return ImageChops.lighter(rows, columns)


def _ramp(low: int, high: int, length: int, feather_px: int) -> bytes:
    """`_seam` along one axis."""
    feather_px = min(feather_px, (high - low) // 2)

    def value(at: int) -> int:
        if not low <= at < high:
            return 255
        from_low = at - low if low else feather_px
        from_high = high - 1 - at if high < length else feather_px
        nearest = min(from_low, from_high)
        return 0 if nearest >= feather_px else round(255 * (1 - (nearest + 0.5) / feather_px))

    return bytes(value(at) for at in range(length))


def _grown(mask: Image.Image, radius_px: int) -> Image.Image:
    return _hard(mask.filter(ImageFilter.BoxBlur(radius_px)))


def _hard(mask: Image.Image) -> Image.Image:
    """255 where ``mask`` is anything."""
    return mask.point(lambda value: 255 if value else 0)
