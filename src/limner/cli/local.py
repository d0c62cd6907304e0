"""Drawing in this process, without a server: the same service, catalogue and engine behind one request."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from limner import runtime
from limner.catalogue import Policy, resolve
from limner.cli.ask import Ask, Drawn, Said
from limner.cli.progress import Watch, abandon
from limner.config import Settings, load_settings
from limner.core import Operation, Output, Request, Size, Words
from limner.errors import InvalidRequest
from limner.jobs import Job, Outcome
from limner.media.decode import DecodeLimits, decode
from limner.media.mask import as_mask
from limner.service import MEMORY

T = TypeVar("T")
READER = "reader"  # the embedded model that reads pictures


def draw(ask: Ask, watch: Watch) -> Drawn:
    """Load the model, draw and let go of it again; ``watch`` is told what happens. Raises LimnerError."""
    settings = _settings(None if ask.model is None else (ask.model,))
    job, outcome, files = asyncio.run(_run(_request(ask, settings, _operation(ask)), settings, watch))
    return Drawn(files, job.model, job.effective, (*job.warnings, *outcome.warnings))


def describe(ask: Ask, watch: Watch) -> Said:
    """Load a model that reads pictures, ask it and let go of it again. Raises LimnerError."""
    settings = _settings((ask.model or READER,))
    job, outcome, _ = asyncio.run(_run(_request(ask, settings, Operation.DESCRIBE), settings, watch))
    return Said(outcome.text or "", job.model, (*job.warnings, *outcome.warnings))


def _settings(models: tuple[str, ...] | None) -> Settings:
    """Nobody else is served here: of several configured models only the first is worth loading."""
    settings = load_settings(None, {"models": models})
    alone = {"models": settings.models[:1], "stand_in": "", "suite": "no", "draws": True}
    unhelped = {"grounder": Settings.model_fields["grounder"].default, "vision_url": "", "language_model": ""}
    passing = {"database": MEMORY, "blobs": "memory://", "drain_s": 0}
    return settings.model_copy(update={**alone, **unhelped, **passing})


async def _run(request: Request, settings: Settings, watch: Watch) -> tuple[Job, Outcome, tuple[bytes, ...]]:
    (spec,) = await _done_or_abandoned(asyncio.to_thread(runtime.find_models, settings))
    resolve(request, spec, Policy.of(settings))  # the service does so again: a wrong value is told before loading
    async with runtime.open_service(settings, (spec,)) as service:
        await _done_or_abandoned(service.ready())
        job = await service.submit(request)
        async for event in job.events():
            if not isinstance(event, Outcome | Words):
                watch(event)
        outcome = await job.result()
        files = tuple([await service.data_of(picture) for picture in outcome.pictures])
    return job, outcome, files


async def _done_or_abandoned(work: Awaitable[T]) -> T:
    """What ``work`` gives. Interrupted here, the process ends at once: a model is found and loaded in threads that
    cannot be stopped, and there is nothing yet to clean up."""
    try:
        return await work
    except asyncio.CancelledError:
        abandon()


def _request(ask: Ask, settings: Settings, operation: Operation) -> Request:
    """The ask as the service understands it; the one model that is loaded is the default one."""
    limits = DecodeLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    inputs = tuple(decode(file.data, limits, param=file.name) for file in ask.images)
    mask = None
    if ask.mask is not None:
        mask = as_mask(decode(ask.mask.data, limits, param="mask"), inputs[0].size, param="mask")
    return Request(
        operation=operation,
        model="",
        prompt=ask.prompt,
        inputs=inputs,
        mask=mask,
        n=ask.n,
        size=_size(ask.size),
        seed=ask.seed,
        output=Output(format=ask.format),
        params=dict(ask.params),
        timeout_s=settings.max_timeout_s if ask.timeout_s is None else ask.timeout_s,
    )


def _operation(ask: Ask) -> Operation:
    if not ask.images:
        return Operation.GENERATE
    return Operation.EDIT if ask.mask is None else Operation.INPAINT


def _size(text: str | None) -> Size | None:
    if text is None or text.lower() == "auto":
        return None
    try:
        return Size.parse(text)
    except ValueError:
        raise InvalidRequest(f"size {text!r} is not WIDTHxHEIGHT in pixels, such as 512x512", param="size") from None
