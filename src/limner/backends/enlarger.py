"""Enlarging pictures as a backend.

Owns the thread that it is done on and which model does it; tiles and passes are the engine's business.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING

from limner.backends.working import Tell, took, working
from limner.catalogue.spec import ENLARGER, ModelSpec
from limner.core import Event, Finished, Picture, Request, Size
from limner.engine import EngineSettings
from limner.errors import NotReady

if TYPE_CHECKING:
    from limner.engine.enlarging import Enlarging


class EnlargerBackend:
    """Enlarges on this machine, one picture after another. ``settings`` say on which device and in which number type
    models run."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._loaded: dict[str, Enlarging] = {}
        self._thread = ThreadPoolExecutor(1, "limner-enlarger")
        self._closed = False

    @property
    def healthy(self) -> bool:
        """Whether it can enlarge: always, until it is closed."""
        return not self._closed

    async def load(self, spec: ModelSpec) -> str:
        """Load a model and say what identifies it. Raises LimnerError with the reason it cannot be served."""
        if self._closed:
            raise NotReady("the server is shutting down")
        source = next(route.source for route in spec.routes if route.backend == ENLARGER)
        model = await asyncio.get_running_loop().run_in_executor(self._thread, _load, source, self._settings)
        self._loaded[spec.id] = model
        return model.revision

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Progress after every tile, then one picture of the request's size; closing the iterator cancels."""
        assert len(request.inputs) == 1, "requests are resolved before they come here"
        assert request.size is not None, "requests are resolved before they come here"
        model = self._loaded.get(request.model)
        if model is None:
            raise NotReady(f"the model {request.model!r} is not loaded", param="model")
        events = working(self._thread, _enlarging(model, request.inputs[0], request.size))
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def aclose(self) -> None:
        """Free models and the thread once what runs has ended."""
        self._closed = True
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self._loaded.clear()


def _load(source: str, settings: EngineSettings) -> "Enlarging":
    from limner.engine.enlarging import Enlarging

    return Enlarging.load(source, settings)


def _enlarging(model: "Enlarging", picture: Picture, size: Size) -> Callable[[Tell], Finished]:
    def work(tell: Tell) -> Finished:
        began = monotonic()
        drawn = model.enlarge(picture, size, tell)
        return Finished((drawn,), model.revision, took(began))

    return work
