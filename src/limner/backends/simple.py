"""What knows nothing but simple drawings says so when it is given anything else, such as a photograph.

Owns telling them apart, from pixels alone, and the warning. Nothing is refused: the model does what it can.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from PIL import Image, ImageChops

from limner.backends import Backend
from limner.backends.pixels import opaque
from limner.core import Event, Finished, Operation, Request, Warning

LOOKED_AT_PX: Final = 256  # the longer side, about what the embedded models see
SLIGHT: Final = range(5, 41)  # of 0..255: neither one colour nor the edge between two
# The share of neighbouring pixels that differ slightly. Of 300 rendered scenes 99 % have 0.18 or less, even as JPEG of
# quality 60, and so have all of 151 pictures drawn by sketch; of 17 photographs and micrographs 15 have 0.20 to 0.79.
MOST_SLIGHT: Final = 0.19


class Simple:
    """``inner``, with a warning that ``name`` knows only simple drawings wherever one of ``operations`` comes with a
    picture that is none."""

    def __init__(self, inner: Backend, name: str, operations: frozenset[Operation] = frozenset(Operation)) -> None:
        self._inner, self._name, self._operations = inner, name, operations

    @property
    def healthy(self) -> bool:
        """Whether the inner backend can work."""
        return self._inner.healthy

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """The inner backend's events; the warning is in the last."""
        warnings = await asyncio.to_thread(self._warnings, request)
        async with aclosing(self._inner.generate(request)) as events:
            async for event in events:
                yield replace(event, warnings=(*warnings, *event.warnings)) if isinstance(event, Finished) else event

    async def aclose(self) -> None:
        """Close the inner backend."""
        await self._inner.aclose()

    def _warnings(self, request: Request) -> tuple[Warning, ...]:
        """Resamples: not for the event loop."""
        if request.operation not in self._operations or all(is_simple(opaque(one)) for one in request.inputs):
            return ()
        message = f"{self._name} knows only simple drawings in flat colours; configure another model for photographs"
        return (Warning("image", "unverified", message),)


def is_simple(image: Image.Image) -> bool:
    """Whether an RGB image is drawn in flat colours: noise, texture and shading make neighbours differ slightly."""
    small = image.copy()
    small.thumbnail((LOOKED_AT_PX, LOOKED_AT_PX), Image.Resampling.BOX)
    width, height = small.size
    apart = ImageChops.difference(small.crop((1, 0, width, height)), small.crop((0, 0, width - 1, height)))
    red, green, blue = apart.split()
    counts = ImageChops.lighter(ImageChops.lighter(red, green), blue).histogram()
    return sum(counts[level] for level in SLIGHT) <= MOST_SLIGHT * sum(counts)
