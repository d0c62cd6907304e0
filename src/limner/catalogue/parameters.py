"""A request's parameters against a model's table: unknown, forced, ignored, required, default.

Owns the rules that need the whole request; one value's type and range is `values`.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Literal

from limner.catalogue.conditions import ignored_reason
from limner.catalogue.spec import ModelSpec, ParamSpec
from limner.catalogue.values import SHOWN_CHARS, checked, shown
from limner.core import Operation, ParamValue, Request, Warning
from limner.errors import InvalidRequest, LimnerError, MissingParameter, UnknownParameter

# What a request may say of every model, as most dialects call it.
COMMON = ("prompt", "n", "size", "seed", "output_format", "output_compression", "background", "timeout")


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


def _applicable(spec: ModelSpec, operation: Operation) -> Iterable[ParamSpec]:
    return (p for p in spec.params.values() if p.applies_to(operation) and p.field is None)


def _settle(
    param: ParamSpec, asked: ParamValue, request: Request, spec: ModelSpec
) -> tuple[ParamValue, Warning | None]:
    reason = ignored_reason(param, request, spec)
    if reason is not None:
        return None, _missed(param, param.default if asked is None and param.ignored else asked, reason)
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


def _missed(param: ParamSpec, value: ParamValue, reason: str) -> Warning | None:
    """A warning where somebody misses ``value``: nobody does what is switched off."""
    if value is None or value is False:
        return None
    return Warning(param.name, "ignored", f"{param.name!r} has no effect: {reason}")


def _unknown(
    given: Iterable[str], operation: Operation, spec: ModelSpec, policy: Literal["refuse", "warn"]
) -> Iterable[Warning]:
    known = [param.name for param in spec.params.values() if param.applies_to(operation)]
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
    common = () if spec.is_complete else tuple(other for other in COMMON if other not in {*known, name})
    likely = difflib.get_close_matches(name[:SHOWN_CHARS], (*known, *common), n=1, cutoff=0.7)
    guess = f"; did you mean {likely[0]!r}?" if likely else "."
    beside = f"; with every model: {', '.join(common)}" if common else ""
    return UnknownParameter(f"{reason}{guess} Allowed: {', '.join(known) or 'none'}{beside}", param=name)


def _check_strength(values: Mapping[str, ParamValue]) -> None:
    """``strength`` is the share of the steps that run; pipelines fail late and obscurely when none is left."""
    strength, steps = values.get("strength"), values.get("num_inference_steps")
    if isinstance(strength, float) and isinstance(steps, int) and int(strength * steps + 1e-9) < 1:
        raise InvalidRequest(
            f"Invalid value for 'strength': {strength:g}. Of {steps} steps none would run; "
            f"allowed with that many: {1 / steps:.4g} or more",
            param="strength",
        )
