"""The size a request gets: snapped when given, otherwise from the first input, the prompt or the default. Operations
that leave most of a picture alone keep to its pixels.

Owns arithmetic on sizes; reading the prompt is `aspect`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from limner.catalogue.aspect import Shape, infer
from limner.catalogue.derived import SIDES
from limner.catalogue.spec import CUTTER, ENLARGER, SPEAKER, ModelSpec, SizeRules
from limner.core import Operation, ParamValue, Request, Size, Warning
from limner.errors import InvalidRequest

KEEP_SIZE = frozenset({SPEAKER, CUTTER, ENLARGER})
CHOSEN_MULTIPLE = 32  # sizes that we choose are multiples of it even where a model would take finer ones
AREA_WEIGHT = 0.2  # of a size that we choose: proportions off by a tenth are as bad as two fifths of the area lost
BENT = 0.2  # log of the factor by which proportions may be off before we say so; multiples alone cost less


@dataclass(frozen=True, slots=True)
class Label:
    """What a request's parameters, of which the first is ``param``, say of its size: a size, or a factor of the sides
    of whatever it would be without them, or to leave it open."""

    param: str
    size: Size | None
    factor: float | None


def settle_size(request: Request, spec: ModelSpec, label: Label | None = None) -> tuple[Size, tuple[Warning, ...]]:
    """The size to draw, which obeys every rule of ``spec.sizes``; what looks at a picture, cuts it out or enlarges it
    keeps to that picture's. Raises InvalidRequest for a size out of bounds."""
    if spec.loads is not None and spec.loads.backend in KEEP_SIZE and request.inputs:
        return _kept(request, spec)
    if request.operation is Operation.OUTPAINT:
        return _extended(request, spec)
    if request.operation is Operation.REGION_EDIT and request.size in (None, request.inputs[0].size):
        return request.inputs[0].size, ()
    size, warnings = _settled(request, spec) if label is None else _labelled(request, spec, label)
    native = spec.sizes.native
    if native in (None, size):
        return size, warnings
    message = f"{spec.id} draws {native} alone: the picture was drawn at that size and brought to {size}"
    return size, (*warnings, Warning("size", "adjusted", message))


def _kept(request: Request, spec: ModelSpec) -> tuple[Size, tuple[Warning, ...]]:
    """The first picture's size, times ``scale`` where the model enlarges."""
    first, scale = request.inputs[0].size, request.params.get("scale") or 1
    assert isinstance(scale, str | int | float), "a scale is a number, or a number among choices"
    size = Size(round(first.width_px * float(scale)), round(first.height_px * float(scale)))
    if spec.operations == {Operation.UPSCALE}:
        trouble = problem(size, spec.sizes)
        if trouble:
            raise InvalidRequest(f"Invalid value for 'scale': {scale} makes {first} {size}. {trouble}", param="scale")
    if request.size in (None, size):
        return size, ()
    return size, (Warning("size", "ignored", f"size {request.size} was not used: the picture makes it {size}"),)


def extended(first: Size, params: Mapping[str, ParamValue]) -> Size:
    """``first`` with the sides added that ``params`` name."""
    left, right, top, bottom = (int(str(params.get(side) or 0)) for side in SIDES)
    return Size(first.width_px + left + right, first.height_px + top + bottom)


def _extended(request: Request, spec: ModelSpec) -> tuple[Size, tuple[Warning, ...]]:
    """The first picture's size with its new sides; scaled down where that is more than the model draws."""
    rules, whole = spec.sizes, extended(request.inputs[0].size, request.params)
    longest = max(whole.width_px, whole.height_px)
    factor = min(1.0, math.sqrt(rules.max_pixels / whole.pixels), rules.max_side_px / longest)
    size = Size(*(max(1, math.floor(side * factor)) for side in (whole.width_px, whole.height_px)))
    told: list[Warning] = []
    if size != whole:
        message = f"with its new sides the picture is {whole}, more than {spec.id} draws: it was scaled down to {size}"
        told.append(Warning("size", "adjusted", message))
    if request.size not in (None, size):
        message = f"size {request.size} was not used: the picture and its new sides make it {size}"
        told.append(Warning("size", "ignored", message))
    return size, tuple(told)


def _labelled(request: Request, spec: ModelSpec, label: Label) -> tuple[Size, tuple[Warning, ...]]:
    if request.size is not None:
        return _given(request.size, spec.sizes, spec.id)
    size, warnings = label.size, tuple[Warning, ...]()
    if size is None:
        size, warnings = _settled(request, spec, is_tiered=label.factor is not None)
        factor = label.factor or 1.0
        size = Size(round(size.width_px * factor), round(size.height_px * factor))
    trouble = problem(size, spec.sizes)
    if trouble:
        raise InvalidRequest(f"Invalid value for {label.param!r}: it means {size}. {trouble}", param=label.param)
    snapped = snap(size, spec.sizes)
    if snapped == size:
        return size, warnings
    return snapped, (*warnings, _snapped(label.param, size, snapped, spec.sizes))


