"""The size that a request's own parameters ask for: ``aspect_ratio = "16:9"``, ``resolution = "2K"``.

Owns turning such values into a size by the model's table, and what holds when a size is asked for as well.
"""

import math
from collections.abc import Mapping

from limner.catalogue.sizing import Label, fit, is_of_tier, problem, snap
from limner.catalogue.spec import ModelSpec, ParamSpec, SizeRules
from limner.catalogue.values import shown
from limner.core import Operation, ParamValue, Request, Size, Warning
from limner.errors import InvalidRequest

BENT = 0.02  # share by which two parameters' proportions may differ and still mean the same


def labelled_size(
    request: Request, spec: ModelSpec, params: Mapping[str, ParamValue]
) -> tuple[Label | None, dict[str, ParamValue], tuple[Warning, ...]]:
    """What the settled ``params`` say of the size, the parameters that then hold, and warnings.

    A size asked for beside them counts: parameters that nobody set then drop out. Raises InvalidRequest where both
    were set and differ.
    """
    table = [param for param in spec.params.values() if param.sizing and param.name in params]
    set_names = [param.name for param in table if request.params.get(param.name) is not None]
    if request.size is not None:
        unset = {param.name for param in table if param.name not in set_names}
        params = {name: value for name, value in params.items() if name not in unset}
        table = [param for param in table if param.name in set_names]
    if not table:
        return None, dict(params), ()
    base, warnings = _base(request, table, set_names, params)
    factor = _factor(table, params)
    size = None if base is None else scaled(base, factor or 1.0)
    label = Label((set_names or [table[0].name])[0], size, factor)
    other = None if request.size is None else _contradicted(request.size, label, table, spec.sizes)
    if other is not None:
        told = " and ".join(f"{param.name!r} {shown(params[param.name])}" for param in table)
        raise InvalidRequest(f"'size' {request.size} contradicts {told}: {other}. Give one of them", param=label.param)
    return label, dict(params), warnings


def _contradicted(asked: Size, label: Label, table: list[ParamSpec], rules: SizeRules) -> Size | None:
    """The size that the parameters of ``table`` mean, unless ``asked`` can stand beside them: as it is, snapped, where
    they only mean proportions, or where they only mean a tier and none is nearer."""
    meant = label.size
    if meant is not None:
        same = asked == meant or (problem(meant, rules) is None and asked == snap(meant, rules))
        only_proportions = all(param.sizes and not param.scales for param in table)
        return None if same or (only_proportions and _alike(asked, meant)) else meant
    if label.factor is None:
        return None
    meant = scaled(fit(rules, asked.width_px, asked.height_px, rules.default.pixels), label.factor)
    return None if is_of_tier(asked, meant.pixels) else meant


def scaled(size: Size, factor: float) -> Size:
    """``size`` with its sides multiplied."""
    return Size(max(round(size.width_px * factor), 1), max(round(size.height_px * factor), 1))


def _factor(table: list[ParamSpec], params: Mapping[str, ParamValue]) -> float | None:
    """The factor that the parameters mean together, None where none of them means any. Those of one scale are two words
    for one thing."""
    found: dict[tuple[tuple[str, float], ...], ParamSpec] = {}
    for param in table:
        value = params[param.name]
        if str(value) not in param.scales:
            continue
        first = found.setdefault(tuple(param.scales.items()), param)
        if params[first.name] != value:
            told = f"{param.name!r} {shown(value)} contradicts {first.name!r} {shown(params[first.name])}"
            raise InvalidRequest(f"{told}. Give one of them", param=param.name)
    return math.prod(param.scales[str(params[param.name])] for param in found.values()) if found else None


def _base(
    request: Request, table: list[ParamSpec], set_names: list[str], params: Mapping[str, ParamValue]
) -> tuple[Size | None, tuple[Warning, ...]]:
    """The size before scaling: of what was set rather than of defaults, pixels rather than proportions."""
    if request.operation is Operation.UPSCALE:
        return request.inputs[0].size, ()
    found = [(param, size) for param in table if (size := _size_of(param, params[param.name])) is not None]
    found.sort(key=lambda item: (item[0].name not in set_names, item[0].type != "size"))
    if not found:
        return None, ()
    first, size = found[0]
    others = [param for param, other in found[1:] if param.name in set_names and not _alike(size, other)]
    message = f"{first.name!r} decides the size: {size}"
    return size, tuple(Warning(param.name, "ignored", f"{param.name!r} has no effect: {message}") for param in others)


def _size_of(param: ParamSpec, value: ParamValue) -> Size | None:
    text = str(value)
    if text in param.sizes or text in param.scales:
        return param.sizes.get(text)
    return Size.parse(text) if param.type == "size" else None


def _alike(one: Size, other: Size) -> bool:
    return abs(one.width_px * other.height_px / (one.height_px * other.width_px) - 1) <= BENT
