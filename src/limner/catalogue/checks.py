"""Whether a model's description makes sense: what the types of its keys alone cannot say.

Owns the checks of data files after they are merged; each says in words what is wrong, or None.
"""

import re

from limner.catalogue.conditions import PRESENCE, condition_of
from limner.catalogue.derived import DERIVED
from limner.catalogue.fields import OPEN_SIZE
from limner.catalogue.sizing import CHOSEN_MULTIPLE, problem, snap
from limner.catalogue.spec import LOCAL, TEXT_LENGTH, ModelSpec, ParamSpec, Route, SizeRules
from limner.catalogue.values import checked
from limner.errors import InvalidRequest


def spec_trouble(spec: ModelSpec) -> str | None:
    """What is wrong with how it is run."""
    route = spec.routes[0]
    missing = [op.value for op in spec.sorted_operations if op not in route.pipelines and op not in DERIVED]
    if not spec.operations or (route.backend == LOCAL and missing):
        return f"no class for {', '.join(missing) or 'any operation'}"
    return None


def text_trouble(route: Route) -> str | None:
    """What is wrong with the lengths of text between which it chooses."""
    if not route.text_lengths:
        return None
    most = route.arguments.get(TEXT_LENGTH)
    if not isinstance(most, int):
        return f"arguments.{TEXT_LENGTH} is missing, below which they are to be"
    strange = [length for length in route.text_lengths if length >= most]
    return f"{strange[0]} is not below arguments.{TEXT_LENGTH}, {most}" if strange else None


def size_trouble(rules: SizeRules) -> str | None:
    """What is wrong with the sizes it draws."""
    lowest, highest = (-(-side // CHOSEN_MULTIPLE) * CHOSEN_MULTIPLE for side in (rules.min_side_px, rules.max_side_px))
    if problem(rules.default, rules) or snap(rules.default, rules) != rules.default:
        return f"the default {rules.default} breaks the rules"
    if rules.min_side_px % rules.multiple or rules.max_side_px % rules.multiple:
        return f"sides of {rules.min_side_px} and {rules.max_side_px} are not multiples of {rules.multiple}"
    if max(lowest * highest, rules.edit_pixels, rules.default.pixels) > rules.max_pixels:
        return f"max_pixels {rules.max_pixels} is less than an edge case, the default or edit_pixels needs"
    return None


def param_trouble(param: ParamSpec, spec: ModelSpec) -> str | None:
    """What is wrong with one parameter."""
    return (
        _value_trouble(param)
        or _choice_trouble(param)
        or _named_size_trouble(param, spec.sizes)
        or _excludes_trouble(param)
        or _condition_trouble(param, spec)
    )


def _value_trouble(param: ParamSpec) -> str | None:
    for value in (param.default, param.forced, *param.defaults.values()):
        try:
            if value is not None and checked(param, value) != value:
                return f"{value!r} is not of type {param.type}"
        except InvalidRequest as error:
            return error.message
    return None


def _choice_trouble(param: ParamSpec) -> str | None:
    takes = param.type in ("enum", "size")
    if (param.type == "enum" and not param.choices) or (param.choices and not takes):
        return "choices: an enum needs choices, other types take none"
    known = {*param.choices, *param.sizes, *param.scales}
    for key in ("sizes", "scales", "labels", "cost_factors"):
        strange = [value for value in getattr(param, key) if value not in known]
        if strange:
            return f"{key}: {strange[0]!r} is not among its choices"
    return None


def _named_size_trouble(param: ParamSpec, rules: SizeRules) -> str | None:
    field = param.field == "size" and param.type == "enum"
    named = [size for size in param.sizes.values() if size is not None]
    for size in named:
        if not rules.choices and (problem(size, rules) or snap(size, rules) != size):
            return f"sizes: {size} breaks the rules"
    if field and param.default not in (None, OPEN_SIZE) and str(rules.default) != param.default:
        return f"default: {param.default} is not the default size, {rules.default}"
    return None


def _excludes_trouble(param: ParamSpec) -> str | None:
    for what, pattern in param.excludes.items():
        try:
            re.compile(pattern)
        except re.error as error:
            return f"excludes: {what!r} is no regular expression: {error}"
    return None


def _condition_trouble(param: ParamSpec, spec: ModelSpec) -> str | None:
    condition = condition_of(param.ignored_when or "")
    if condition is not None:
        other = spec.params.get(condition[0])
        number = other is not None and other.type in ("integer", "number")
        return None if number else f"ignored_when: the model has no number {condition[0]!r}"
    other = spec.params.get(param.ignored_when or "")
    if param.ignored_when and param.ignored_when not in PRESENCE and (other is None or other.default is not None):
        allowed = f"{', '.join(PRESENCE)}, a parameter without default or 'NAME <= NUMBER'"
        return f"ignored_when: {param.ignored_when!r}; allowed: {allowed}"
    return None