def _settled(request: Request, spec: ModelSpec, *, is_tiered: bool = False) -> tuple[Size, tuple[Warning, ...]]:
    """Of pixels in a prompt only the proportions count for what ``is_tiered``: its area is said elsewhere."""
    rules = spec.sizes
    if request.size is not None:
        return _given(request.size, rules, spec.id)
    if request.inputs:
        first = request.inputs[0].size
        size = fit(rules, first.width_px, first.height_px, rules.edit_pixels)
        return size, _bent(f"the first picture is {first}", first.width_px / first.height_px, size)
    shape = infer(request.prompt)
    if shape is not None and is_tiered:
        shape = Shape(shape.width, shape.height)
    size = _inferred(shape, rules)
    if shape is None:
        return size, ()
    if shape.size is not None:
        return size, unlike(shape.size, size)
    return size, _bent(f"the words ask for {shape.width}:{shape.height}", shape.width / shape.height, size)


def fit(rules: SizeRules, width: int, height: int, pixels: int) -> Size:
    """The allowed size of at most ``pixels`` area that is nearest to ``width``:``height`` and to that area."""
    if rules.choices:
        return min(rules.choices, key=lambda size: _distance(size, width, height, pixels))
    multiple = math.lcm(rules.multiple, CHOSEN_MULTIPLE)
    sides = range(_up(rules.min_side_px, multiple), rules.max_side_px + 1, multiple)
    near = (Size(w, h) for w in sides for h in _heights(w * height // width, pixels // w, sides))
    within = (size for size in near if size.pixels <= pixels)
    return min(within, key=lambda size: _cost(size, width / height, pixels), default=rules.default)


def is_of_tier(size: Size, tier_pixels: int) -> bool:
    """Whether no other tier is nearer to ``size``; the next ones have four times the area, or a quarter."""
    return tier_pixels < 2 * size.pixels < 4 * tier_pixels


def off_ratio(size: Size, ratio: float) -> float:
    """How far the proportions of ``size`` are from ``ratio``, width by height: the log of the factor, 0 or more."""
    return abs(math.log(size.width_px / size.height_px / ratio))


def unlike(named: Size, size: Size) -> tuple[Warning, ...]:
    """Says so where the pixels that words name are not the ``size`` that is drawn."""
    if named == size:
        return ()
    return (Warning("size", "adjusted", f"the words ask for {named}, which was changed to {size}"),)


def require_drawable(size: Size, rules: SizeRules, model: str) -> None:
    """Raise InvalidRequest for a size that is out of the bounds of ``model``."""
    trouble = problem(size, rules)
    if trouble:
        raise InvalidRequest(f"Invalid value for 'size': '{size}'. {trouble} for {model}", param="size")


def problem(size: Size, rules: SizeRules) -> str | None:
    """Why ``size`` is out of bounds, or None. That it is no multiple is no problem: it will be snapped."""
    if rules.choices:
        choices = ", ".join(map(str, rules.choices))
        return None if size in rules.choices else f"Allowed: {choices}"
    sides = (size.width_px, size.height_px)
    if min(sides) < rules.min_side_px or max(sides) > rules.max_side_px:
        return f"Allowed: sides from {rules.min_side_px} to {rules.max_side_px} pixels"
    if size.pixels > rules.max_pixels:
        return f"It has {size.pixels:,} pixels. Allowed: at most {rules.max_pixels:,}"
    return None


def snap(size: Size, rules: SizeRules) -> Size:
    """The nearest size of allowed multiples that has no more than the allowed pixels; ``size`` is within bounds."""
    if rules.choices:
        return size
    half = rules.multiple // 2
    near = Size(*(_down(side + half, rules.multiple) for side in (size.width_px, size.height_px)))
    if near.pixels <= rules.max_pixels:
        return near
    return Size(*(_down(side, rules.multiple) for side in (size.width_px, size.height_px)))


def _given(size: Size, rules: SizeRules, model: str) -> tuple[Size, tuple[Warning, ...]]:
    require_drawable(size, rules, model)
    snapped = snap(size, rules)
    if snapped == size:
        return size, ()
    return snapped, (_snapped("size", size, snapped, rules),)


def _snapped(param: str, size: Size, snapped: Size, rules: SizeRules) -> Warning:
    message = f"size {size} was changed to {snapped}: sides are multiples of {rules.multiple}"
    return Warning(param, "adjusted", message)


def _inferred(shape: Shape | None, rules: SizeRules) -> Size:
    """A prompt only suggests: what the model cannot draw becomes the nearest shape at the default's area."""
    if shape is None:
        return rules.default
    if shape.size is None and shape.width * rules.default.height_px == shape.height * rules.default.width_px:
        return rules.default
    if shape.size is not None and problem(shape.size, rules) is None:
        return snap(shape.size, rules)
    return fit(rules, shape.width, shape.height, rules.default.pixels)


def _bent(asked: str, ratio: float, size: Size) -> tuple[Warning, ...]:
    if off_ratio(size, ratio) <= BENT:
        return ()
    message = f"{asked}: proportions that this model does not draw; the nearest it does are {size}"
    return (Warning("size", "adjusted", message),)


def _heights(ideal: int, most: int, sides: range) -> set[int]:
    """The allowed sides on both sides of ``ideal``, and the largest that is at most ``most``."""
    lower, largest = (_down(side, sides.step) for side in (ideal, most))
    return {min(max(side, sides[0]), sides[-1]) for side in (lower, lower + sides.step, largest)}


def _cost(size: Size, ratio: float, pixels: int) -> float:
    return off_ratio(size, ratio) + AREA_WEIGHT * abs(math.log(size.pixels / pixels))


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _down(side: int, multiple: int) -> int:
    return side // multiple * multiple


def _distance(size: Size, width: int, height: int, pixels: int) -> tuple[float, float]:
    return round(off_ratio(size, width / height), 2), abs(math.log(size.pixels / pixels))
