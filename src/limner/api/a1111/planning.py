"""From a call's fields to the jobs that it takes: one for every iteration, and one for every picture to start from.

Owns how A1111 counts pictures and seeds, and what is made of masks and input pictures before a model sees them.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from limner.accounts import Caller
from limner.api.a1111.fields import MAX_PICTURES, DrawFields, ImageFields, TextFields, without_effect
from limner.api.a1111.options import Options
from limner.api.a1111.params import read_prompt, settle, size_of
from limner.api.a1111.second_pass import SecondPass, first_fields, model_of, second_fields, second_pass
from limner.api.gateway import Gateway
from limner.catalogue.fields import MAX_SEED
from limner.catalogue.sizing import require_drawable
from limner.catalogue.spec import ModelSpec
from limner.catalogue.values import shown
from limner.core import Operation, Picture, Request, Size, Warning
from limner.errors import InvalidRequest, MissingParameter
from limner.media.canvas import Box, Fit, around, cut, fitted, put_back
from limner.media.decode import is_data_url
from limner.media.inpainting import filled, hardened, marked, painted_mask
from limner.roster import Roster
from limner.tasks import together

FITS: Mapping[int, Fit] = {0: "stretch", 1: "crop", 2: "fill", 3: "stretch"}
TOUCHED, HALF, HIDDEN = 1, 128, 255  # of a mask: where something of what is drawn shows, and where nothing else does
PREVIEWS_OF_ONE, PREVIEWS_OF_MANY = 3, 1  # each costs the decoding of a picture


@dataclass(frozen=True, slots=True)
class Paste:
    """Where what was drawn belongs: into the part ``box`` of ``original``, or all over it, under ``mask``."""

    original: Picture
    mask: Picture
    box: Box | None = None

    def finished(self, drawn: Picture) -> Picture:
        """The whole picture; drawn all over it, as large as it was drawn. Resamples: not for the event loop."""
        if self.box is not None:
            return put_back(drawn, self.original, self.box, self.mask)
        original, mask = (fitted(one, drawn.size, "stretch") for one in (self.original, self.mask))
        return put_back(drawn, original, Box(0, 0, drawn.size.width_px, drawn.size.height_px), mask)


@dataclass(frozen=True, slots=True)
class Part:
    """One job of a call. Its first seed lies ``offset`` after the call's. Where there is a ``second`` pass, each of its
    pictures is drawn over by it."""

    request: Request
    offset: int = 0
    paste: Paste | None = None
    second: SecondPass | None = None

    @property
    def jobs(self) -> int:
        """How many jobs it takes in all."""
        return 1 + (0 if self.second is None else self.request.n * self.second.jobs)


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs of a call, in order, and what there is to say beforehand."""

    parts: tuple[Part, ...]
    warnings: tuple[Warning, ...]

    @property
    def jobs(self) -> int:
        """How many jobs it takes in all."""
        return sum(part.jobs for part in self.parts)


@dataclass(frozen=True, slots=True)
class Asked:
    """A call: its fields, the model and the options that it is drawn with, how long each job may take, and whether it
    has to be ``one`` job, because nobody waits for the next."""

    fields: DrawFields
    spec: ModelSpec
    options: Options
    steps: int
    timeout_s: float
    one: bool = False
    warnings: tuple[Warning, ...] = ()


def check(fields: DrawFields) -> None:
    """Refuse what would be plainly wrong if it were left out. Raises InvalidRequest."""
    if fields.script_name:
        raise InvalidRequest(f"Script {shown(fields.script_name)} not found: there are none here", param="script_name")
    for name, script in fields.alwayson_scripts.items():
        if _is_on(script):
            raise InvalidRequest(
                f"always on script {shown(name)} not found: there are none here", param="alwayson_scripts"
            )
    starts = len(fields.init_images) if isinstance(fields, ImageFields) else 1
    each = max(starts, fields.batch_size)
    if each * fields.n_iter > MAX_PICTURES:
        raise InvalidRequest(
            f"{each} x {fields.n_iter} pictures were asked for; one call draws at most {MAX_PICTURES}", param="n_iter"
        )
    most = MAX_SEED - (each * fields.n_iter - 1)
    if fields.seed > most:
        message = f"Invalid value for 'seed': {fields.seed}. Allowed: -1 to {most}, as every picture has the next one"
        raise InvalidRequest(message, param="seed")


