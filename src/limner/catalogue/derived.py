"""Operations that a diffusion model has because of those it was made for.

Owns which follows from which and what parameters they bring: extending a picture, or changing what words name in it,
is repainting under a mask that is made for the purpose; a variation is an edit. How that is done is the backends'.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from limner.catalogue.spec import LOCAL, ModelSpec, ParamSpec
from limner.core import Operation, ParamValue

DERIVED: Final = (Operation.OUTPAINT, Operation.REGION_EDIT, Operation.VARY)
SIDES: Final = ("left", "right", "top", "bottom")
PARAMS: Final[Mapping[str, Operation]] = {
    **dict.fromkeys((*SIDES, "feather"), Operation.OUTPAINT),
    "region": Operation.REGION_EDIT,
}
"""What such operations need to be told, beside what the model takes for the operation that they are done by."""
STRENGTH = "strength"


def basis(spec: ModelSpec, operation: Operation) -> Operation | None:
    """The operation by which a model that draws here does ``operation``; None for one that is not derived, or that
    the model has no means for."""
    match operation:
        case Operation.OUTPAINT | Operation.REGION_EDIT:
            return Operation.INPAINT if Operation.INPAINT in spec.operations else None
        case Operation.VARY:
            by_strength = [op for op in (Operation.EDIT, Operation.INPAINT) if _has_strength(spec, op)]
            plainly = [Operation.EDIT] if Operation.EDIT in spec.operations else []
            return next(iter(by_strength + plainly), None)
        case _:
            return None


def with_derived(spec: ModelSpec, shared: Mapping[str, ParamSpec]) -> ModelSpec:
    """``spec`` with the operations that follow from its own if it draws here, and their parameters, of which those in
    ``shared`` belong to the operations themselves."""
    if spec.loads is None or spec.loads.backend != LOCAL:
        return spec
    bases = {op: found for op in DERIVED if op not in spec.operations and (found := basis(spec, op)) is not None}
    own = {name: _widened(param, bases) for name, param in spec.params.items()}
    brought = {name: param for name, param in shared.items() if PARAMS[name] in bases and name not in own}
    return replace(spec, operations=spec.operations | bases.keys(), params={**own, **brought})


def _has_strength(spec: ModelSpec, operation: Operation) -> bool:
    strength = spec.params.get(STRENGTH)
    return operation in spec.operations and strength is not None and strength.applies_to(operation)


def _widened(param: ParamSpec, bases: Mapping[Operation, Operation]) -> ParamSpec:
    """``param`` for derived operations too, with the defaults of what they are done by."""
    more = {op for op, by in bases.items() if by in param.operations}
    defaults: dict[Operation, ParamValue] = {op: param.defaults[by] for op, by in bases.items() if by in param.defaults}
    defaults |= {op: value for op, value in param.defaults.items() if op not in DERIVED or op in bases}
    return replace(param, operations=param.operations | more, defaults=defaults)
