"""Words to masks as the rest of the server asks for them: where in a picture is what the words name.

Owns the seam, and the engine's models behind it: loading when first needed and a thread of their own. Which models
there are and how they are run is the engine's business.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from limner.backends.working import begun, outcome
from limner.core import Picture
from limner.errors import LimnerError, NotReady

if TYPE_CHECKING:
    from limner.engine.grounding import Grounding

T = TypeVar("T")
logger = logging.getLogger(__name__)
EMBEDDED = "embedded:grounder"


class Grounder(Protocol):
    """Something that finds in a picture what words name."""

    async def mask(self, picture: Picture, words: str) -> Picture:
        """A mask in mode L, as large as ``picture``: 255 where what ``words`` name is, 0 elsewhere, soft at its edge.

        Raises RegionNotFound where nothing of it was found, RegionIsAll where it would be everything.
        """
        ...


class EngineGrounder:
    """A model on this machine. ``source`` is "embedded:NAME", a directory or a Hugging Face id; it is loaded by `load`
    or by the first `mask`. Where that fails it is the server's fault, not a request's. Pictures are looked at one after
    another."""

    def __init__(self, source: str = EMBEDDED, *, device: str = "auto") -> None:
        self._source, self._device = source, device
        self._model: Grounding | None = None
        self._thread = ThreadPoolExecutor(1, "limner-grounder")

    async def load(self) -> str:
        """Load the model, unless it is, and say what identifies its weights. Raises NotReady with the reason it
        cannot be used."""
        return await self._on_thread(lambda: self._loaded().revision)

    async def mask(self, picture: Picture, words: str) -> Picture:
        """As `Grounder.mask`; raises as `load` as well."""
        return await self._on_thread(lambda: self._loaded().mask(picture, words))

    async def aclose(self) -> None:
        """Free the model and its thread once what runs has ended; who still waits is told NotReady."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self._model = None

    async def _on_thread(self, work: Callable[[], T]) -> T:
        doing = begun(self._thread, work)
        try:
            await asyncio.wait({doing})
        finally:
            doing.cancel()  # what nobody waits for any more need not begin
        return outcome(doing)

    def _loaded(self) -> "Grounding":
        """The model; only ever called on its thread, so that it is loaded once."""
        if self._model is None:
            from limner.engine.grounding import Grounding

            try:
                self._model = Grounding.load(self._source, self._device)
            except LimnerError as error:
                raise NotReady(f"the grounder cannot be loaded: {error.message}") from error
            except Exception as error:  # whatever a missing package or a broken file raises
                logger.exception("the grounder cannot be loaded")
                reason = f"unexpected {type(error).__name__}; the server's log has the reason"
                raise NotReady(f"the grounder cannot be loaded: {reason}") from error
        return self._model
