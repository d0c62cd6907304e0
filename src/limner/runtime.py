"""Putting a service together from settings: the only place that knows which backends exist.

Owns wiring and start-up; torch is imported by the engine, in a thread, when the first model is loaded.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from limner.backends import Backend
from limner.backends.local import LocalBackend
from limner.backends.standin import StandIn
from limner.catalogue import BORROWED, Catalogue, ModelSpec, SourceMatch
from limner.config import Settings
from limner.engine import EngineSettings, ModelSource
from limner.engine.probe import probe
from limner.errors import InvalidRequest, LimnerError
from limner.memory import release_free_memory
from limner.roster import Roster, ServedModel
from limner.service import Service, open_tools

logger = logging.getLogger(__name__)
EMBEDDED = "sketch"


def sources(settings: Settings) -> tuple[str, ...]:
    """What is loaded: the models named, the embedded one when none is, and the stand-in where it is not among them."""
    named = settings.models or (EMBEDDED,)
    if not settings.stand_in or settings.stand_in in named:
        return named
    return (*named, settings.stand_in) if settings.models else (settings.stand_in,)


def find_models(settings: Settings) -> tuple[ModelSpec, ...]:
    """What the catalogue makes of the settings' models; reads small files, asks the hub about ids nobody knows.

    Raises InvalidRequest for a source that is no model or for two that would share a name, NotReady without a hub.
    """
    catalogue = Catalogue.builtin()
    found: dict[str, ModelSpec] = {}
    for source in sources(settings):
        match = _match(catalogue, source)
        for warning in match.warnings:
            logger.warning("%s", warning.message)
        if match.spec.id in found:
            raise InvalidRequest(f"{source!r} would be served as {match.spec.id!r}, like another one", param="models")
        found[match.spec.id] = match.spec
    return tuple(found.values())


def _match(catalogue: Catalogue, source: str) -> SourceMatch:
    """A name the catalogue knows needs no look at the weights; anything else is probed for its pipeline class."""
    named = catalogue.spec_for_source(source)
    if named.spec.loads is None:
        raise InvalidRequest(
            f"{source!r} has no weights to load here; to answer for it, name a model that draws in its place: "
            "limner serve --stand-in sketch",
            param="models",
        )
    if not named.warnings and named.spec.id.casefold() == source.casefold():
        return named
    return catalogue.spec_for_source(source, probe(ModelSource(source, named.spec.routes[0].source)).pipeline)


@asynccontextmanager
async def open_service(settings: Settings, specs: Sequence[ModelSpec] | None = None) -> AsyncIterator[Service]:
    """A service whose models load in the background (``Service.ready`` waits for them); closed on leaving.

    ``specs`` are the models if they were found before; otherwise as `find_models`, raising what it raises.
    """
    if specs is None:
        specs = await asyncio.to_thread(find_models, settings)
    by_id = {spec.id: spec for spec in specs}
    backend = LocalBackend(_engine_settings(settings), by_id.__getitem__)
    roster = roster_of(settings, specs, backend)
    async with open_tools(settings, release_free_memory) as tools:
        tools.metrics.watch_engine(backend.stats)
        service = Service(roster, settings, tools)
        await service.start()
        loading = asyncio.create_task(_load_all(roster, backend) if settings.draws else _leave_to_others(roster))
        try:
            yield service
        finally:
            loading.cancel()
            await asyncio.wait({loading})
            await service.aclose(settings.drain_s)


def roster_of(settings: Settings, specs: Sequence[ModelSpec], backend: Backend) -> Roster:
    """The loaded models, then whatever one of them stands in for."""
    catalogue = Catalogue.builtin()
    roster = Roster(catalogue)
    for spec in specs:
        roster.add(ServedModel(spec, backend))
    loaded = dict(zip(sources(settings), roster, strict=False))
    for spec in catalogue.models():
        target = _borrowed(spec, roster) or loaded.get(settings.stand_in)
        if target is not None and not roster.serves(spec.id):
            roster.add(ServedModel(spec, StandIn(spec, target.spec, target.backend), stand_in=target))
    return roster


def _borrowed(spec: ModelSpec, roster: Roster) -> ServedModel | None:
    """The loaded model that one of the routes of ``spec`` names, if there is one."""
    names = (route.source for route in spec.routes if route.backend == BORROWED)
    served = (roster.find(name) for name in names if roster.serves(name))
    return next((model for model in served if model.stand_in is None), None)


async def _leave_to_others(roster: Roster) -> None:
    """This process only takes jobs in: whether a model can be used is known to those that draw."""
    for model in roster.own:
        model.loaded()
    roster.settle()


async def _load_all(roster: Roster, backend: LocalBackend) -> None:
    for model in roster.own:
        try:
            await backend.load(model.spec)
            model.loaded()
        except LimnerError as error:
            logger.error("%s could not be loaded: %s", model.spec.id, error)
            model.failed(error)
        except Exception as error:  # the task's root: one model's trouble must not keep the others from loading
            logger.exception("%s could not be loaded", model.spec.id)
            model.failed(InvalidRequest(f"unexpected {type(error).__name__}; the server's log has the reason"))
    roster.settle()


def _engine_settings(settings: Settings) -> EngineSettings:
    return EngineSettings(
        device=settings.device, dtype=settings.dtype, lanes=settings.lanes, max_batch=settings.max_batch
    )
