"""Parameters that bring input pictures: ``image_prompt``, ``control_image``, ``character_images``.

Owns which of a request's inputs belong to which of them. A request's inputs are all of them in the order of the
model's table; where a model has several such parameters, ``params`` says how many pictures each of them brought. An
operation follows from what a model needs: one that cannot draw without a picture edits it, or enlarges it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from limner.catalogue.spec import ModelSpec, ParamSpec
from limner.catalogue.values import allowed, checked
from limner.core import Operation, ParamValue, Request
from limner.errors import InvalidRequest, MissingParameter, UnknownParameter

T = TypeVar("T")
PLAIN = "image"  # what pictures are called where a model has no word of its own for them


@dataclass(frozen=True, slots=True)
class Arranged(Generic[T]):
    """Pictures, or what they will be read from, in the order of a model's table, each with its parameter's name;
    ``params`` belong among the request's."""

    pictures: tuple[tuple[str, T], ...]
    params: Mapping[str, ParamValue]


def image_params(spec: ModelSpec) -> tuple[ParamSpec, ...]:
    """The parameters that bring pictures, in order; ``maximum`` is how many each may bring, ``required`` whether it
    must. A model may take pictures and have none of them: they are then plain inputs."""
    return tuple(param for param in spec.params.values() if param.type == "images")


def mask_param(spec: ModelSpec) -> ParamSpec | None:
    """The parameter that brings the mask, where the model has one."""
    return next((param for param in spec.params.values() if param.field == "mask"), None)


def arrange(spec: ModelSpec, given: Mapping[str, Sequence[T]]) -> Arranged[T]:
    """``given`` by parameter, in the table's order. Raises UnknownParameter for a parameter that brings no pictures,
    InvalidRequest for more than it may bring, MissingParameter for a required one without any."""
    table = {param.name: param for param in image_params(spec)}
    for name in given:
        if name not in table:
            raise UnknownParameter(
                f"{name!r} brings no pictures to {spec.id}. Allowed: {', '.join(table) or 'none'}", param=name
            )
    for param in table.values():
        check_count(param, len(given.get(param.name, ())))
    pictures = tuple((name, picture) for name in table for picture in given.get(name, ()))
    return Arranged(pictures, {name: len(given[name]) for name in table if given.get(name)})


def check_count(param: ParamSpec, count: int) -> None:
    """Raise unless ``param`` may bring that many pictures."""
    if not count and param.required:
        raise MissingParameter(f"Missing required parameter: {param.name!r} ({allowed(param)})", param=param.name)
    if param.maximum is not None and count > param.maximum:
        raise InvalidRequest(
            f"Invalid value for {param.name!r}: {count} pictures. Allowed: {allowed(param)}", param=param.name
        )


def operation_for(spec: ModelSpec, *, images: int, mask: bool = False) -> Operation:
    """What a request with that many pictures asks of this model; the resolver says what is missing, if anything is."""
    wanted = Operation.INPAINT if mask else Operation.EDIT if images else Operation.GENERATE
    if wanted in spec.operations or not spec.operations:
        return wanted
    if images and not mask:
        fitting = (operation for operation in spec.sorted_operations if operation is not Operation.GENERATE)
        return next(fitting, wanted)
    return wanted if mask else spec.sorted_operations[0]


def with_counts(request: Request, spec: ModelSpec) -> Request:
    """``request`` with the number of pictures of every such parameter that brings any. Where it is not said, the
    pictures fill the parameters in order. Raises InvalidRequest, MissingParameter."""
    table = [param for param in image_params(spec) if param.applies_to(request.operation)]
    if not table:
        return request
    said = {p.name: checked(p, request.params[p.name]) for p in table if request.params.get(p.name) is not None}
    counts = said or _filled(table, len(request.inputs))
    if sum(int(str(count)) for count in counts.values()) != len(request.inputs):
        raise InvalidRequest(
            f"Invalid value for {table[0].name!r}: {', '.join(f'{n} {c}' for n, c in counts.items())}, and "
            f"{len(request.inputs)} input pictures. Allowed: {allowed(table[0])}",
            param=table[0].name,
        )
    for param in table:
        check_count(param, int(str(counts.get(param.name, 0))))
    return replace(request, params={**request.params, **{name: count for name, count in counts.items() if count}})


def _filled(table: Sequence[ParamSpec], count: int) -> dict[str, ParamValue]:
    """``count`` pictures dealt out in the table's order; what is left over stays with the last one."""
    counts: dict[str, ParamValue] = {}
    for param in table:
        room = count if param is table[-1] or param.maximum is None else int(param.maximum)
        counts[param.name] = min(room, count)
        count -= min(room, count)
    return counts
