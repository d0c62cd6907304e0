"""When a parameter has no effect: the conditions that a model's table may name, held against a request.

Owns reading ``ignored`` and ``ignored_when``; what is done about it is the callers' business.
"""

import re
from collections.abc import Callable, Mapping

from limner.catalogue.spec import ModelSpec, ParamSpec
from limner.core import Request

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


def ignored_reason(param: ParamSpec, request: Request, spec: ModelSpec) -> str | None:
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