def _is_on(script: Any) -> bool:
    """Whether an extension's entry asks for anything; clients send ``{"args": [false]}`` for one that is off."""
    arguments = script.get("args") if isinstance(script, dict) else script
    if isinstance(arguments, dict):
        return bool(arguments)
    return isinstance(arguments, Sequence) and any(
        bool(one) and not (isinstance(one, dict) and one.get("enabled") is False) for one in arguments
    )


async def plan_text(gateway: Gateway, asked: Asked, caller: Caller) -> Plan:
    """The jobs of a txt2img. Raises what the second pass would be refused for, before the first one is drawn."""
    fields = asked.fields
    assert isinstance(fields, TextFields)
    if not fields.enable_hr:
        request, warnings = _request(asked, Operation.GENERATE)
        return Plan(_parts(asked, [(request, None)]), warnings)
    if asked.one:
        message = "an estimate, and what nobody waits for, is of one job, without a second pass"
        raise InvalidRequest(message, param="enable_hr")
    first = replace(asked, fields=first_fields(fields))
    request, warnings = _request(first, Operation.GENERATE)
    size = (await gateway.service.estimate(request, caller)).request.size
    assert size is not None, "an estimate settles it"
    request = replace(request, size=size)
    second, told = _second(gateway.service.roster, asked, fields)
    await _check_second(gateway, second, size, caller)
    parts = tuple(replace(part, second=second) for part in _parts(first, [(request, None)]))
    return Plan(parts, tuple(dict.fromkeys((*warnings, *told))))


def _second(roster: Roster, asked: Asked, fields: TextFields) -> tuple[SecondPass, tuple[Warning, ...]]:
    over = replace(asked, fields=second_fields(fields), spec=model_of(fields, asked.spec, roster))
    request, warnings = _request(over, Operation.EDIT)
    return second_pass(fields, request, roster, warnings)


async def _check_second(gateway: Gateway, second: SecondPass, first: Size, caller: Caller) -> None:
    """Ask with an empty picture of the first pass's size what would be asked with a drawn one, without enlarging
    anything. Raises what submitting would."""
    roster, empty = gateway.service.roster, Picture("RGB", first, bytes(3 * first.pixels))
    roster.find(second.request.model).require_ready()
    if second.model is not None:
        roster.find(second.model.id).require_ready()
        await gateway.service.estimate(second.to_enlarge(empty), caller)
    await gateway.service.estimate(second.begun_from(empty, second.target(first).result), caller)


async def plan_image(gateway: Gateway, asked: Asked) -> Plan:
    """The jobs of an img2img: A1111 draws each picture to start from by itself. Raises what reading pictures raises."""
    fields = asked.fields
    assert isinstance(fields, ImageFields)
    if not fields.init_images:
        raise MissingParameter("Missing required parameter: 'init_images'", param="init_images")
    count, most = len(fields.init_images), gateway.settings.max_images
    gateway.pictures.check_count(count, most, "a call", "init_images")
    size = size_of(fields, asked.spec)
    if size is not None:  # before pictures are brought to it
        require_drawable(size, asked.spec.sizes, asked.spec.id)
    mask = await read_picture(gateway, fields.mask, "mask") if fields.mask else None
    request, warnings = _request(asked, Operation.EDIT if mask is None else Operation.INPAINT)
    pictures = await together(read_picture(gateway, one, "init_images") for one in fields.init_images)
    starts = [await asyncio.to_thread(_start, request, fields, one, mask, whole=asked.one) for one in pictures]
    return Plan(_parts(asked, starts), (*warnings, *_told(fields, masked=mask is not None, one=asked.one)))


def _request(asked: Asked, operation: Operation) -> tuple[Request, tuple[Warning, ...]]:
    """What all jobs of the call have in common."""
    fields, spec = asked.fields, asked.spec
    settled = settle(fields, spec, operation, asked.steps)
    prompt = read_prompt(settled, fields)
    request = Request(
        operation=operation,
        model=spec.id,
        prompt=prompt,
        size=size_of(fields, spec),
        seed=None if fields.seed == -1 else fields.seed,
        output=asked.options.output,
        params=settled.params,
        timeout_s=asked.timeout_s,
    )
    return request, (*asked.warnings, *without_effect(fields), *settled.warnings)


