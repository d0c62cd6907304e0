"""Operations that a drawing model has no pipeline of its own for, made of those it has.

Owns which request goes to the model in place of the one that was asked, and what becomes of the result. The geometry
is `masking`'s, finding what words name the grounder's.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

from limner.backends import Backend
from limner.backends.grounder import Grounder
from limner.backends.masking import Repainting, changing, everything, extending
from limner.backends.pixels import opaque, picture_of, resized
from limner.catalogue.derived import STRENGTH, basis
from limner.catalogue.spec import ModelSpec
from limner.core import Event, Finished, Operation, Picture, Preview, Request

VARIED: Final = "a variation of this picture"  # told to a model that edits by words alone, where there are none


@dataclass(frozen=True, slots=True)
class _Part:
    """The request that the model gets, how what it draws is finished, and what it took to get there."""

    request: Request
    finish: Callable[[Picture], Picture] = lambda picture: picture
    timings_s: dict[str, float] = field(default_factory=dict)


class Composed:
    """A backend that draws the model of ``spec``, with the operations that follow from the model's own.

    ``inner`` draws; it gets every other request as it is. ``grounder`` gives what finds a region, when one is needed.
    """

    def __init__(self, spec: ModelSpec, inner: Backend, grounder: Callable[[], Grounder]) -> None:
        self._spec, self._inner, self._grounder = spec, inner, grounder

    @property
    def healthy(self) -> bool:
        """Whether the inner backend can draw."""
        return self._inner.healthy

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """The inner backend's events, their pictures finished. Raises RegionNotFound where no region is found."""
        part = await self._part(request)
        async with aclosing(self._inner.generate(part.request)) as events:
            async for event in events:
                yield await asyncio.to_thread(_finished, event, part)

    async def aclose(self) -> None:
        """Close the inner backend."""
        await self._inner.aclose()

    async def _part(self, request: Request) -> _Part:
        match request.operation:
            case Operation.OUTPAINT:
                return await asyncio.to_thread(self._extended, request)
            case Operation.REGION_EDIT:
                began_s = time.monotonic()
                region = await self._grounder().mask(request.inputs[0], str(request.params["region"]))
                part = await asyncio.to_thread(self._changed, request, region)
                part.timings_s["ground"] = round(time.monotonic() - began_s, 6)
                return part
            case Operation.VARY:
                return await asyncio.to_thread(self._varied, request)
            case _:
                return _Part(request)

    def _extended(self, request: Request) -> _Part:
        assert request.size is not None, "requests are resolved before they are drawn"
        repainting = extending(request.inputs[0], request.params, request.size, self._spec.sizes)
        # Without words a model goes by what is around, which is what continues a picture.
        return self._repainted(replace(request, prompt=request.prompt.strip()), repainting)

    def _changed(self, request: Request, region: Picture) -> _Part:
        assert request.size is not None, "requests are resolved before they are drawn"
        return self._repainted(request, changing(request.inputs[0], region, request.size, self._spec.sizes))

    def _repainted(self, request: Request, repainting: Repainting) -> _Part:
        inputs = (repainting.canvas, *request.inputs[1:])
        return _Part(self._by_own(request, inputs, repainting.mask), repainting.finished)

    def _varied(self, request: Request) -> _Part:
        """By strength, where the model has it, which needs no words; otherwise by an edit that asks for it."""
        assert request.size is not None, "requests are resolved before they are drawn"
        if basis(self._spec, Operation.VARY) is Operation.INPAINT:
            canvas = picture_of(resized(opaque(request.inputs[0]), request.size))
            return _Part(self._by_own(request, (canvas,), everything(request.size)))
        wordless = STRENGTH not in request.params and not request.prompt.strip()
        asked = replace(request, prompt=VARIED) if wordless else request
        return _Part(self._by_own(asked, request.inputs, None))

    def _by_own(self, request: Request, inputs: tuple[Picture, ...], mask: Picture | None) -> Request:
        """``request`` as one for the operation that stands behind its own, of ``inputs``, with what that takes."""
        operation = basis(self._spec, request.operation)
        assert operation is not None, "the catalogue gives a model no operation that it has no means for"
        table = self._spec.params
        params = {n: v for n, v in request.params.items() if n in table and table[n].applies_to(operation)}
        size = request.size if mask is None else mask.size
        return replace(request, operation=operation, inputs=inputs, mask=mask, size=size, params=params)


def _finished(event: Event, part: _Part) -> Event:
    """``event`` with finished pictures. Resamples: not for the event loop."""
    match event:
        case Preview():
            return replace(event, picture=part.finish(event.picture))
        case Finished():
            pictures = tuple(part.finish(one) for one in event.pictures if isinstance(one, Picture))
            assert len(pictures) == len(event.pictures), "who draws by parts gets pixels, not files"
            return replace(event, pictures=pictures, timings_s={**part.timings_s, **event.timings_s})
    return event
