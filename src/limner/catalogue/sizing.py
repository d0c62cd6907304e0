"""The size a request gets: snapped when given, otherwise from the first input, the prompt or the default.

Owns arithmetic on sizes; reading the prompt is `aspect`.
"""

import math

from limner.catalogue.aspect import Shape, infer
from limner.catalogue.spec import ModelSpec, SizeRules
from limner.core import Request, Size, Warning
from limner.errors import InvalidRequest

CHOSEN_MULTIPLE = 32  # sizes that we choose are multiples of it even where a model would take finer ones


def settle_size(request: Request, spec: ModelSpec) -> tuple[Size, tuple[Warning, ...]]:
    """The size to draw, which obeys every rule of ``spec.sizes``. Raises InvalidRequest for a size out of bounds."""
    rules = spec.sizes
    if request.size is not None:
        return _given(request.size, rules, spec.id)
    if request.inputs:
        first = request.inputs[0].size
        return fit(rules, first.width_px, first.height_px, rules.edit_pixels), ()
    return _inferred(infer(request.prompt), rules), ()


def fit(rules: SizeRules, width: int, height: int, pixels: int) -> Size:
    """The largest allowed size of about ``pixels`` area at the ratio ``width``:``height``, rounded down."""
    if rules.choices:
        return min(rules.choices, key=lambda size: _distance(size, width, height, pixels))
    multiple = math.lcm(rules.multiple, CHOSEN_MULTIPLE)
    return Size(
        _bounded(math.isqrt(pixels * width // height), multiple, rules),
        _bounded(math.isqrt(pixels * height // width), multiple, rules),
    )


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
    trouble = problem(size, rules)
    if trouble:
        raise InvalidRequest(f"Invalid value for 'size': '{size}'. {trouble} for {model}", param="size")
    snapped = snap(size, rules)
    if snapped == size:
        return size, ()
    message = f"size {size} was changed to {snapped}: sides are multiples of {rules.multiple}"
    return snapped, (Warning("size", "adjusted", message),)


def _inferred(shape: Shape | None, rules: SizeRules) -> Size:
    """A prompt only suggests: what the model cannot draw becomes the nearest shape at the default's area."""
    if shape is None:
        return rules.default
    if shape.size is None and shape.width * rules.default.height_px == shape.height * rules.default.width_px:
        return rules.default
    if shape.size is not None and problem(shape.size, rules) is None:
        return snap(shape.size, rules)
    return fit(rules, shape.width, shape.height, rules.default.pixels)


def _bounded(side: int, multiple: int, rules: SizeRules) -> int:
    lowest = -(-rules.min_side_px // multiple) * multiple
    return min(max(_down(side, multiple), lowest), _down(rules.max_side_px, multiple))


def _down(side: int, multiple: int) -> int:
    return side // multiple * multiple


def _distance(size: Size, width: int, height: int, pixels: int) -> tuple[float, float]:
    ratio = abs(math.log(size.width_px * height / (size.height_px * width)))
    return round(ratio, 2), abs(math.log(size.pixels / pixels))
