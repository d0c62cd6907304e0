"""txt2img's second pass (``enable_hr``): every picture is enlarged and drawn over once more.

Owns how large it becomes, by what it is enlarged, and what the job that draws it over is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from limner.api.a1111.fields import TextFields
from limner.api.a1111.options import checkpoint
from limner.api.a1111.params import SIDE_PX
from limner.api.a1111.upscaling import (
    LANCZOS,
    NONE,
    Target,
    bounded,
    cropped,
    enlarging,
    filling,
    resampled,
    upscaler,
)
from limner.catalogue.spec import ModelSpec
from limner.core import Operation, Picture, Request, Size, Warning
from limner.errors import InvalidRequest
from limner.roster import Roster

LATENT: Final = "Latent"  # how A1111's names of upscalers that work on latents begin
SAME: Final = ("", "None", "Use same checkpoint", "Use same sampler", "Use same scheduler")
MIN_SCALE, MAX_SCALE = 1, 8


@dataclass(frozen=True, slots=True)
class SecondPass:
    """``request`` draws over what was enlarged; it lacks the picture, its size and its seed. ``model`` is
    the one that enlarges, None where ``upscaler`` resamples."""

    fields: TextFields
    request: Request
    upscaler: str
    model: ModelSpec | None

    @property
    def jobs(self) -> int:
        """How many jobs a picture takes."""
        return 1 if self.model is None else 2

    @property
    def told(self) -> dict[str, object]:
        """What is said of it in the call's ``info``, by A1111's names."""
        fields = self.fields
        sides = (fields.width, fields.height) if fields.has_first_phase else (fields.hr_resize_x, fields.hr_resize_y)
        how = {"Hires resize": "{}x{}".format(*sides)} if any(sides) else {"Hires upscale": fields.hr_scale}
        by = self.upscaler if self.model is None else self.model.id
        return {**how, "Hires upscaler": by, "Hires steps": self.request.params.get("num_inference_steps")}

    def target(self, size: Size) -> Target:
        """What a picture of ``size`` becomes. Raises InvalidRequest where that is more than is made here."""
        fields = self.fields
        if fields.has_first_phase:
            return filling(Size(fields.width or SIDE_PX, fields.height or SIDE_PX), size, "width")
        across, down = fields.hr_resize_x, fields.hr_resize_y
        if across and down:
            return filling(Size(across, down), size, "hr_resize_x")
        if across:
            return _scaled(size, across / size.width_px, "hr_resize_x")
        if down:
            return _scaled(size, down / size.height_px, "hr_resize_y")
        if not MIN_SCALE <= fields.hr_scale <= MAX_SCALE:
            raise InvalidRequest(
                f"Invalid value for 'hr_scale': {fields.hr_scale:g}. Allowed: {MIN_SCALE} to {MAX_SCALE}",
                param="hr_scale",
            )
        return _scaled(size, fields.hr_scale, "hr_scale")

    def to_enlarge(self, picture: Picture) -> Request:
        """The job that enlarges ``picture``. Raises InvalidRequest for one that the model cannot enlarge."""
        assert self.model is not None, "resampling takes no job"
        wanted = self.target(picture.size).size
        return enlarging(self.model, picture, wanted, timeout_s=self.request.timeout_s, param="hr_upscaler")

    def over(self, picture: Picture, first: Size, seed: int) -> Request:
        """The job that draws over ``picture``, which was of size ``first``, or has been enlarged from it, and its seed.
        Resamples: not for the event loop."""
        wanted = self.target(first)
        large = cropped(resampled(picture, self.upscaler, wanted.size), wanted)
        return replace(self.begun_from(large, wanted.result), seed=seed)

    def begun_from(self, picture: Picture, size: Size) -> Request:
        """The job that draws over ``picture`` at ``size``."""
        return replace(self.request, inputs=(picture,), size=size)


def _scaled(size: Size, factor: float, param: str) -> Target:
    return Target(bounded(size.width_px * factor, size.height_px * factor, param))


def first_fields(fields: TextFields) -> TextFields:
    """The first pass's fields."""
    if not fields.has_first_phase:
        return fields
    return fields.model_copy(
        update={"width": fields.firstphase_width or SIDE_PX, "height": fields.firstphase_height or SIDE_PX}
    )


def second_fields(fields: TextFields) -> TextFields:
    """What the second pass has of its own in the places of the first one's."""
    own = {
        "prompt": fields.hr_prompt or fields.prompt,
        "negative_prompt": fields.hr_negative_prompt or fields.negative_prompt,
        "steps": fields.hr_second_pass_steps or fields.steps,
        "sampler_name": fields.sampler_name if _is_same(fields.hr_sampler_name) else fields.hr_sampler_name,
        "scheduler": fields.scheduler if _is_same(fields.hr_scheduler) else fields.hr_scheduler,
    }
    return fields.model_copy(update=own)


def model_of(fields: TextFields, spec: ModelSpec, roster: Roster) -> ModelSpec:
    """The second pass's model. Raises ModelNotFound, and InvalidRequest for one that cannot draw over a picture."""
    named = fields.hr_checkpoint_name
    spec = spec if _is_same(named) else checkpoint(named, roster).spec
    strength = spec.params.get("strength")
    if strength is None or not strength.applies_to(Operation.EDIT) or Operation.EDIT not in spec.operations:
        raise InvalidRequest(
            f"'enable_hr' needs a model with a denoising_strength, which {spec.id} has not: "
            "ask for the final width and height",
            param="enable_hr",
        )
    return spec


def second_pass(
    fields: TextFields, request: Request, roster: Roster, warnings: Sequence[Warning]
) -> tuple[SecondPass, tuple[Warning, ...]]:
    """The second pass that ``fields`` ask for; ``request`` is what draws over, ``warnings`` what there is to say of it.

    Raises InvalidRequest for an upscaler that there is not.
    """
    name, told = fields.hr_upscaler or LANCZOS, tuple(warnings)
    if name.startswith(LATENT):
        message = f"'hr_upscaler' {name} was done as {LANCZOS}: pictures are enlarged as pixels"
        name, told = LANCZOS, (*told, Warning("hr_upscaler", "adjusted", message))
    model = upscaler(name, roster, "hr_upscaler")
    name = LANCZOS if model is not None or name == NONE else name
    return SecondPass(fields, request, name, None if model is None else model.spec), told


def _is_same(name: str | None) -> bool:
    return name is None or name in SAME
