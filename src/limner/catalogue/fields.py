"""Parameters that are other names for fields of a request: ``num_images`` is its ``n``, ``width`` half of its size.

Owns moving their values, checked by the model's table, to where they belong, and the table's defaults and conditions
for those fields.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final, cast

from limner.catalogue.conditions import ignored_reason
from limner.catalogue.spec import ModelSpec, ParamSpec
from limner.catalogue.values import checked, refusal, shown
from limner.core import ImageFormat, ParamValue, Request, Size, Warning
from limner.errors import InvalidRequest

MAX_SEED = 2**63 - 1
RANDOM_SEEDS = 2**32  # drawn seeds stay short enough to be typed and to pass through a double unharmed
OPEN_SIZE = "auto"
SIZES: Final = ("size", "width", "height")


def with_fields(request: Request, spec: ModelSpec) -> tuple[Request, tuple[Warning, ...]]:
    """``request`` with such parameters in their fields and out of ``params``.

    Raises InvalidRequest for a value that the table does not allow, or that contradicts the field's own.
    """
    warnings: list[Warning] = []
    table = [param for param in _of_fields(spec) if param.applies_to(request.operation)]
    given = {p.name: checked(p, request.params[p.name]) for p in table if request.params.get(p.name) is not None}
    names = {param.name for param in table}
    rest = {name: value for name, value in request.params.items() if name not in names}
    if len(rest) < len(request.params):
        request = replace(request, params=rest)
    for param in table:
        if param.name in given and param.field not in SIZES:
            request, told = _moved(request, param, given[param.name])
            warnings += told
    if request.size is None and not any(param.name in given for param in table if param.field == "size"):
        defaults = {param.name: param.default for param in table if ignored_reason(param, request, spec) is None}
        return _with_size(request, table, defaults | given), tuple(warnings)
    return _with_size(request, table, given), tuple(warnings)


def without_ignored_fields(request: Request, spec: ModelSpec) -> tuple[Request, tuple[Warning, ...]]:
    """``request`` less the fields that the model's table says are without effect."""
    warnings = []
    for param in _of_fields(spec):
        reason = ignored_reason(param, request, spec) if _is_asked(request, param) else None
        if reason is not None:
            warnings.append(Warning(param.name, "ignored", f"{param.name!r} has no effect: {reason}"))
            request = _reset(request, param)
    return request, tuple(warnings)


def _of_fields(spec: ModelSpec) -> Iterator[ParamSpec]:
    return (param for param in spec.params.values() if param.field is not None)


def _is_asked(request: Request, param: ParamSpec) -> bool:
    match param.field:
        case "n":
            return request.n != 1
        case "size" | "width" | "height":
            return request.size is not None
        case "seed":
            return request.seed is not None
        case _:
            return False


def _reset(request: Request, param: ParamSpec) -> Request:
    match param.field:
        case "n":
            return replace(request, n=1)
        case "size" | "width" | "height":
            return replace(request, size=None)
        case _:  # a seed without effect does no harm, and dropping it would only draw another
            return request


def _moved(request: Request, param: ParamSpec, value: ParamValue) -> tuple[Request, tuple[Warning, ...]]:
    match param.field:
        case "prompt":
            return _with_prompt(request, param, str(value))
        case "n":
            assert isinstance(value, int), "tables give counts as integers"
            _agree(param, value, request.n, open_value=1)
            return replace(request, n=value), ()
        case "seed":
            return _with_seed(request, param, value)
        case "output_format":
            return replace(request, output=replace(request.output, format=cast(ImageFormat, value))), ()
        case _:
            raise refusal(param, value)


def _with_prompt(request: Request, param: ParamSpec, prompt: str) -> tuple[Request, tuple[Warning, ...]]:
    """A prompt among the parameters is the nearer one; what a conversation says beside it is not drawn."""
    if not request.prompt.strip() or request.prompt == prompt:
        return replace(request, prompt=prompt), ()
    message = f"{param.name!r} was drawn, not what the messages say"
    return replace(request, prompt=prompt), (Warning(param.name, "adjusted", message),)


def _with_seed(request: Request, param: ParamSpec, value: ParamValue) -> tuple[Request, tuple[Warning, ...]]:
    """Some documents allow any integer; one that is no seed here always becomes the same one that is."""
    assert isinstance(value, int), "tables give seeds as integers"
    seed = value if 0 <= value <= MAX_SEED - (request.n - 1) else value % RANDOM_SEEDS
    _agree(param, seed, request.seed, open_value=None)
    if seed == value:
        return replace(request, seed=seed), ()
    message = f"{param.name!r}: {shown(value)} became {seed}; seeds here are from 0 to 2^63 - 1"
    return replace(request, seed=seed), (Warning(param.name, "adjusted", message),)


def _with_size(request: Request, table: Iterable[ParamSpec], values: Mapping[str, ParamValue]) -> Request:
    """The size of ``size``, or of ``width`` and ``height``, either of which may be left to its default."""
    named = {param.field: param for param in table if param.field in SIZES}
    for param in named.values():
        value = values.get(param.name)
        if value is None:
            continue
        if param.field == "size":
            size = _size(param, value)
        else:
            width, height = (values.get(named[side].name, named[side].default) for side in SIZES[1:])
            size = Size(int(str(width)), int(str(height)))
        _agree(param, size or request.size, request.size, open_value=None)
        request = replace(request, size=size or request.size)
    return request


def _size(param: ParamSpec, value: ParamValue) -> Size | None:
    if value == OPEN_SIZE:
        return None
    try:
        return param.sizes.get(str(value)) or Size.parse(str(value))
    except ValueError:
        raise refusal(param, value) from None


def _agree(param: ParamSpec, value: object, present: object, *, open_value: object) -> None:
    if present not in (open_value, value):
        raise InvalidRequest(
            f"{param.name!r} is given twice: {shown(str(value))} and {shown(str(present))}", param=param.name
        )
