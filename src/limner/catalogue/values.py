"""One value against one parameter's rules.

Owns types, ranges, steps and choices. Knows no request and no model; nothing is coerced silently.
"""

import math
import re
import reprlib

from limner.catalogue.spec import ParamSpec
from limner.core import Lora, ParamValue, Size
from limner.errors import InvalidRequest

MAX_LORAS = 4
MAX_LORA_PATH_CHARS = 1024
SHOWN_CHARS = 100
STEP_TOLERANCE = 1e-6  # relative to the step: 0.1 + 0.2 still counts as 0.3

_SHORT = reprlib.Repr()  # unlike repr() it neither recurses without end nor writes out what is cut away again
_SHORT.maxlevel = 4
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = SHOWN_CHARS + 10  # beyond what is shown, so that the end is cut


def checked(param: ParamSpec, value: object) -> ParamValue:
    """``value`` in the parameter's own type (an integral float becomes an int, an int a float where asked for).

    Raises InvalidRequest naming the parameter, the value and what is allowed.
    """
    match param.type:
        case "integer":
            return _integer(param, value)
        case "number":
            return _number(param, value)
        case "boolean" if isinstance(value, bool):
            return value
        case "string" if isinstance(value, str) and _within(param, len(value)):
            return _without_excluded(param, value)
        case "size" if isinstance(value, str) and (value in _labels(param) or _is_size(value)):
            return value
        case "images":
            return _integer(param, value)
        case "enum" if isinstance(value, str) and value in param.choices:
            return value
        case "enum" if type(value) is int and str(value) in param.choices:
            return str(value)
        case "loras" if isinstance(value, tuple):
            return _loras(param, value)
        case _:
            raise refusal(param, value)


def refusal(param: ParamSpec, value: object) -> InvalidRequest:
    """The error for a value that ``param`` does not allow."""
    return InvalidRequest(
        f"Invalid value for {param.name!r}: {shown(value)}. Allowed: {allowed(param)}", param=param.name
    )


def allowed(param: ParamSpec) -> str:
    """What ``param`` takes, in words: ``integer from 1 to 200``."""
    match param.type:
        case "enum":
            return " or ".join(_labelled(param, choice) for choice in param.choices)
        case "size":
            return " or ".join(("WIDTHxHEIGHT in pixels", *(_labelled(param, choice) for choice in _labels(param))))
        case "images":
            return "input pictures" if param.maximum is None else _up_to(int(param.maximum))
        case "mask":
            return "a picture as large as the first one; what is white is drawn anew"
        case "boolean":
            return "true or false"
        case "string":
            short = "" if param.maximum is None else f" of at most {int(param.maximum):,} characters"
            return f"text{short}{' without ' if param.excludes else ''}{' or '.join(param.excludes)}"
        case "loras":
            return f"at most {MAX_LORAS} adapters, each with a path and a scale{_range(param)}"
        case _:
            step = "" if param.step is None else f" in steps of {param.step:g}"
            return f"{param.type}{_range(param)}{step}"


def _labels(param: ParamSpec) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*param.choices, *param.sizes, *param.scales)))


def _labelled(param: ParamSpec, choice: str) -> str:
    label = param.labels.get(choice)
    return f"'{choice}'" if label in (None, choice) else f"'{choice}' ({label})"


def _up_to(count: int) -> str:
    return "an input picture" if count == 1 else f"up to {count} input pictures"


def shown(value: object) -> str:
    """``value`` for an error message: on one line, of bounded length and depth, whatever it is."""
    try:
        text = _SHORT.repr(value)
    except ValueError:  # an int with more digits than Python prints
        return "a number with too many digits"
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."


def _range(param: ParamSpec) -> str:
    if param.minimum is None and param.maximum is None:
        return ""
    if param.maximum is None:
        return f" of at least {param.minimum:g}"
    if param.minimum is None:
        return f" of at most {param.maximum:g}"
    return f" from {param.minimum:g} to {param.maximum:g}"


def _within(param: ParamSpec, value: float) -> bool:
    above = param.minimum is None or value >= param.minimum
    return above and (param.maximum is None or value <= param.maximum)


def _without_excluded(param: ParamSpec, text: str) -> str:
    for what, pattern in param.excludes.items():
        if re.search(pattern, text):
            raise InvalidRequest(
                f"Invalid value for {param.name!r}: it has {what}. Allowed: {allowed(param)}", param=param.name
            )
    return text


def _is_size(text: str) -> bool:
    try:
        Size.parse(text)
    except ValueError:
        return False
    return True


def _on_step(param: ParamSpec, value: float) -> bool:
    if param.step is None:
        return True
    steps = (value - (param.minimum or 0.0)) / param.step
    return abs(steps - round(steps)) <= STEP_TOLERANCE


def _integer(param: ParamSpec, value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not (_within(param, value) and _on_step(param, value)):
        raise refusal(param, value)
    return value


def _number(param: ParamSpec, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refusal(param, value)
    try:
        number = float(value)
    except OverflowError:
        raise refusal(param, value) from None
    if not (math.isfinite(number) and _within(param, number) and _on_step(param, number)):
        raise refusal(param, value)
    return number


def _loras(param: ParamSpec, value: tuple[object, ...]) -> tuple[Lora, ...]:
    loras = tuple(item for item in value if isinstance(item, Lora))
    if len(loras) != len(value) or len(loras) > MAX_LORAS:
        raise refusal(param, value)
    for lora in loras:
        usable = lora.path.strip() and len(lora.path) <= MAX_LORA_PATH_CHARS
        if not (usable and math.isfinite(lora.scale) and _within(param, lora.scale)):
            raise refusal(param, lora)
    return loras
