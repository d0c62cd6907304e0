"""A picture made larger, to an exact size, in memory that is bounded by the picture and one tile.

Owns passes of a model whose own scale is another one, the joining of tiles, and transparency. Not for several threads
at once.
"""

import itertools
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self, TypeAlias

import PIL
import PIL.Image
from PIL import ImageFilter

from limner.core import Picture, Size
from limner.engine.devices import free_memory
from limner.engine.enlarging.tiles import Tile, feather, rows
from limner.engine.enlarging.upscaler import Upscaler
from limner.engine.failures import is_out_of_memory, to_limner_error
from limner.engine.pictures import image_of, picture_of
from limner.engine.probe import weights_revision
from limner.engine.sample import EngineSettings
from limner.errors import InvalidRequest, LimnerError

log = logging.getLogger(__name__)

RESAMPLE = "resample"
OVERLAP_PX = 32
_SIDES_PX = (512, 256, 128)  # of tiles: the next one where there was no memory for the one before
_BLEED_PX = 4
_ROUNDING = 1e-6
_LANCZOS = PIL.Image.Resampling.LANCZOS

Tell: TypeAlias = Callable[[int, int], None]
"""Hears of tiles done and of how many; what it raises ends the work."""


class Model(Protocol):
    """What enlarges a tile; see `Upscaler`."""

    @property
    def scale(self) -> int:
        """How many times as large."""
        ...

    @property
    def whole(self) -> bool:
        """Whether it must see all of a picture."""
        ...

    def enlarge(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """An RGB image, ``scale`` times as large."""
        ...


class Enlarging:
    """A way to enlarge, by ``model`` or, without one, by resampling alone; ``revision`` identifies it."""

    def __init__(self, model: Model | None, revision: str) -> None:
        self._model = model
        self.revision = revision

    @classmethod
    def load(cls, source: str, settings: EngineSettings) -> Self:
        """``source`` is RESAMPLE or an upscaler's file. Blocks. Raises InvalidRequest with the reason."""
        if source == RESAMPLE:
            return cls(None, f"pillow-{PIL.__version__}")
        file = Path(source).expanduser()
        if not file.is_file():
            raise InvalidRequest(f"there is no file {source!r}; name an upscaler's, or {RESAMPLE!r}", param="model")
        try:
            return cls(Upscaler.load(file, settings), weights_revision(file))
        except LimnerError:
            raise
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            raise InvalidRequest(f"cannot load {source}: {reason}", param="model") from error

    def enlarge(self, picture: Picture, size: Size, tell: Tell) -> Picture:
        """``picture`` at ``size``, in RGB, or in RGBA where it has an alpha channel."""
        image = image_of(picture)
        image = image.convert("RGB") if image.mode == "L" else image
        try:
            if self._model is None:
                drawn = image.resize(_extent(size), _LANCZOS)
                tell(1, 1)
            else:
                drawn = _with_alpha(image, self._drawn(self._model, _without_alpha(image), size, tell))
            return picture_of(drawn)
        except Exception as error:
            raise to_limner_error(error, "enlarging", began=True) from error

    def _drawn(self, model: Model, image: PIL.Image.Image, size: Size, tell: Tell) -> PIL.Image.Image:
        """In smaller and smaller tiles until there is memory for them."""
        for side_px in _SIDES_PX[:-1] if not model.whole else ():
            try:
                return _in_passes(model, image, size, side_px, tell)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                log.warning("no memory to enlarge tiles of %d pixels; they become smaller", side_px)
            free_memory()
        return _in_passes(model, image, size, max(image.size) if model.whole else _SIDES_PX[-1], tell)


def passes(start: Size, target: Size, scale: int) -> list[Size]:
    """The sizes that follow each other from ``start``, each ``scale`` times the one before; the last is ``target``,
    which its pass is brought down to."""
    sizes: list[Size] = []
    reached = Size(start.width_px * scale, start.height_px * scale)
    while reached.width_px < target.width_px or reached.height_px < target.height_px:
        sizes.append(reached)
        reached = Size(reached.width_px * scale, reached.height_px * scale)
    return [*sizes, target]


def _in_passes(model: Model, image: PIL.Image.Image, target: Size, side_px: int, tell: Tell) -> PIL.Image.Image:
    start = Size(*image.size)
    ends = passes(start, target, model.scale)
    plans = [_plan(model, size, side_px) for size in (start, *ends[:-1])]
    total = sum(len(row) for plan in plans for row in plan)
    steps = itertools.count(1)
    for plan, end in zip(plans, ends, strict=True):
        canvas = PIL.Image.new("RGB", _extent(end))
        for row in plan:
            _lay_row(canvas, image, row, model, lambda: tell(next(steps), total))
        image = canvas
    return image


def _plan(model: Model, size: Size, side_px: int) -> list[list[Tile]]:
    whole = Tile(0, 0, size.width_px, size.height_px)
    return [[whole]] if model.whole else rows(size, side_px, OVERLAP_PX)


def _lay_row(
    canvas: PIL.Image.Image, image: PIL.Image.Image, row: list[Tile], model: Model, done: Callable[[], None]
) -> None:
    """Draw a row of ``image``'s tiles and lay it over its place on ``canvas``, which is some factor larger."""
    across, down = canvas.width / image.width, canvas.height / image.height
    top, bottom = _pixels(row[0].top, row[0].bottom, down)
    strip = PIL.Image.new("RGB", (canvas.width, bottom - top))
    for tile in row:
        left, right = _pixels(tile.left, tile.right, across)
        # Of what the model draws, exactly that part is resampled which these whole pixels show.
        box = (left / across - tile.left, top / down - tile.top, right / across - tile.left, bottom / down - tile.top)
        fitted = _fitted(model.enlarge(image.crop(tile.box)), box, model.scale, (right - left, bottom - top))
        strip.paste(fitted, (left, 0), feather(fitted.size, round(OVERLAP_PX * across) if tile.left else 0, 0))
        done()
    canvas.paste(strip, (0, top), feather(strip.size, 0, round(OVERLAP_PX * down) if row[0].top else 0))


def _pixels(start: int, end: int, factor: float) -> tuple[int, int]:
    """The whole pixels of the larger picture that lie between two borders in the smaller one."""
    return math.ceil(start * factor - _ROUNDING), math.floor(end * factor + _ROUNDING)


def _fitted(
    drawn: PIL.Image.Image, box: tuple[float, float, float, float], scale: int, extent: tuple[int, int]
) -> PIL.Image.Image:
    """The part ``box``, in pixels of the tile, of what was ``drawn`` of it, at ``extent``."""
    left, top, right, bottom = (edge * scale for edge in box)
    inside = (max(left, 0.0), max(top, 0.0), min(right, float(drawn.width)), min(bottom, float(drawn.height)))
    return drawn.resize(extent, _LANCZOS, box=inside)


def _without_alpha(image: PIL.Image.Image) -> PIL.Image.Image:
    """The colours alone. Those of transparent pixels, which mean nothing, become the nearest ones that do: a model
    mixes neighbours."""
    if image.mode != "RGBA":
        return image
    around = image.convert("RGBa").filter(ImageFilter.BoxBlur(_BLEED_PX)).convert("RGBA").convert("RGB")
    around.paste(image.convert("RGB"), mask=image.getchannel("A").point([0] + [255] * 255))
    return around


def _with_alpha(original: PIL.Image.Image, drawn: PIL.Image.Image) -> PIL.Image.Image:
    """``drawn`` with the original's transparency, resampled."""
    if original.mode != "RGBA":
        return drawn
    return PIL.Image.merge("RGBA", (*drawn.split(), original.getchannel("A").resize(drawn.size, _LANCZOS)))


def _extent(size: Size) -> tuple[int, int]:
    return size.width_px, size.height_px
