"""One model drawing in the place of another: an emulator for people who write clients, and a way to run without keys.

Owns making one model's resolved request into one that another model takes, bringing the pictures to what was asked
for, and saying in warnings what was done otherwise. Knows no model and no wire.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace

from limner.backends import Backend
from limner.backends.pixels import Kept, grey, opaque, picture_of, resized
from limner.catalogue.resolve import UNSEEN, Policy, is_drawn_over, resolve
from limner.catalogue.sizing import fit, problem, snap
from limner.catalogue.spec import ModelSpec, ParamSpec, SizeRules
from limner.catalogue.values import checked, shown
from limner.core import Event, Finished, Operation, ParamValue, Picture, Preview, Request, Size, Warning
from limner.errors import InvalidRequest

POLICY = Policy(unknown_parameters="warn", max_timeout_s=math.inf)
INSTEAD: Mapping[Operation, Operation] = {Operation.UPSCALE: Operation.EDIT, Operation.VARY: Operation.EDIT}
"""What is drawn where the stand-in cannot do what was asked: pictures are brought to the size asked for anyway."""


class StandIn:
    """Draws requests for ``spec`` with another model, the ``target``, that is run by ``backend``.

    Requests are held against ``spec`` before they come here; what comes out has the size that was asked for.
    """

    def __init__(self, spec: ModelSpec, target: ModelSpec, backend: Backend) -> None:
        self._spec, self._target, self._backend = spec, target, backend

    @property
    def healthy(self) -> bool:
        """Whether the model that stands in can draw."""
        return self._backend.healthy

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """The target's events; raises InvalidRequest for what the target cannot do at all."""
        asked, warnings = await asyncio.to_thread(adapted, request, self._spec, self._target)
        async with aclosing(self._backend.generate(asked)) as events:
            async for event in events:
                yield await asyncio.to_thread(_as_asked, event, request, warnings)

    async def aclose(self) -> None:
        """Nothing: the target's backend is closed by whoever serves the target."""


def adapted(request: Request, spec: ModelSpec, target: ModelSpec) -> tuple[Request, tuple[Warning, ...]]:
    """``request``, resolved for ``spec``, as one that is resolved for ``target``, and what is different about it.

    Decodes and resamples pictures: not for the event loop.
    """
    assert request.size is not None, "requests are resolved before they are drawn"
    operation = _operation(request.operation, spec, target)
    kept = operation in UNSEEN  # its size follows from the picture, whoever draws it
    size, sized = (None, ()) if kept else _size(request.size, target.sizes)
    inputs, cut = _inputs(replace(request, operation=operation), target)
    params, changed = _params(request, spec, target, operation)
    asked = replace(request, operation=operation, model=target.id, inputs=inputs, size=size, params=params)
    resolution = resolve(asked, target, POLICY)
    told = Warning("model", "adjusted", f"{spec.id} is not served here: {target.id} stands in for it")
    return resolution.request, (told, *_other_operation(request, operation), *sized, *cut, *changed,
                                *resolution.warnings)  # fmt: skip


def _operation(asked: Operation, spec: ModelSpec, target: ModelSpec) -> Operation:
    for operation in (asked, INSTEAD.get(asked)):
        if operation in target.operations:
            assert operation is not None, "the target's operations are operations"
            return operation
    able = ", ".join(operation.value for operation in target.sorted_operations)
    raise InvalidRequest(
        f"{target.id}, which stands in for {spec.id}, cannot {asked.value}. Allowed: {able}", param="operation"
    )


def _other_operation(request: Request, operation: Operation) -> tuple[Warning, ...]:
    if operation is request.operation:
        return ()
    message = f"{request.operation.value} was done as {operation.value}, drawn and then resampled to {request.size}"
    return (Warning("operation", "adjusted", message),)


def _size(asked: Size, rules: SizeRules) -> tuple[Size, tuple[Warning, ...]]:
    """The size to draw: what was asked if the target draws it, else the nearest in proportions and area. A target that
    draws one size alone is not asked for more pixels: the picture is resampled once."""
    if problem(asked, rules) is None and snap(asked, rules) == asked:
        return asked, ()
    area = rules.max_pixels if rules.native is None else rules.native.pixels
    size = fit(rules, asked.width_px, asked.height_px, min(asked.pixels, area))
    return size, (Warning("size", "adjusted", f"drawn at {size} and resampled to {asked}"),)


