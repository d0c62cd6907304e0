"""Which models this server serves, under which names and in which state.

Owns the lookup by id or alias and readiness; knows nothing of how a model is loaded or run.
"""

import asyncio
from collections.abc import Iterator
from typing import Literal

from limner.backends import Backend
from limner.catalogue.spec import ModelSpec
from limner.catalogue.values import shown
from limner.errors import LimnerError, ModelNotFound, NotReady

ModelState = Literal["loading", "ready", "failed"]


class ServedModel:
    """One model of this server: what it is, who runs it and whether it can be used now."""

    def __init__(self, spec: ModelSpec, backend: Backend) -> None:
        self.spec = spec
        self.backend = backend
        self._loaded = False
        self._failure: LimnerError | None = None

    def loaded(self) -> None:
        """The model can be used."""
        self._loaded = True

    def failed(self, error: LimnerError) -> None:
        """The model cannot be used, for this reason."""
        self._failure = error

    @property
    def error(self) -> LimnerError | None:
        """Why the model has failed: it could not be loaded, or what runs it has died since."""
        if self._failure is None and self._loaded and not self.backend.healthy:
            return NotReady("its engine has died; restart the server")
        return self._failure

    @property
    def state(self) -> ModelState:
        """Where the model is between being named and being usable."""
        if self.error is not None:
            return "failed"
        return "ready" if self._loaded else "loading"

    def require_ready(self) -> None:
        """Raise NotReady while loading, or after loading failed."""
        match self.state:
            case "loading":
                raise NotReady(f"the model {self.spec.id!r} is still loading", param="model", retry_after_s=2)
            case "failed":
                raise NotReady(f"the model {self.spec.id!r} cannot be used: {self.error}", param="model")
            case "ready":
                return


class Roster:
    """The served models in the order they were named; the first is the default."""

    def __init__(self) -> None:
        self._models: dict[str, ServedModel] = {}
        self._settled = asyncio.Event()

    def add(self, model: ServedModel) -> None:
        """Serve ``model`` under its id and aliases; ids are unique."""
        assert model.spec.id not in self._models, f"{model.spec.id} is served twice"
        self._models[model.spec.id] = model

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)

    @property
    def default(self) -> ServedModel:
        """The model that a request without one gets."""
        return next(iter(self._models.values()))

    def find(self, name: str) -> ServedModel:
        """The model of this id or alias (case does not matter), or the default for "". Raises ModelNotFound."""
        if not name:
            return self.default
        wanted = name.lower()
        for model in self:
            if wanted in (known.lower() for known in (model.spec.id, *model.spec.aliases)):
                return model
        served = ", ".join(model.spec.id for model in self)
        raise ModelNotFound(f"model {shown(name)} is not served here; served: {served}", param="model")

    def settle(self) -> None:
        """Every model is ready or has failed."""
        self._settled.set()

    async def settled(self) -> None:
        """Wait until every model is ready or has failed; raise the first failure."""
        await self._settled.wait()
        for model in self:
            if model.error is not None:
                raise model.error
