"""Stand-ins behind the real seams: a Backend that draws flat colours, and a service around it; waiting for either."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache

from limner.catalogue import Catalogue
from limner.config import Settings
from limner.core import Event, Finished, Operation, Picture, Preview, Progress, Request, Size, Tokens, Words
from limner.roster import Roster, ServedModel
from limner.service import Service, open_tools

builtin = cache(Catalogue.builtin)  # reading it takes longer than most tests


def flat(size: Size, seed: int) -> Picture:
    """A picture of one colour that depends on the seed alone."""
    rng = random.Random(seed)
    return Picture("RGB", size, bytes(rng.randrange(256) for _ in range(3)) * size.pixels)


async def until(happened: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait for something that happens by itself. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not happened():  # noqa: ASYNC110 - of what is waited for nothing is told
            await asyncio.sleep(0.005)


@dataclass
class FakeBackend:
    """Draws at once, or after ``delay_s`` a step; ``error`` is raised instead of finishing. What is asked about
    pictures gets the ``answer``, word by word."""

    delay_s: float = 0.0
    error: Exception | None = None
    timings_s: dict[str, float] = field(default_factory=lambda: {"total": 0.0})
    requests: list[Request] = field(default_factory=list)
    cancelled: int = 0
    closed: bool = False
    healthy: bool = True
    answer: str = "A red circle."

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        assert request.size is not None
        assert request.seed is not None
        steps = request.params.get("num_inference_steps", 1)
        assert isinstance(steps, int)
        total = steps * request.n
        try:
            for step in range(1, total + 1):
                await asyncio.sleep(self.delay_s)
                yield Progress(step, total)
            if self.error is not None:
                raise self.error
            if request.operation is Operation.DESCRIBE:
                for word in self.answer.split(" "):
                    yield Words(word if self.answer.startswith(word) else f" {word}")
                yield Finished((), "fake-revision", self.timings_s, text=self.answer, tokens=Tokens(80, 4))
                return
            for image in range(request.n):
                for preview in range(request.previews):
                    yield Preview(image, preview, flat(request.size, request.seed + image))
            pictures = tuple(flat(request.size, request.seed + i) for i in range(request.n))
            yield Finished(pictures, "fake-revision", self.timings_s)
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled += 1
            raise

    async def aclose(self) -> None:
        self.closed = True


def opener(
    backend: FakeBackend, *names: str, loading: bool = False, stand_in: bool = False
) -> Callable[[Settings], AbstractAsyncContextManager[Service]]:
    """An ``open_service`` whose models (by default ``sketch``) all run on ``backend``.

    With ``stand_in`` every other model of the catalogue does too, under its own rules.
    """

    @asynccontextmanager
    async def open_service(settings: Settings) -> AsyncIterator[Service]:
        catalogue = builtin()
        roster = Roster(catalogue)
        for name in names or ("sketch",):
            model = ServedModel(catalogue.get(name), backend)
            roster.add(model)
            if not loading:
                model.loaded()
        for spec in catalogue.models() if stand_in else ():
            if not roster.serves(spec.id):
                roster.add(ServedModel(spec, backend, stand_in=roster.default))
        if not loading:
            roster.settle()
        async with open_tools(settings) as tools:
            service = Service(roster, settings, tools)
            await service.start()
            try:
                yield service
            finally:
                await service.aclose()

    return open_service
