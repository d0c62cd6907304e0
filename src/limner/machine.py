"""What runs models on this machine: one backend of each kind, and which of them a model's route names.

Owns making, loading through and closing them, and the language model that may lead conversations. Knows no wire.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Protocol

from limner.backends import Backend
from limner.backends.composed import Composed
from limner.backends.cutter import CutterBackend
from limner.backends.enlarger import EnlargerBackend
from limner.backends.grounder import EMBEDDED, EngineGrounder
from limner.backends.local import LocalBackend
from limner.backends.simple import Simple
from limner.backends.speaker import SpeakerBackend
from limner.catalogue.spec import CUTTER, ENLARGER, LOCAL, SPEAKER, ModelSpec
from limner.chat.language import LanguageModel
from limner.chat.language_http import HttpLanguageModel
from limner.chat.language_local import LocalLanguageModel
from limner.config import Settings
from limner.core import Event, Operation, Request
from limner.engine import EMBEDDED_PREFIX, EngineSettings
from limner.errors import InvalidRequest


class Loading(Protocol):
    """A backend whose models are loaded."""

    async def load(self, spec: ModelSpec) -> object:
        """Load one. Raises LimnerError with the reason it cannot be served."""
        ...

    def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """As `Backend.generate`."""
        ...

    @property
    def healthy(self) -> bool:
        """As `Backend.healthy`."""
        ...

    async def aclose(self) -> None:
        """As `Backend.aclose`."""
        ...


class Machine:
    """The backends, by the names that routes have for them. Nothing is loaded, and no torch imported, before `load`."""

    def __init__(self, settings: Settings, spec_of: Callable[[str], ModelSpec]) -> None:
        engine = EngineSettings(
            device=settings.device, dtype=settings.dtype, lanes=settings.lanes, max_batch=settings.max_batch
        )
        self.local = LocalBackend(engine, spec_of)
        self.grounder = EngineGrounder(settings.grounder, device=settings.device)
        self.speaker = SpeakerBackend(
            spec_of, device=settings.device, dtype=settings.dtype, max_batch=settings.max_batch
        )
        # Others find what words name in photographs, but not what "the subject" is.
        self._cutting = self.grounder if settings.grounder == EMBEDDED else EngineGrounder(device=settings.device)
        self._by_name: Mapping[str, Loading] = {
            LOCAL: self.local,
            SPEAKER: self.speaker,
            CUTTER: CutterBackend(spec_of, self._cutting),
            ENLARGER: EnlargerBackend(engine),
        }

    def backend_of(self, spec: ModelSpec) -> Backend:
        """What runs the model of ``spec``, with the operations that follow from its own."""
        runs = self._by_name[_route(spec)]
        backend: Backend = Composed(spec, self.local, lambda: self.grounder) if runs is self.local else runs
        if spec.loads is not None and spec.loads.source.startswith(EMBEDDED_PREFIX):
            return Simple(backend, spec.id)
        if runs is self.local and self.grounder is self._cutting:
            return Simple(backend, "the embedded grounder", frozenset({Operation.REGION_EDIT}))
        return backend

    async def load(self, spec: ModelSpec) -> None:
        """Load a model. Raises LimnerError with the reason it cannot be served."""
        await self._by_name[_route(spec)].load(spec)

    async def load_helpers(self, specs: Iterable[ModelSpec]) -> None:
        """Load the grounder, if it is one of the owner's choice and a model of ``specs`` can use it.

        Raises NotReady with the reason it cannot be used."""
        if self.grounder is not self._cutting and any(self._by_name[_route(spec)] is self.local for spec in specs):
            await self.grounder.load()

    async def aclose(self) -> None:
        """Close what backends share; each of them is closed as its models' backend."""
        for grounder in {self.grounder, self._cutting}:
            await grounder.aclose()
        for backend in self._by_name.values():
            await backend.aclose()


def language_model(settings: Settings, speaker: SpeakerBackend, served: frozenset[str]) -> LanguageModel | None:
    """What leads conversations, if anything does. Raises InvalidRequest for a model that is not served here."""
    name = settings.language_model
    if not name:
        return None
    if settings.language_url:
        return HttpLanguageModel(settings.language_url, name, settings.language_key or None)
    require_speaker(name, served)
    return LocalLanguageModel(speaker.chat, name)


def require_speaker(name: str, served: frozenset[str]) -> None:
    """Return where the language model ``name`` is among those ``served`` here. Raises InvalidRequest."""
    if name not in served:
        raise InvalidRequest(
            f"language_model {name!r} is no language model that is served here ({', '.join(sorted(served)) or 'none'});"
            " name it among the models, or set language_url to the API that has it",
            param="language_model",
        )


def _route(spec: ModelSpec) -> str:
    route = spec.loads
    assert route is not None, f"{spec.id} runs nowhere on this machine"
    return route.backend
