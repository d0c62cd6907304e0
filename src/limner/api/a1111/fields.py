"""The fields of A1111's txt2img and img2img: their types and defaults, and which values ask for nothing.

Owns the wire alone. Types are as lax as A1111's own (``"20"`` is a number); null and absent mean the same. Fields
whose effect does not exist here are named in warnings, unless their value asks for nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from limner.api.a1111.upscaling import MAX_SIDE_PX
from limner.catalogue.values import SHOWN_CHARS, shown
from limner.core import Warning
from limner.errors import InvalidRequest

MAX_PICTURES = 100  # of one call
MAX_UNKNOWN_TOLD = 20
Kind = TypeVar("Kind", bound=BaseModel)


class DrawFields(BaseModel):
    """What both have in common. ``model``, ``async`` and ``webhook_url`` are the Relay's."""

    model_config = ConfigDict(extra="allow", frozen=True)

    prompt: str = ""
    negative_prompt: str = ""
    styles: list[str] = []
    seed: int = Field(-1, ge=-1, lt=2**63)
    subseed: int = -1
    subseed_strength: float = 0.0
    seed_resize_from_h: int = -1
    seed_resize_from_w: int = -1
    sampler_name: str | None = None
    sampler_index: str | None = None
    scheduler: str | None = None
    batch_size: int = Field(1, ge=1, le=MAX_PICTURES)
    n_iter: int = Field(1, ge=1, le=MAX_PICTURES)
    steps: int | None = Field(None, ge=1)
    cfg_scale: float | None = Field(None, ge=0, allow_inf_nan=False)
    width: int | None = Field(None, ge=1)
    height: int | None = Field(None, ge=1)
    restore_faces: bool = False
    tiling: bool = False
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    eta: float | None = None
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    denoising_strength: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    override_settings: dict[str, Any] = {}
    override_settings_restore_afterwards: bool = True
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    disable_extra_networks: bool = False
    firstpass_image: str | None = None
    comments: dict[str, Any] = {}
    clip_skip: int | None = None
    script_name: str | None = None
    script_args: list[Any] = []
    alwayson_scripts: dict[str, Any] = {}
    send_images: bool = True
    save_images: bool = False
    force_task_id: str | None = None
    infotext: str | None = None
    model: str | None = None
    asynchronous: bool = Field(False, alias="async")
    webhook_url: str | None = None


class TextFields(DrawFields):
    """txt2img."""

    enable_hr: bool = False
    firstphase_width: int = Field(0, ge=0, le=MAX_SIDE_PX)
    firstphase_height: int = Field(0, ge=0, le=MAX_SIDE_PX)
    hr_scale: float = Field(2.0, allow_inf_nan=False)
    hr_upscaler: str | None = None
    hr_second_pass_steps: int = Field(0, ge=0)
    hr_resize_x: int = Field(0, ge=0, le=MAX_SIDE_PX)
    hr_resize_y: int = Field(0, ge=0, le=MAX_SIDE_PX)
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str = ""
    hr_negative_prompt: str = ""

    @property
    def has_first_phase(self) -> bool:
        """Whether the first pass has a size of its own, in the form of older clients: width and height are then the
        second one's."""
        return self.enable_hr and bool(self.firstphase_width or self.firstphase_height)


class ImageFields(DrawFields):
    """img2img."""

    init_images: list[str] = Field([], max_length=MAX_PICTURES)
    mask: str | None = None
    resize_mode: int = Field(0, ge=0, le=3)
    mask_blur: float | None = Field(None, ge=0, le=256)
    mask_blur_x: float = Field(4, ge=0, le=256)
    mask_blur_y: float = Field(4, ge=0, le=256)
    mask_round: bool = True
    inpainting_fill: int = Field(0, ge=0, le=3)
    inpaint_full_res: bool = True
    inpaint_full_res_padding: int = Field(0, ge=0, le=4096)
    inpainting_mask_invert: int = Field(0, ge=0, le=1)
    initial_noise_multiplier: float | None = None
    image_cfg_scale: float | None = None
    latent_mask: str | None = None
    include_init_images: bool = False

    @property
    def blur_px(self) -> tuple[float, float]:
        """The mask's softness across and down."""
        return (self.mask_blur_x, self.mask_blur_y) if self.mask_blur is None else (self.mask_blur, self.mask_blur)


