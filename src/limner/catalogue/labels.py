"""The size that a request's own parameters ask for: ``aspect_ratio = "16:9"``, ``resolution = "2K"``.

Owns turning such values into a size by the model's table, and what holds when a size is asked for as well.
"""

from collections.abc import Mapping

from limner.catalogue.sizing import Label, problem, snap
from limner.catalogue.spec import ModelSpec, ParamSpec
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
    if not table:
        return None, dict(params), ()
    set_names = [param.name for param in table if request.params.get(param.name) is not None]
    if request.size is not None and not set_names:
        return None, {name: value for name, value in params.items() if name not in {p.name for p in table}}, ()
    base, warnings = _base(request, table, set_names, params)
    factor = _factor(table, params)
    size = None if base is None else scaled(base, factor)
    if request.size is not None and size is not None and not _agrees(request.size, size, table, set_names, spec):
        told = " and ".join(f"{name!r} {shown(params[name])}" for name in set_names)
        raise InvalidRequest(f"'size' {request.size} contradicts {told}: {size}. Give one of them", param=set_names[0])
    return Label((set_names or [table[0].name])[0], size, factor), dict(params), warnings


def _agrees(asked: Size, meant: Size, table: list[ParamSpec], set_names: list[str], spec: ModelSpec) -> bool:
    """Whether a size can stand beside the one that parameters mean: as it is, snapped, or where they only mean
    proportions."""
    if asked == meant or (problem(meant, spec.sizes) is None and asked == snap(meant, spec.sizes)):
        return True
    named = [param for param in table if param.name in set_names]
    return all(param.sizes and not param.scales for param in named) and _alike(asked, meant)


def scaled(size: Size, factor: float) -> Size:
    """``size`` with its sides multiplied."""
    return Size(max(round(size.width_px * factor), 1), max(round(size.height_px * factor), 1))


def _factor(table: list[ParamSpec], params: Mapping[str, ParamValue]) -> float:
    factor = 1.0
    for param in table:
        factor *= param.scales.get(str(params[param.name]), 1.0)
    return factor


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
