"""From settled fields, words and named pictures to a Request: what the dialects that speak in wrapped fields share.

Owns the order: refuse what can be refused unread, then fetch and decode.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request as HttpRequest

from limner.api.asking import keep_background
from limner.api.calls import timeout_s_of
from limner.api.drawing import Drawing
from limner.api.gateway import gateway_of
from limner.api.shapes import at_tier
from limner.api.sources import Named, read_source, read_sources, within
from limner.catalogue.images import operation_for
from limner.catalogue.spec import ModelSpec
from limner.core import Operation, Picture, Request, Said, Size, Warning
from limner.errors import InvalidRequest, ModelNotFound
from limner.media.mask import as_mask


@dataclass(frozen=True, slots=True)
class Brief:
    """What is to be drawn, its pictures still unread. ``operation`` None: what pictures and mask make it, but never an
    answer in words."""

    prompt: str
    pictures: Sequence[Named]
    mask: Named | None
    drawing: Drawing
    previews: int = 0
    operation: Operation | None = None
    history: tuple[Said, ...] = ()


def model_for(http: HttpRequest, name: str | None, *, has_pictures: bool) -> ModelSpec:
    """The model that ``name`` means for such a request, able to do no more than the name itself asks for where it asks
    for anything. Raises ModelNotFound."""
    roster = gateway_of(http).service.roster
    own = roster.operation_of(name or "")
    operation = own or (Operation.EDIT if has_pictures else Operation.GENERATE)
    try:
        spec = roster.route(name or "", operation, has_images=has_pictures).spec
    except ModelNotFound:
        if name:
            raise
        return roster.default.spec  # which will say itself what it can do
    return spec if own is None else replace(spec, operations=frozenset({own}))


def name_given(http: HttpRequest, name: str | None, spec: ModelSpec) -> str | None:
    """``name`` where it is one of the model's own, as clients expect to read it again; None where it meant whichever
    fits, so that the reply has to say which that was."""
    roster = gateway_of(http).service.roster
    return name if name and roster.serves(name) and roster.find(name).spec.id == spec.id else None


def takes_pictures(spec: ModelSpec) -> bool:
    """Whether the model can do anything with a picture."""
    return operation_for(spec, images=1) in spec.operations


def require_pictures(http: HttpRequest, spec: ModelSpec, *, has_pictures: bool) -> None:
    """Raise InvalidRequest, naming models that can, where an answer in words is all that ``spec`` has to give."""
    if not spec.operations - {Operation.DESCRIBE}:
        _require(http, spec, Operation.EDIT if has_pictures else Operation.GENERATE)


async def to_request(http: HttpRequest, spec: ModelSpec, brief: Brief) -> tuple[Request, tuple[Warning, ...]]:
    """``brief`` as a Request to the model of ``spec``.

    Raises InvalidRequest, DeadlineExceeded, and what reading the pictures raises.
    """
    drawing, gateway = brief.drawing, gateway_of(http)
    timeout_s = timeout_s_of(http, drawing.timeout_s)
    limit_s = min(timeout_s, gateway.settings.max_timeout_s)
    if brief.pictures:
        param = brief.pictures[-1][0]
        gateway.pictures.check_count(len(brief.pictures), spec.max_images, spec.id, param)
    operation = brief.operation or _drawing_for(spec, brief)
    _require(http, spec, operation)
    inputs = await read_sources(http, brief.pictures, limit_s)
    request = Request(
        operation=operation,
        model=spec.id,
        prompt=brief.prompt,
        inputs=inputs,
        mask=await _mask(http, brief.mask, inputs, limit_s),
        n=drawing.n,
        size=_size(brief, inputs, spec),
        seed=drawing.seed,
        output=drawing.output,
        params=drawing.params,
        previews=brief.previews,
        timeout_s=timeout_s,
        history=brief.history,
    )
    return keep_background(request, drawing.warnings)


def _drawing_for(spec: ModelSpec, brief: Brief) -> Operation:
    """What pictures and mask make of it, or would if the model did more than speak."""
    operation = operation_for(spec, images=len(brief.pictures), mask=brief.mask is not None)
    if operation is not Operation.DESCRIBE:
        return operation
    return Operation.EDIT if brief.pictures else Operation.GENERATE


def _require(http: HttpRequest, spec: ModelSpec, operation: Operation) -> None:
    if operation in spec.operations:
        return
    roster = gateway_of(http).service.roster
    roster.require_able(roster.find(spec.id), operation)
    able = ", ".join(other.value for other in spec.sorted_operations)  # the name that was used means no more than that
    raise InvalidRequest(f"{spec.id} cannot {operation.value}. Allowed: {able}", param="operation")


def _size(brief: Brief, inputs: Sequence[Picture], spec: ModelSpec) -> Size | None:
    drawing = brief.drawing
    if drawing.size is not None or drawing.tier_pixels is None:
        return drawing.size
    return at_tier(drawing.tier_pixels, spec, inputs, brief.prompt)


async def _mask(http: HttpRequest, mask: Named | None, inputs: Sequence[Picture], limit_s: float) -> Picture | None:
    if mask is None or not inputs:  # without a picture the resolver says what is missing
        return None
    param, source = mask
    async with within(limit_s):
        picture = await read_source(http, source, param)
    return await asyncio.to_thread(as_mask, picture, inputs[0].size, param=param)
