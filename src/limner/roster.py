"""Which models this server serves, under which names and in which state.

Owns the lookup by id, alias or virtual id, and readiness; knows nothing of how a model is loaded or run. A model is
served by itself, or by another one that stands in for it; one that the catalogue knows and nobody serves is refused
with what to configure.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Literal

from limner.backends import Backend
from limner.catalogue import Catalogue
from limner.catalogue.load import Virtual
from limner.catalogue.spec import BORROWED, LOCAL, ModelSpec
from limner.catalogue.values import shown
from limner.core import Operation
from limner.errors import InvalidRequest, LimnerError, ModelNotFound, NotReady

ModelState = Literal["loading", "ready", "failed"]
LISTED = 12  # names in a message; more would hide what it says


class ServedModel:
    """One model of this server: what it is, who runs it and whether it can be used now.

    ``stand_in`` is the served model that draws in its place; None when it draws itself.
    """

    def __init__(self, spec: ModelSpec, backend: Backend, *, stand_in: "ServedModel | None" = None) -> None:
        self.spec = spec
        self.backend = backend
        self.stand_in = stand_in
        self._loaded = False
        self._failure: LimnerError | None = None

    def loaded(self) -> None:
        """The model can be used."""
        self._loaded = True

    def failed(self, error: LimnerError) -> None:
        """The model cannot be used, for this reason."""
        self._failure = error

    @property
    def runs_on(self) -> str:
        """The name of the backend that draws."""
        return (self.stand_in or self).spec.routes[0].backend

    @property
    def error(self) -> LimnerError | None:
        """Why the model has failed: it could not be loaded, or what runs it has died since."""
        if self.stand_in is not None:
            return self.stand_in.error
        if self._failure is None and self._loaded and not self.backend.healthy:
            return NotReady("its engine has died; restart the server")
        return self._failure

    @property
    def state(self) -> ModelState:
        """Where the model is between being named and being usable."""
        if self.stand_in is not None:
            return self.stand_in.state
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
    """The served models in the order they were named; the first is the default.

    ``catalogue`` says which further models are known, and which names mean "whichever fits".
    """

    def __init__(self, catalogue: Catalogue | None = None) -> None:
        self._catalogue = catalogue
        self._models: dict[str, ServedModel] = {}
        self._by_name: dict[str, ServedModel] = {}
        self._settled = asyncio.Event()

    def add(self, model: ServedModel) -> None:
        """Serve ``model`` under its id and aliases; ids are unique, of equal aliases the first one counts."""
        assert model.spec.id not in self._models, f"{model.spec.id} is served twice"
        self._models[model.spec.id] = model
        for name in model.spec.aliases:
            self._by_name.setdefault(name.casefold(), model)
        self._by_name[model.spec.id.casefold()] = model

    def serves(self, name: str) -> bool:
        """Whether a served model has this id or alias."""
        return name.casefold() in self._by_name

    def is_virtual(self, name: str) -> bool:
        """Whether ``name`` means whichever model fits, and is no model's own."""
        known = self._catalogue is not None and self._catalogue.preferences(name) is not None
        return known and not self.serves(name)

    def operation_of(self, name: str) -> Operation | None:
        """What a virtual name itself asks for; None where that is left to the request, or it is no virtual one."""
        return self._catalogue.operation_of(name) if self._catalogue is not None and self.is_virtual(name) else None

    def virtual(self) -> Iterator[tuple[Virtual, ServedModel]]:
        """The names that mean whichever model fits, each with the one that it means for plain words now."""
        for each in () if self._catalogue is None else self._catalogue.virtual():
            if each.operation is None and not self.serves(each.id):
                with suppress(ModelNotFound):
                    yield each, self.find(each.id)

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)

    @property
    def own(self) -> tuple[ServedModel, ...]:
        """The models that draw themselves."""
        return tuple(model for model in self if model.stand_in is None)

    @property
    def default(self) -> ServedModel:
        """The model that a request without one gets."""
        return next(iter(self._models.values()))

    def find(self, name: str) -> ServedModel:
        """The model of this id or alias (case does not matter), the default for "", the likeliest for a virtual id.

        Raises ModelNotFound, which for a model of the catalogue says what would have to be configured.
        """
        return self.route(name, Operation.GENERATE, has_images=False) if name else self.default

    def route(self, name: str, operation: Operation, *, has_images: bool) -> ServedModel:
        """As `find`; a virtual id becomes the first model of its list that is served and can do ``operation``, or what
        the id itself asks for, and "" the default model if that can, otherwise another."""
        if not name:
            return self._unnamed(operation, has_images=has_images)
        model = self._by_name.get(name.casefold())
        if model is not None:
            return model
        preferred = None if self._catalogue is None else self._catalogue.preferences(name)
        if preferred is None:
            raise self._not_found(name)
        return self._fitting(name, preferred, self.operation_of(name) or operation, has_images=has_images)

    def require_able(self, model: ServedModel, operation: Operation) -> None:
        """Raise InvalidRequest, naming models that can, unless ``model`` can do ``operation``."""
        if operation in model.spec.operations:
            return
        own = ", ".join(other.value for other in model.spec.sorted_operations)
        able = _names(other for other in self if operation in other.spec.operations)
        others = f"; models served here that can: {able}" if able else "; no model served here can"
        message = f"{model.spec.id} cannot {operation.value}. Allowed: {own}{others}"
        raise InvalidRequest(message, param="operation")

    def _unnamed(self, operation: Operation, *, has_images: bool) -> ServedModel:
        default = self.default
        if operation in default.spec.operations and (default.spec.max_images or not has_images):
            return default
        return self._fitting("", (), operation, has_images=has_images)

    def _fitting(self, name: str, preferred: Iterable[str], operation: Operation, *, has_images: bool) -> ServedModel:
        """The best model for the operation: of those preferred, which had better draw themselves, then any other."""
        listed = [self._models[known] for known in preferred if known in self._models]
        listed.sort(key=lambda model: model.stand_in is not None)
        candidates: dict[ServedModel, None] = dict.fromkeys([*listed, *self.own, *self])
        able = [model for model in candidates if operation in model.spec.operations]
        fits = [model for model in able if model.spec.max_images or not has_images]
        if not fits:
            named = f"{name!r}: " if name else ""
            message = f"{named}no model served here can {operation.value}; served: {_names(self)}"
            raise ModelNotFound(message, param="model")
        return next((model for model in fits if model.state == "ready"), fits[0])

    def _not_found(self, name: str) -> ModelNotFound:
        spec = None if self._catalogue is None else self._catalogue.known(name)
        if spec is None:
            return ModelNotFound(f"model {shown(name)} is not served here; served: {_names(self)}", param="model")
        return ModelNotFound(f"model {shown(name)} is known but not served here: {_advice(spec)}", param="model")

    def settle(self) -> None:
        """Every model is ready or has failed."""
        self._settled.set()

    async def settled(self) -> None:
        """Wait until every model is ready or has failed; raise the first failure."""
        await self._settled.wait()
        for model in self:
            if model.error is not None:
                raise model.error


def _names(models: Iterable[ServedModel]) -> str:
    names = [model.spec.id for model in models]
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more (GET /v1/models lists them)" if more > 0 else "")


def _advice(spec: ModelSpec) -> str:
    """What to configure, so that ``spec`` is served."""
    routes = [route for route in spec.routes if route.backend not in (LOCAL, BORROWED)]
    loadable = [spec.id] if spec.loads else [route.source for route in spec.routes if route.backend == BORROWED]
    ways = [f"start `limner serve {source}`" for source in loadable]
    ways.append("let a model that is served draw in its place (`limner serve --stand-in sketch`)")
    upstreams = ", ".join(f"{route.source} of {route.backend}" for route in routes)
    return " or ".join(ways) + (f"; this version cannot forward it to {upstreams}" if upstreams else "")
