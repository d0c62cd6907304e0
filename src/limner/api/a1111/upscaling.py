"""Enlarging finished pictures: by resampling, or with a served model that can.

Owns the names of upscalers, the fields of A1111's extras and the size that they come to.
"""

from dataclasses import dataclass, replace
from typing import Any

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from limner.catalogue.sizing import problem
from limner.catalogue.spec import ModelSpec
from limner.catalogue.values import shown
from limner.core import Operation, Picture, Request, Size
from limner.errors import InvalidRequest
from limner.media.canvas import fitted
from limner.media.convert import from_image, to_image
from limner.media.resize import fit, nearest
from limner.roster import Roster, ServedModel

ENLARGING = "the same picture in a higher resolution"  # some models that enlarge want to be told in words, too
NONE, LANCZOS, NEAREST = "None", "Lanczos", "Nearest"
RESAMPLERS = (NONE, LANCZOS, NEAREST)
FACTOR = 4.0  # what lists say of upscalers that take any
MAX_SIDE_PX, MAX_PIXELS = 16_384, 64 * 1024 * 1024


class ExtraFields(BaseModel):
    """What ``/extra-single-image`` and ``/extra-batch-images`` have in common."""

    model_config = ConfigDict(frozen=True, extra="allow")

    resize_mode: int = Field(0, ge=0, le=1)
    show_extras_results: bool = True
    gfpgan_visibility: float = Field(0, ge=0, le=1)
    codeformer_visibility: float = Field(0, ge=0, le=1)
    codeformer_weight: float = Field(0, ge=0, le=1)
    upscaling_resize: float = Field(2, gt=0, le=64)
    upscaling_resize_w: int = Field(512, ge=1, le=MAX_SIDE_PX)
    upscaling_resize_h: int = Field(512, ge=1, le=MAX_SIDE_PX)
    upscaling_crop: bool = True
    upscaler_1: str = NONE
    upscaler_2: str = NONE
    extras_upscaler_2_visibility: float = Field(0, ge=0, le=1)
    upscale_first: bool = False


class ExtraImage(ExtraFields):
    """One picture."""

    image: str = Field(min_length=1)


class FileData(BaseModel):
    """A picture with its name."""

    model_config = ConfigDict(frozen=True)

    data: str = Field(min_length=1)
    name: str = ""


class ExtraImages(ExtraFields):
    """Several."""

    imageList: list[FileData] = Field(min_length=1)  # noqa: N815 - the wire's name


@dataclass(frozen=True, slots=True)
class Target:
    """The size to bring a picture to, and what is cut out of its middle afterwards."""

    size: Size
    crop: Size | None = None

    @property
    def result(self) -> Size:
        """What there is in the end."""
        return self.crop or self.size


def upscalers(roster: Roster) -> list[dict[str, Any]]:
    """The reply of ``/upscalers``."""
    return [
        {
            "name": name,
            "model_name": None if name in RESAMPLERS else name,
            "model_path": None,
            "model_url": None,
            "scale": 1.0 if name == NONE else FACTOR,
        }
        for name in _names(roster)
    ]


def upscaler(name: str, roster: Roster, param: str) -> ServedModel | None:
    """The served model of that name, None for resampling. Raises InvalidRequest."""
    if name in RESAMPLERS:
        return None
    for model in _able(roster):
        if model.spec.id == name:
            return model
    allowed = ", ".join(_names(roster))
    raise InvalidRequest(f"Invalid value for {param!r}: {shown(name)}. Allowed: {allowed}", param=param)


def target(fields: ExtraFields, size: Size) -> Target:
    """What a picture of ``size`` is to become. Raises InvalidRequest where that is more than is made here."""
    if fields.resize_mode == 0:
        factor = fields.upscaling_resize
        return Target(bounded(size.width_px * factor, size.height_px * factor, "upscaling_resize"))
    asked = Size(fields.upscaling_resize_w, fields.upscaling_resize_h)
    if fields.upscaling_crop:
        return filling(asked, size, "upscaling_resize_w")
    factor = min(asked.width_px / size.width_px, asked.height_px / size.height_px)
    return Target(bounded(size.width_px * factor, size.height_px * factor, "upscaling_resize_w"))


