"""Removing backgrounds as a backend: pictures with an alpha channel, from models that tell a subject from the rest.

Owns which of them does it: the grounder, asked for the subject, or a model of the engine's own. What a model is comes
from its catalogue entry.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from limner.backends.grounder import EMBEDDED, Grounder
from limner.backends.working import Tell, took, working
from limner.catalogue.spec import CUTTER, ModelSpec, Route
from limner.core import Event, Finished, Picture, Request
from limner.errors import InvalidRequest, NotReady

if TYPE_CHECKING:
    from limner.engine.cutting import Cutting

SUBJECT = "the subject"
MATTING = "alpha_matting"


class LoadableGrounder(Grounder, Protocol):
    """A grounder that can be loaded ahead of the first picture."""

    async def load(self) -> str:
        """Load it, unless it is, and say what identifies its weights. Raises LimnerError with the reason it cannot be
        used."""
        ...


class CutterBackend:
    """Cuts out on this machine, one picture after another. ``spec_of`` answers the catalogue's entry for a served
    model's id; ``grounder`` does it for the entry whose source is the embedded grounder, and is not closed here."""

    def __init__(self, spec_of: Callable[[str], ModelSpec], grounder: LoadableGrounder) -> None:
        self._spec_of, self._grounder = spec_of, grounder
        self._loaded: dict[str, Cutting] = {}
        self._grounded: dict[str, str] = {}  # models that the grounder stands behind, and its weights' revision
        self._thread = ThreadPoolExecutor(1, "limner-cutter")
        self._closed = False

    @property
    def healthy(self) -> bool:
        """Whether it can cut: always, until it is closed."""
        return not self._closed

    async def load(self, spec: ModelSpec) -> str:
        """Load a model and say what identifies its weights. Raises LimnerError with the reason it cannot be served."""
        if self._closed:
            raise NotReady("the server is shutting down")
        route = _route(spec)
        if route.source == EMBEDDED:
            self._grounded[spec.id] = await self._grounder.load()
            return self._grounded[spec.id]
        model = await asyncio.get_running_loop().run_in_executor(self._thread, _load, route)
        self._loaded[spec.id] = model
        return model.revision

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Progress, then one picture in RGBA; closing the iterator cancels."""
        assert len(request.inputs) == 1, "requests are resolved before they come here"
        picture = request.inputs[0]
        if request.model in self._grounded:
            mask = await self._mask(picture)
            work = _cutting_along(picture, mask, self._grounded[request.model])
        elif request.model in self._loaded:
            work = _cutting(self._loaded[request.model], picture, matting=bool(request.params.get(MATTING)))
        else:
            raise NotReady(f"the model {request.model!r} is not loaded", param="model")
        events = working(self._thread, work)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def _mask(self, picture: Picture) -> Picture:
        try:
            return await self._grounder.mask(picture, SUBJECT)
        except InvalidRequest as error:
            message = "No subject was found in the picture that could be told from its background"
            raise InvalidRequest(message, param="image") from error

    async def aclose(self) -> None:
        """Free models and the thread once what runs has ended."""
        self._closed = True
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self._loaded.clear()


def _route(spec: ModelSpec) -> Route:
    return next(route for route in spec.routes if route.backend == CUTTER)


def _load(route: Route) -> "Cutting":
    from limner.engine.cutting import Cutting

    return Cutting.load(route.source, route.arguments)


def _cutting(model: "Cutting", picture: Picture, *, matting: bool) -> Callable[[Tell], Finished]:
    def work(tell: Tell) -> Finished:
        began = monotonic()
        cut, warnings = model.cut(picture, tell, matting=matting)
        return Finished((cut,), model.revision, took(began), warnings)

    return work


def _cutting_along(picture: Picture, mask: Picture, revision: str) -> Callable[[Tell], Finished]:
    def work(tell: Tell) -> Finished:
        from limner.engine.cutting import along

        began = monotonic()  # finding the mask is not counted: it may have waited for others
        tell(1, 2)
        cut = along(picture, mask)
        tell(2, 2)
        return Finished((cut,), revision, took(began))

    return work
