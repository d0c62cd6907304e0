"""Checks of the models: whether they are found, whether they lie here, and whether they fit into the memory."""

import asyncio
from collections.abc import Sequence

from limner.catalogue.spec import LOCAL, SPEAKER
from limner.config import Settings
from limner.doctor.finding import Finding, ok, problem, shown_bytes, warning
from limner.doctor.helpers import look_at_tool
from limner.engine import EngineSettings, ModelSource, probe
from limner.engine.weights import Weights, on_disk
from limner.errors import InvalidRequest, LimnerError
from limner.runtime import find_models, sources

ROOM = 1.3  # activations and what the allocator keeps, over the weights alone


async def check_models(settings: Settings) -> Sequence[Finding]:
    """Every model by itself, then all of them against the memory, if pictures are drawn here."""
    return await asyncio.to_thread(_look_at_models if settings.draws else _look_at_names, settings)


def _look_at_names(settings: Settings) -> list[Finding]:
    found = find_models(settings)
    return [ok(f"{spec.id}: known here, drawn by other processes") for spec in found]


def _look_at_models(settings: Settings) -> list[Finding]:
    from limner.engine.machine import machine

    try:
        here = machine(EngineSettings(device=settings.device, dtype=settings.dtype))
    except InvalidRequest:  # the device's check says so; models are found all the same
        here = None
    bytes_per_number = 4 if here is None else here.bytes_per_number
    findings, need = _each(settings, bytes_per_number)
    if here is not None and here.free_bytes is not None and need:
        findings += _fit(need, here.free_bytes, here.device)
    return [*findings, *_together(settings)]


def _each(settings: Settings, bytes_per_number: int) -> tuple[list[Finding], int]:
    """A finding a model, and the bytes that all their weights take."""
    findings, need = [], 0
    for name in sources(settings):
        try:
            found = _weights(settings, name)
        except LimnerError as error:
            findings.append(problem(error.message, "correct the name; `limner models` lists those of the catalogue"))
            continue
        if isinstance(found, Finding):
            findings.append(found)
        elif found is None:
            message = f"{name}: not on this machine yet"
            findings.append(warning(message, "the first start downloads it: that takes time and room in HF_HOME"))
        elif not found.file_bytes:
            findings.append(problem(f"{name}: its directory holds no weights", "download the model again"))
        else:
            size = found.in_memory_bytes(bytes_per_number)
            findings.append(ok(f"{name}: its weights take {shown_bytes(size)} of memory"))
            need += size
    return findings, need


def _weights(settings: Settings, name: str) -> Weights | Finding | None:
    """A model's weights, None where they have to be downloaded, and all that there is to say of what is no checkpoint
    in a directory. Raises InvalidRequest or NotReady."""
    (spec,) = find_models(settings.model_copy(update={"models": (name,), "stand_in": "", "suite": "no"}))
    route = spec.loads or spec.routes[0]
    if route.backend not in (LOCAL, SPEAKER):
        return look_at_tool(name, route)
    source = ModelSource(spec.id, route.source)
    return on_disk(source, probe(source))


def _fit(need: int, free: int, device: str) -> list[Finding]:
    shown = f"the weights take {shown_bytes(need)}, {shown_bytes(free)} are free on {device}"
    if need > free:
        return [problem(shown, "serve fewer or smaller models, free the device, or set a narrower dtype")]
    if need * ROOM > free:
        return [warning(f"{shown}: large pictures or batches may not fit", "serve fewer models, or lower max_batch")]
    return []


def _together(settings: Settings) -> list[Finding]:
    """Whether the models, each found by itself, can be served side by side."""
    if len(sources(settings)) < 2:
        return []
    try:
        find_models(settings)
    except InvalidRequest as error:
        return [problem(error.message, "leave one of them out")]
    return []