def _parts(asked: Asked, starts: Sequence[tuple[Request, Paste | None]]) -> tuple[Part, ...]:
    """One job an iteration and start, none of more pictures than the model draws at once."""
    fields, most = asked.fields, asked.spec.max_n
    if asked.one:
        return (_only(asked, starts),)
    batches = [(start, fields.batch_size if len(starts) == 1 else 1) for _ in range(fields.n_iter) for start in starts]
    parts: list[Part] = []
    drawn = 0
    for (request, paste), wanted in batches:
        while wanted:
            n = min(wanted, most)
            parts.append(Part(_with_previews(replace(request, n=n), asked), drawn, paste))
            drawn, wanted = drawn + n, wanted - n
    return tuple(parts)


def _only(asked: Asked, starts: Sequence[tuple[Request, Paste | None]]) -> Part:
    """The whole call as one job, with all its pictures."""
    n = asked.fields.batch_size * asked.fields.n_iter
    if len(starts) > 1 or n > asked.spec.max_n:
        raise InvalidRequest(
            f"what nobody waits for is one job: at most {asked.spec.max_n} pictures, from at most one picture",
            param="n_iter" if len(starts) == 1 else "init_images",
        )
    return Part(replace(starts[0][0], n=n))


def _with_previews(request: Request, asked: Asked) -> Request:
    """As many partial pictures as ``/progress`` can make use of and the steps allow."""
    if not asked.options.live_previews:
        return request
    param = asked.spec.params.get("num_inference_steps")
    default = None if param is None else param.default_for(request.operation)
    steps, strength = request.params.get("num_inference_steps", default), request.params.get("strength")
    if not isinstance(steps, int):
        return request
    run = math.ceil(steps * strength - 1e-9) if isinstance(strength, float) else steps
    wanted = PREVIEWS_OF_ONE if request.n == 1 else PREVIEWS_OF_MANY
    return replace(request, previews=max(0, min(wanted, run - 1)))


def _start(
    request: Request, fields: ImageFields, picture: Picture, mask: Picture | None, *, whole: bool
) -> tuple[Request, Paste | None]:
    """The request with its picture and mask at the size that is drawn. Resamples: not for the event loop."""
    if mask is not None:
        return _masked(request, fields, picture, _painted(fields, fitted(mask, picture.size, "stretch")), whole=whole)
    size = request.size or picture.size
    return replace(request, inputs=(fitted(picture, size, FITS[fields.resize_mode]),)), None


def _masked(
    request: Request, fields: ImageFields, picture: Picture, painted: Picture, *, whole: bool
) -> tuple[Request, Paste | None]:
    size, how, fills = request.size or picture.size, FITS[fields.resize_mode], fields.inpainting_fill == 0
    touched = hardened(painted, TOUCHED)
    # Without a paste a soft edge is blended with what lies under it, which must be the original then.
    source = filled(picture, hardened(painted, HIDDEN) if whole else touched) if fills else picture
    if fields.inpaint_full_res and not whole:
        box = around(marked(painted), fields.inpaint_full_res_padding, size, picture.size)
        part, under = (fitted(cut(one, box), size, "stretch") for one in (source, touched))
        return replace(request, inputs=(part,), mask=hardened(under, HALF)), Paste(picture, painted, box)
    given, under, soft = (fitted(one, size, how) for one in (source, touched, painted))
    if whole or not fills:
        return replace(request, inputs=(given,), mask=soft), None
    return replace(request, inputs=(given,), mask=hardened(under, HALF)), Paste(fitted(picture, size, how), soft)


def _painted(fields: ImageFields, mask: Picture) -> Picture:
    return painted_mask(mask, invert=bool(fields.inpainting_mask_invert), blur_px=fields.blur_px, param="mask")


def _told(fields: ImageFields, *, masked: bool, one: bool) -> tuple[Warning, ...]:
    told = []
    if fields.resize_mode == 3:
        told.append(Warning("resize_mode", "adjusted", "'resize_mode' 3 was done as 0: pictures are resized as pixels"))
    if masked and fields.inpainting_fill > 1:
        message = f"'inpainting_fill' {fields.inpainting_fill} was done as 1: the original lies under the mask"
        told.append(Warning("inpainting_fill", "adjusted", message))
    if masked and one and fields.inpaint_full_res:
        message = "'inpaint_full_res' has no effect in a call that nobody waits for: the whole picture is drawn"
        told.append(Warning("inpaint_full_res", "ignored", message))
    return tuple(told)


async def read_picture(gateway: Gateway, source: str, param: str) -> Picture:
    """A picture as a data URL, an http(s) URL or bare base64, which is the usual form here."""
    known = is_data_url(source) or source[:8].lower().startswith(("http://", "https://"))
    return await gateway.pictures.read(source if known else f"data:;base64,{source}", param)
