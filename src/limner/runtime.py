"""Putting a service together from settings: the only place that knows which backends exist.

Owns wiring and start-up; torch is imported by the engine, in a thread, when the first model is loaded.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from limner.backends import Backend
from limner.backends.standin import StandIn
from limner.backends.upstream_words import UpstreamWords
from limner.catalogue import BORROWED, Catalogue, ModelSpec, SourceMatch
from limner.catalogue.spec import CUTTER, ENLARGER, LOCAL, SPEAKER, ParamSpec, Route
from limner.chat.language_http import HttpLanguageModel
from limner.config import Settings
from limner.engine import ModelSource
from limner.engine.probe import probe
from limner.errors import InvalidRequest, LimnerError, NotReady
from limner.machine import Machine, language_model
from limner.memory import release_free_memory
from limner.roster import Roster, ServedModel
from limner.service import Service, open_tools

logger = logging.getLogger(__name__)
EMBEDDED = "sketch"
SUITE = ("reader", "cutout", "resample")  # what comes with it: it reads pictures, cuts them out and enlarges them
UPSTREAM = "upstream"  # a route's backend: somebody else's API answers
UNTOLD_SEED = ParamSpec("seed", "integer", "Where chance begins.", minimum=0, ignored="the API is not told it")


def sources(settings: Settings) -> tuple[str, ...]:
    """What is loaded: the models named, the embedded one when none is, and the stand-in where it is not among them;
    and what else is embedded, unless other models draw."""
    named = settings.models or (EMBEDDED,)
    if settings.stand_in and settings.stand_in not in named:
        named = (*named, settings.stand_in) if settings.models else (settings.stand_in,)
    wanted = settings.suite == "yes" or (settings.suite == "auto" and EMBEDDED in named)
    return (*named, *(each for each in SUITE if each not in named)) if wanted else named


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
    """A name the catalogue knows needs no look at the weights; anything else is probed for its class."""
    named = catalogue.spec_for_source(source)
    if named.spec.loads is None:
        raise InvalidRequest(
            f"{source!r} has no weights to load here; to answer for it, name a model that draws in its place: "
            "limner serve --stand-in sketch",
            param="models",
        )
    if named.spec.loads.backend in (CUTTER, ENLARGER):  # no checkpoints with a class of their own to look at
        return named
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
    machine = Machine(settings, by_id.__getitem__)
    roster = roster_of(settings, specs, machine.backend_of)
    speakers = frozenset(spec.id for spec in specs if spec.loads is not None and spec.loads.backend == SPEAKER)
    language = language_model(settings, machine.speaker, speakers)
    async with open_tools(settings, release_free_memory) as tools:
        tools.metrics.watch_engine(machine.local.stats)
        service = Service(roster, settings, tools)
        service.language = language
        await service.start()
        loading = asyncio.create_task(_load_all(roster, machine) if settings.draws else _leave_to_others(roster))
        try:
            yield service
        finally:
            loading.cancel()
            await asyncio.wait({loading})
            await service.aclose(settings.drain_s)
            await machine.aclose()
            if isinstance(language, HttpLanguageModel):
                await language.aclose()


def roster_of(settings: Settings, specs: Sequence[ModelSpec], backend_of: Callable[[ModelSpec], Backend]) -> Roster:
    """The loaded models, somebody else's vision model, then whatever one of them stands in for.

    Raises InvalidRequest where that vision model is called like a loaded one."""
    catalogue = Catalogue.builtin()
    roster = Roster(catalogue)
    _check_vision_name(settings, specs)
    served = {name: ServedModel(spec, backend_of(spec)) for name, spec in zip(sources(settings), specs, strict=False)}
    own = [model for name, model in served.items() if name not in SUITE]
    elsewhere = [_upstream(settings, catalogue)] if settings.vision_url else []
    # Before the rest of the suite: whoever names an API that sees means it to be asked.
    for model in (*own, *elsewhere, *(model for name, model in served.items() if name in SUITE)):
        roster.add(model)
    for spec in catalogue.models():
        target = _borrowed(spec, roster) or _double(spec, roster, served.get(settings.stand_in))
        if target is not None and not roster.serves(spec.id):
            roster.add(ServedModel(spec, StandIn(spec, target.spec, target.backend), stand_in=target))
    return roster


def _check_vision_name(settings: Settings, specs: Sequence[ModelSpec]) -> None:
    name = settings.vision_model
    if settings.vision_url and name.casefold() in {spec.id.casefold() for spec in specs}:
        message = f"Invalid value for 'vision_model': {name!r}. Allowed: the name of no model that is served here"
        raise InvalidRequest(message, param="vision_model")


def _upstream(settings: Settings, catalogue: Catalogue) -> ServedModel:
    """Somebody else's vision model; of its limits nothing is known that it would not say itself."""
    like = catalogue.get(SUITE[0])
    route = Route(UPSTREAM, settings.vision_model)
    params = {name: replace(param, ignored=None) for name, param in like.params.items()}
    spec = replace(
        like,
        id=settings.vision_model,
        family=UPSTREAM,
        title=settings.vision_model,
        aliases=(),
        params={**params, UNTOLD_SEED.name: UNTOLD_SEED},
        routes=(route,),
        max_images=16,
        max_prompt_chars=100_000,
        licence=None,
        notes=(),
        created=0,
    )
    served = ServedModel(spec, UpstreamWords(settings.vision_url, settings.vision_model, settings.vision_key))
    served.loaded()
    return served


def _double(spec: ModelSpec, roster: Roster, stand_in: ServedModel | None) -> ServedModel | None:
    """Who stands in for ``spec`` where anybody does: for what draws the one that was named, otherwise its like."""
    if stand_in is None or spec.loads is None or spec.loads.backend == LOCAL:
        return stand_in
    alike = (one for one in roster.own if one.spec.loads is not None and one.spec.loads.backend == spec.loads.backend)
    return next(alike, None)


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


async def _load_all(roster: Roster, machine: Machine) -> None:
    for model in roster.own:
        if model.spec.loads is None:  # somebody else's
            continue
        try:
            await machine.load(model.spec)
            model.loaded()
        except LimnerError as error:
            logger.error("%s could not be loaded: %s", model.spec.id, error)
            model.failed(error)
        except Exception as error:  # the task's root: one model's trouble must not keep the others from loading
            logger.exception("%s could not be loaded", model.spec.id)
            model.failed(InvalidRequest(f"unexpected {type(error).__name__}; the server's log has the reason"))
    roster.settle()
    try:
        await machine.load_helpers(model.spec for model in roster.own if model.spec.loads is not None)
    except NotReady as error:
        logger.error("%s; region edits will fail", error)
