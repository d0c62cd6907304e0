"""A request's parameters against a model's table: unknown, forced, ignored, required, default.

Owns the rules that need the whole request; one value's type and range is `values`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Literal

from limner.catalogue.spec import ModelSpec, ParamSpec
from limner.catalogue.values import checked, shown
from limner.core import Operation, ParamValue, Request, Warning
from limner.errors import InvalidRequest, LimnerError, MissingParameter, UnknownParameter

REQUEST_FIELDS = ("n", "size", "seed")
"""Fields of a Request that a model's table may declare ignored; they are not among ``Request.params``."""

PRESENCE: Mapping[str, Callable[[Request], bool]] = {
    "inputs": lambda request: bool(request.inputs),
    "mask": lambda request: request.mask is not None,
}
"""Request fields that ``ignored_when`` may name, and when they count as given."""

_AT_MOST = re.compile(r"(\w+) <= (\d+(?:\.\d+)?)")


def condition_of(ignored_when: str) -> tuple[str, float] | None:
    """``"guidance_scale <= 1"`` as its parameter and bound; None for a name, whose presence is the condition."""
    match = _AT_MOST.fullmatch(ignored_when)
    return (match[1], float(match[2])) if match else None


def settle_params(
    request: Request, spec: ModelSpec, unknown: Literal["refuse", "warn"]
) -> tuple[dict[str, ParamValue], tuple[Warning, ...]]:
    """Every parameter that takes effect with its value, defaults included, in the order of the model's table.

    Raises InvalidRequest, MissingParameter or UnknownParameter naming the parameter, the value and what is allowed.
    """
    given = {name: value for name, value in request.params.items() if value is not None and value != ()}
    warnings = list(_unknown(given, request.operation, spec, unknown))
    values: dict[str, ParamValue] = {}
    for param in _applicable(spec, request.operation):
        asked = None if param.name not in given else checked(param, given[param.name])
        value, warning = _settle(param, asked, request, spec)
        if value is not None:
            values[param.name] = value
        if warning is not None:
            warnings.append(warning)
    _check_strength(values)
    return values, tuple(warnings)


def without_ignored_fields(request: Request, spec: ModelSpec) -> tuple[Request, tuple[Warning, ...]]:
    """``request`` less the fields (``n``, ``size``, ``seed``) that the model's table says are without effect."""
    warnings = []
    for name in REQUEST_FIELDS:
        param = spec.params.get(name)
        asked = request.n != 1 if name == "n" else getattr(request, name) is not None
        reason = None if param is None or not asked else _ignored(param, request, spec)
        if reason is not None:
            warnings.append(Warning(name, "ignored", f"{name!r} has no effect: {reason}"))
            request = _reset(request, name)
    return request, tuple(warnings)


def _reset(request: Request, name: str) -> Request:
    match name:
        case "n":
            return replace(request, n=1)
        case "size":
            return replace(request, size=None)
        case _:  # a seed without effect does no harm, and dropping it would only draw another
            return request


def _applicable(spec: ModelSpec, operation: Operation) -> Iterable[ParamSpec]:
    return (p for p in spec.params.values() if p.applies_to(operation) and p.name not in REQUEST_FIELDS)


def _settle(
    param: ParamSpec, asked: ParamValue, request: Request, spec: ModelSpec
) -> tuple[ParamValue, Warning | None]:
    reason = _ignored(param, request, spec)
    if reason is not None:
        message = f"{param.name!r} has no effect: {reason}"
        return None, None if asked is None else Warning(param.name, "ignored", message)
    if param.forced is not None:
        changed = asked is not None and asked != param.forced
        message = f"{param.name!r} is always {param.forced} for this model; {shown(asked)} was not used"
        return param.forced, Warning(param.name, "forced", message) if changed else None
    default = param.default_for(request.operation)
    if asked is None and default is None and param.required:
        raise MissingParameter(f"Missing required parameter: {param.name!r}", param=param.name)
    if asked is not None and asked != default and param.caution:
        return asked, Warning(param.name, "unverified", f"{param.name!r}: {param.caution}")
    return (default if asked is None else asked), None


def _ignored(param: ParamSpec, request: Request, spec: ModelSpec) -> str | None:
    """Why ``param`` has no effect in ``request``, or None."""
    if param.ignored:
        return param.ignored
    if param.ignored_when is None:
        return None
    condition = condition_of(param.ignored_when)
    if condition is not None:
        name, bound = condition
        number = _number(spec.params.get(name), request)
        weak = number is not None and number <= bound
        return f"it needs {name!r} above {bound:g}, which is {number:g}" if weak else None
    return f"it is not used when {param.ignored_when!r} is given" if _given(request, param.ignored_when) else None


def _given(request: Request, name: str) -> bool:
    field = PRESENCE.get(name)
    return request.params.get(name) is not None if field is None else field(request)


def _number(param: ParamSpec | None, request: Request) -> float | None:
    """The number that ``param`` will have; None where the pipeline decides or where it is going to be refused."""
    if param is None or not param.applies_to(request.operation):
        return None
    asked = request.params.get(param.name)
    value = param.default_for(request.operation) if asked is None else asked
    value = value if param.forced is None else param.forced
    return float(value) if isinstance(value, int | float) and abs(value) < 1e9 else None


def _unknown(
    given: Iterable[str], operation: Operation, spec: ModelSpec, policy: Literal["refuse", "warn"]
) -> Iterable[Warning]:
    known = [param.name for param in _applicable(spec, operation)]
    for name in given:
        if name in known:
            continue
        error = _unknown_error(name, operation, spec, known)
        if policy == "refuse":
            raise error
        yield Warning(name, "ignored", error.message)


def _unknown_error(name: str, operation: Operation, spec: ModelSpec, known: list[str]) -> LimnerError:
    elsewhere = spec.params.get(name)
    if elsewhere is not None and elsewhere.operations:
        places = ", ".join(op.value for op in Operation if op in elsewhere.operations)
        reason = f"{shown(name)} applies to {places}, not to {operation.value}"
    else:
        reason = f"Unknown parameter {shown(name)} for {spec.id}"
    return UnknownParameter(f"{reason}. Allowed: {', '.join(known) or 'none'}", param=name)


def _check_strength(values: Mapping[str, ParamValue]) -> None:
    """``strength`` is the share of the steps that run; pipelines fail late and obscurely when none is left."""
    strength, steps = values.get("strength"), values.get("num_inference_steps")
    if isinstance(strength, float) and isinstance(steps, int) and int(strength * steps + 1e-9) < 1:
        raise InvalidRequest(
            f"Invalid value for 'strength': {strength:g}. Of {steps} steps none would run; "
            f"allowed with that many: {1 / steps:.4g} or more",
            param="strength",
        )