def _inputs(request: Request, target: ModelSpec) -> tuple[tuple[Picture, ...], tuple[Warning, ...]]:
    """As many pictures as the target takes, each large and square enough for it to look at."""
    kept = request.inputs[: target.max_images]
    first = 1 if is_drawn_over(request, target) else 0
    fitted = (*kept[:first], *(_looked_at(picture, target.sizes) for picture in kept[first:]))
    left = len(request.inputs) - len(kept)
    if not left:
        return fitted, ()
    message = f"{left} of {len(request.inputs)} input pictures were left out: {target.id} takes {target.max_images}"
    return fitted, (Warning("image", "ignored", message),)


def _looked_at(picture: Picture, rules: SizeRules) -> Picture:
    """``picture``, resampled where a side is too short for the target or too long for the other one."""
    width, height = picture.size.width_px, picture.size.height_px
    shortest = max(rules.min_input_px, math.ceil(max(width, height) / rules.max_input_ratio))
    size = Size(max(width, shortest), max(height, shortest))
    return picture if size == picture.size else picture_of(resized(opaque(picture), size))


def _params(
    request: Request, spec: ModelSpec, target: ModelSpec, operation: Operation
) -> tuple[dict[str, ParamValue], tuple[Warning, ...]]:
    """The parameters that were set and that the target has too, brought into its bounds, and a warning for each other
    one. The defaults of one model mean little to another, which has its own."""
    kept: dict[str, ParamValue] = {}
    warnings: list[Warning] = []
    for name, value in request.params.items():
        param = target.params.get(name)
        if not _was_set(spec.params.get(name), value, request.operation):
            continue
        if param is not None and param.applies_to(operation) and _is_alike(param, spec.params.get(name)):
            kept[name], told = _within(param, value)
            warnings += told
        else:
            message = f"{name!r} has no effect: {target.id}, which stands in, has none like it"
            warnings.append(Warning(name, "ignored", message))
    return kept, tuple(warnings)


def _is_alike(one: ParamSpec, other: ParamSpec | None) -> bool:
    """Whether a value of one parameter means something to the other."""
    numbers = {"integer", "number"}
    if other is None or {one.type, other.type} == numbers:
        return True
    return one.type == other.type and one.choices == other.choices


def _was_set(param: ParamSpec | None, value: ParamValue, operation: Operation) -> bool:
    """Whether somebody must have asked for ``value``, and not in pictures or as a size, which are seen to."""
    if param is None:
        return True
    return value != param.default_for(operation) and param.type != "images" and not param.sizing


def _within(param: ParamSpec, value: ParamValue) -> tuple[ParamValue, tuple[Warning, ...]]:
    """``value``, or the nearest one that the target takes; None, its default, if there is no nearest."""
    try:
        return checked(param, value), ()
    except InvalidRequest:
        near = _nearest(param, value)
    told = "its default" if near is None else near
    return near, (Warning(param.name, "adjusted", f"{param.name!r}: {shown(value)} became {told} for the stand-in"),)


def _nearest(param: ParamSpec, value: ParamValue) -> ParamValue:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    least = -math.inf if param.minimum is None else param.minimum
    most = math.inf if param.maximum is None else param.maximum
    bounded = min(max(value, least), most)
    try:
        return checked(param, round(bounded) if param.type == "integer" else bounded)
    except InvalidRequest:  # between two steps of a parameter that has them
        return None


def _as_asked(event: Event, request: Request, warnings: tuple[Warning, ...]) -> Event:
    """``event`` with its pictures at the size that was asked for. Resamples: not for the event loop."""
    match event:
        case Preview():
            return replace(event, picture=_enlarged(event.picture, request))
        case Finished():
            drawn = (one for one in event.pictures if isinstance(one, Picture))
            pictures = tuple(_enlarged(one, request) for one in drawn)
            assert len(pictures) == len(event.pictures), "stand-ins deliver pixels"
            return replace(event, pictures=pictures, warnings=(*warnings, *event.warnings))
    return event


def _enlarged(drawn: Picture, request: Request) -> Picture:
    """``drawn`` at the request's size; what a mask keeps is the original again, not its resampled likeness."""
    picture = drawn if drawn.size == request.size else picture_of(resized(opaque(drawn), request.size))
    if request.mask is None or picture is drawn:
        return picture
    return Kept(opaque(request.inputs[0]), grey(request.mask)).restored(picture)