# Field -> the values that ask for nothing, and why others have no effect.
WITHOUT_EFFECT: Mapping[str, tuple[tuple[object, ...], str]] = {
    "styles": (([],), "this server keeps no styles"),
    "subseed_strength": ((0,), "seeds have no variations here"),
    "seed_resize_from_h": ((-1, 0), "seeds have no variations here"),
    "seed_resize_from_w": ((-1, 0), "seeds have no variations here"),
    "restore_faces": ((False,), "there is no face restorer here"),
    "tiling": ((False,), "no model here draws tiles"),
    "do_not_save_samples": ((False,), "finished pictures are kept for a while; DELETE /v1/files/{id} removes one"),
    "eta": ((None, 0, 1), "samplers have their usual noise"),
    "s_min_uncond": ((None, 0), "every step is guided alike"),
    "s_churn": ((None, 0), "samplers have their usual noise"),
    "s_tmax": ((None, 0), "samplers have their usual noise"),
    "s_tmin": ((None, 0), "samplers have their usual noise"),
    "s_noise": ((None, 1), "samplers have their usual noise"),
    "refiner_checkpoint": ((None, "", "None"), "one model draws a picture from beginning to end"),
    "firstpass_image": ((None, ""), "the first pass is drawn"),
    "clip_skip": ((None, 0, 1), "prompts are read by the whole of the text encoder"),
    "force_task_id": ((None, ""), "progress is told for the newest call"),
    "mask_round": ((True,), "models repaint where the mask is at least half white"),
    "initial_noise_multiplier": ((None, 1), "the usual noise is used"),
    "image_cfg_scale": ((None, 0, 1.5), "no model here is guided by the picture"),
    "latent_mask": ((None, ""), "the mask is given as a picture"),
}


def parse(kind: type[Kind], given: Mapping[str, Any]) -> Kind:
    """The body's fields. Raises InvalidRequest naming the field, its value and what is wrong with it."""
    try:
        return kind.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = ".".join(str(part) for part in first["loc"])[:SHOWN_CHARS]
        raise InvalidRequest(
            f"Invalid value for {param!r}: {shown(first.get('input'))}. {first['msg']}", param=param
        ) from error


def without_effect(fields: DrawFields) -> Iterator[Warning]:
    """A warning for every field that asks for something which does not exist here."""
    for name, (neutral, why) in WITHOUT_EFFECT.items():
        value = getattr(fields, name, neutral[0])
        if value not in neutral:
            yield Warning(name, "ignored", f"{name!r} has no effect: {why}")
    if isinstance(fields, TextFields) and not fields.enable_hr:
        for name in ("firstphase_width", "firstphase_height"):
            if getattr(fields, name):
                yield Warning(name, "ignored", f"{name!r} has no effect without 'enable_hr'")
    for name in list(fields.model_extra or {})[:MAX_UNKNOWN_TOLD]:
        yield Warning(name[:SHOWN_CHARS], "ignored", f"{shown(name)} has no effect: this API has no such field")


def echo(fields: DrawFields) -> dict[str, Any]:
    """The ``parameters`` of a reply: every field with its value; input pictures only where they are asked for."""
    hidden = {"model", "asynchronous", "webhook_url", *(fields.model_extra or {})}
    if not (isinstance(fields, ImageFields) and fields.include_init_images):
        hidden |= {"init_images", "mask"}
    absent = {"init_images": None, "mask": None} if isinstance(fields, ImageFields) else {}
    return {**absent, **fields.model_dump(exclude=hidden)}