def filling(asked: Size, size: Size, param: str) -> Target:
    """All of ``asked``, by a picture of ``size`` that is enlarged until it fills it. Raises InvalidRequest naming
    ``param`` where that is more than is made here."""
    asked = bounded(asked.width_px, asked.height_px, param)
    factor = max(asked.width_px / size.width_px, asked.height_px / size.height_px)
    return Target(bounded(size.width_px * factor, size.height_px * factor, param), asked)


def check_faces(fields: ExtraFields) -> None:
    """Refuse to restore faces, which nothing here can. Raises InvalidRequest."""
    for name in ("gfpgan_visibility", "codeformer_visibility"):
        value = getattr(fields, name)
        if value:
            raise InvalidRequest(f"Invalid value for {name!r}: {value:g}. Allowed: 0, faces are not restored here",
                                 param=name)  # fmt: skip


def is_blended(fields: ExtraFields) -> bool:
    """Whether the second upscaler shows in the result."""
    return fields.extras_upscaler_2_visibility > 0 and fields.upscaler_2 != NONE


def blended(large: Picture, picture: Picture, wanted: Target, fields: ExtraFields) -> Picture:
    """``large``, which the first upscaler has made of ``picture``, as it is wanted, with what the second one makes of
    it. Resamples: not for the event loop."""
    large = fit(large, wanted.size)
    if is_blended(fields):
        first, second = to_image(large), to_image(resampled(picture, fields.upscaler_2, wanted.size))
        large = from_image(Image.blend(first, second.convert(first.mode), fields.extras_upscaler_2_visibility))
    return cropped(large, wanted)


def enlarging(spec: ModelSpec, picture: Picture, wanted: Size, *, timeout_s: float, param: str) -> Request:
    """The job by which the model enlarges ``picture`` to ``wanted``, or, where it has only certain factors, by the
    least that reaches it or else the largest that it can: `blended` does the rest.

    Raises InvalidRequest naming ``param``, which chose the model, for a picture that is too large for every factor.
    """
    request = Request(Operation.UPSCALE, spec.id, ENLARGING, inputs=(picture,), timeout_s=timeout_s)
    scale = spec.params.get("scale")
    if scale is None:
        return replace(request, size=wanted)
    factor = max(wanted.width_px / picture.size.width_px, wanted.height_px / picture.size.height_px)
    able = [one for one in sorted(scale.choices, key=float) if _is_made(picture.size, float(one), spec)]
    if not able:
        message = f"{spec.id!r} makes a picture of {picture.size} no larger. Allowed: a smaller picture, or {LANCZOS!r}"
        raise InvalidRequest(message, param=param)
    reaching = (one for one in able if float(one) >= factor)
    return replace(request, params={"scale": next(reaching, able[-1])})


def _is_made(size: Size, factor: float, spec: ModelSpec) -> bool:
    larger = Size(round(size.width_px * factor), round(size.height_px * factor))
    return problem(larger, spec.sizes) is None


def cropped(picture: Picture, wanted: Target) -> Picture:
    """The middle of it, where a part is wanted."""
    return picture if wanted.crop is None else fitted(picture, wanted.crop, "crop")


def resampled(picture: Picture, name: str, size: Size) -> Picture:
    """``picture`` at ``size`` by one of RESAMPLERS. Resamples: not for the event loop."""
    return nearest(picture, size) if name == NEAREST else fit(picture, size)


def _able(roster: Roster) -> tuple[ServedModel, ...]:
    return tuple(model for model in roster if Operation.UPSCALE in model.spec.operations)


def _names(roster: Roster) -> tuple[str, ...]:
    return (*RESAMPLERS, *(model.spec.id for model in _able(roster)))


def bounded(width: float, height: float, param: str) -> Size:
    """The size in whole pixels. Raises InvalidRequest naming ``param`` where it is more than is made here."""
    size = Size(max(1, round(width)), max(1, round(height)))
    if max(size.width_px, size.height_px) > MAX_SIDE_PX or size.pixels > MAX_PIXELS:
        raise InvalidRequest(
            f"{size} is more than is made here. Allowed: sides of at most {MAX_SIDE_PX} and {MAX_PIXELS:,} pixels",
            param=param,
        )
    return size
