"""The engine as a backend: resolved requests become samples, and what engine threads say becomes events.

The one module where asyncio and the engine's threads meet. Knows nothing of wires, and of models only what their
catalogue entry says.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from limner.backends.pixels import Finish, Kept, alike, grey, opaque, picture_of, resized
from limner.catalogue.sizing import off_ratio
from limner.catalogue.spec import TEXT_LENGTH, ModelSpec, ParamSpec, Route
from limner.core import Event, Finished, Lora, Operation, ParamValue, Picture, Preview, Progress, Request, Size, Warning
from limner.engine import EngineSettings, EngineStats, LoadedModel, ModelSource, Result, Sample, Timings
from limner.errors import InternalError, InvalidRequest, LimnerError, NotReady, UnknownParameter
from limner.media.canvas import fitted, inside

if TYPE_CHECKING:
    from limner.engine import Engine
    from limner.engine.reading import Reading

_USUAL_STEPS = 20
_ALIKE = 0.1  # log of the factor by which proportions may be off and still be stretched
_SAMPLER = "sampler"  # the one parameter that is no argument of a pipeline but chooses its scheduler


class LocalBackend:
    """Draws on this machine. ``engine`` may be its settings: it then starts, in a thread, with the first `load`.

    ``spec_of`` answers the catalogue's entry for a served model's id.
    """

    def __init__(self, engine: "Engine | EngineSettings", spec_of: Callable[[str], ModelSpec]) -> None:
        self._settings = engine if isinstance(engine, EngineSettings) else None
        self._engine = None if isinstance(engine, EngineSettings) else engine
        self._spec_of = spec_of
        self._loaded: dict[str, LoadedModel] = {}
        self._loading = asyncio.Lock()
        self._closed = False

    @property
    def healthy(self) -> bool:
        """Whether the engine, if it was started, can draw."""
        return not self._closed and (self._engine is None or self._engine.healthy)

    def stats(self) -> EngineStats | None:
        """What the engine has done and holds; None before it has started and once it is closed. From any thread."""
        return None if self._engine is None or self._closed else self._engine.stats()

    async def load(self, spec: ModelSpec) -> LoadedModel:
        """Load a model, one at a time. Raises LimnerError with the reason it cannot be served."""
        async with self._loading:
            if self._closed:
                raise NotReady("the server is shutting down")
            info = await asyncio.to_thread(self._load, spec)
            self._loaded[spec.id] = info
            return info

    def _load(self, spec: ModelSpec) -> LoadedModel:
        if self._engine is None:
            from limner.engine import Engine

            self._engine = Engine(self._settings)
        return self._engine.load(ModelSource(spec.id, _route(spec).source))

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Draw ``request.n`` samples; closing the iterator cancels all of them."""
        engine, info = self._require(request.model)
        samples, warnings, finish = await asyncio.to_thread(
            _prepared, engine, info, self._spec_of(request.model), request
        )
        inbox = _Inbox(asyncio.get_running_loop(), samples, info.revision, warnings)
        tickets = []
        try:
            for index, sample in enumerate(samples):
                tickets.append(engine.submit(sample, _Ear(inbox, index)))
            while True:
                event = await inbox.next()
                if not isinstance(event, Progress):
                    event = await asyncio.to_thread(_finished, event, finish)
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            for ticket in tickets:
                ticket.cancel()

    def _require(self, model: str) -> tuple["Engine", LoadedModel]:
        info = self._loaded.get(model)
        if self._engine is None or info is None:
            raise NotReady(f"the model {model!r} is not loaded", param="model")
        if not self.healthy:
            raise NotReady("the engine has stopped; restart the server")
        return self._engine, info

    async def aclose(self) -> None:
        """Cancel what runs and free threads and memory."""
        self._closed = True
        async with self._loading:
            if self._engine is not None:
                await asyncio.to_thread(self._engine.close)


class _Inbox:
    """What engine threads have said and the iterator has not yet taken. Lives on the event loop.

    Bounded: progress is coalesced into one sum, and there are at most three previews a picture.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        samples: Sequence[Sample],
        revision: str,
        warnings: tuple[Warning, ...],
    ) -> None:
        self._loop = loop
        self._revision = revision
        self._warnings = warnings
        self._steps = [0] * len(samples)
        self._totals = [_expected_steps(sample) for sample in samples]
        self._results: list[Result | None] = [None] * len(samples)
        self._previews: deque[Preview] = deque()
        self._has_progress = False
        self._error: LimnerError | None = None
        self._news = asyncio.Event()

    def tell(self, change: Callable[..., None], *arguments: object) -> None:
        """From any thread: apply ``change`` on the loop. After the loop has closed nobody listens."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._apply, change, arguments)

    def _apply(self, change: Callable[..., None], arguments: tuple[object, ...]) -> None:
        change(*arguments)
        self._news.set()

    def progressed(self, index: int, step: int, total_steps: int) -> None:
        self._steps[index], self._totals[index] = step, total_steps
        self._has_progress = True

    def previewed(self, preview: Preview) -> None:
        self._previews.append(preview)

    def finished(self, index: int, result: Result) -> None:
        self._results[index] = result

    def failed(self, error: LimnerError) -> None:
        self._error = self._error or error

    async def next(self) -> Event:
        """The next event; raises the first failure."""
        while True:
            if self._error is not None:
                raise self._error
            if self._has_progress:
                self._has_progress = False
                return Progress(sum(self._steps), sum(self._totals))
            if self._previews:
                return self._previews.popleft()
            results = [result for result in self._results if result is not None]
            if len(results) == len(self._results):
                timings_s = _timings([r.timings for r in results])
                return Finished(tuple(r.picture for r in results), self._revision, timings_s, self._warnings)
            self._news.clear()
            await self._news.wait()


class _Ear:
    """One sample's listener: passes on to the loop, from engine threads."""

    def __init__(self, inbox: _Inbox, index: int) -> None:
        self._inbox, self._index = inbox, index

    def progressed(self, step: int, total_steps: int) -> None:
        self._inbox.tell(self._inbox.progressed, self._index, step, total_steps)

    def previewed(self, preview_index: int, picture: Picture) -> None:
        self._inbox.tell(self._inbox.previewed, Preview(self._index, preview_index, picture))

    def finished(self, result: Result) -> None:
        self._inbox.tell(self._inbox.finished, self._index, result)

    def failed(self, error: LimnerError) -> None:
        self._inbox.tell(self._inbox.failed, error)

    def cancelled(self) -> None:
        self._inbox.tell(self._inbox.failed, NotReady("the engine gave this picture up because it is closing"))


def _timings(samples: Sequence[Timings]) -> Mapping[str, float]:
    """Seconds of the whole job: waiting until its first sample began, wall time, and device time summed by stage."""
    seconds = {
        "queue": min(t.queue_s for t in samples),
        "encode": sum(t.encode_s for t in samples),
        "denoise": sum(t.denoise_s for t in samples),
        "decode": sum(t.decode_s for t in samples),
        "total": max(t.total_s for t in samples),
    }
    return {name: round(value, 6) for name, value in seconds.items()}


def _expected_steps(sample: Sample) -> int:
    steps = sample.arguments.get("num_inference_steps")
    return steps if isinstance(steps, int) else _USUAL_STEPS


def _route(spec: ModelSpec) -> Route:
    return next((route for route in spec.routes if route.backend == "local"), spec.routes[0])


def _prepared(
    engine: "Engine", info: LoadedModel, spec: ModelSpec, request: Request
) -> tuple[list[Sample], tuple[Warning, ...], Finish]:
    """What to submit, what to warn of, and what to do with the pictures. Takes a moment: not for the loop."""
    native = spec.sizes.native
    samples = _samples(engine, info, spec, request if native is None else _at_native_size(request, native))
    engine.inspect_loras(request.model, samples[0].loras)
    readings = _readings(engine, samples[0], request)
    length = _text_length(samples[0], list(readings.values()), _route(spec).text_lengths)
    samples = [replace(sample, arguments={**sample.arguments, **length}) for sample in samples]
    return samples, _cut_texts(readings), _finish(request, native)


def _at_native_size(request: Request, native: Size) -> Request:
    """``request`` as a model gets it that draws ``native`` alone. It finds what references show by its place, so they
    are laid whole into the size that is drawn, their edges continued."""
    inputs = tuple(fitted(picture_of(opaque(picture)), native, "fill") for picture in request.inputs)
    mask = None if request.mask is None else fitted(request.mask, native, "fill")
    return replace(request, size=native, inputs=inputs, mask=mask)


def _finish(request: Request, native: Size | None) -> Finish:
    """What becomes of its pictures: where all is drawn at ``native``, they are continued to the size asked for; of an
    edit the part that shows the first picture, stretched if that is nearly its shape already."""
    kept = None if request.mask is None else Kept(opaque(request.inputs[0]), grey(request.mask))
    if native is None or not request.inputs:
        return Finish(request.size, kept, how="stretch" if native is None else "fill")
    assert request.size is not None, "sizes are settled before they are drawn"
    part = inside(request.inputs[0].size, native)
    bent = off_ratio(part, request.size.width_px / request.size.height_px)
    return Finish(request.size, kept, part, "stretch" if kept or bent <= _ALIKE else "fill")


def _samples(engine: "Engine", info: LoadedModel, spec: ModelSpec, request: Request) -> list[Sample]:
    """One sample per picture; they differ in their seed alone."""
    pipeline = _pipeline(info, _route(spec), request.operation)
    takes = engine.arguments(request.model, pipeline)
    arguments = {**_route(spec).arguments, **_pictures(request, takes, pipeline), "prompt": request.prompt}
    arguments |= _extent(request, takes)
    encoded: dict[str, str] = {}
    loras: tuple[Lora, ...] = ()
    for name, value in request.params.items():
        param = spec.params.get(name)
        if isinstance(value, tuple):
            loras += value
        elif value is None or name == _SAMPLER:
            continue
        elif param is not None and param.encoded:
            encoded[param.argument or name] = str(value)
        else:
            arguments[_argument(name, param, takes, pipeline)] = value
    if request.seed is None:
        raise InternalError("a request without a seed reached the engine")
    return [
        Sample(
            model=request.model,
            pipeline=pipeline,
            seed=request.seed + i,
            arguments=arguments,
            encoded=encoded,
            previews=request.previews,
            owner=request.owner,
            loras=loras,
            sampler=str(request.params.get(_SAMPLER) or ""),
        )
        for i in range(request.n)
    ]


def _pipeline(info: LoadedModel, route: Route, operation: Operation) -> str:
    if operation in route.pipelines:
        return route.pipelines[operation]
    from limner.engine.pipelines import operations_of

    known = operations_of(info.pipeline)
    if operation not in known:
        able = ", ".join(sorted({*known, *route.pipelines}))
        raise InvalidRequest(f"{info.id} cannot {operation}; it can: {able}", param="operation")
    return known[operation]


def _argument(name: str, param: ParamSpec | None, takes: frozenset[str], pipeline: str) -> str:
    argument = (param.argument if param else None) or name
    if argument not in takes:
        raise UnknownParameter(f"{pipeline} takes no {argument!r}; it takes: {', '.join(sorted(takes))}", param=name)
    return argument


def _extent(request: Request, takes: frozenset[str]) -> dict[str, ParamValue]:
    if request.size is None:
        return {}
    extent = {"height": request.size.height_px, "width": request.size.width_px, "max_area": request.size.pixels}
    return {name: value for name, value in extent.items() if name in takes}


def _pictures(request: Request, takes: frozenset[str], pipeline: str) -> dict[str, object]:
    """Inputs and mask under the names that the pipeline has for them. A list means several references.

    Where the picture itself decides the size of what is drawn, or is what drawing begins with, it is brought to the
    requested one.
    """
    if not request.inputs:
        return {}
    decides = request.mask is not None or not {"height", "width"} <= takes or "strength" in takes
    images = [
        resized(opaque(picture), request.size if decides and i == 0 else None)
        for i, picture in enumerate(request.inputs)
    ]
    if request.mask is None:
        name = "image" if "image" in takes else "control_image"
        return {name: images[0] if len(images) == 1 else images}
    given: dict[str, object] = {"image": images[0], "mask_image": resized(grey(request.mask), request.size)}
    if len(images) > 1:
        if "image_reference" not in takes:
            raise InvalidRequest(f"{pipeline} takes one picture and a mask, not {len(images)} pictures", param="image")
        given["image_reference"] = images[1] if len(images) == 2 else alike(images[1:])
    return given


def _finished(event: Event, finish: Finish) -> Event:
    """``event`` with its pictures as they were asked for."""
    match event:
        case Preview():
            return replace(event, picture=finish(event.picture))
        case Finished():
            pictures = (finish(one) if isinstance(one, Picture) else one for one in event.pictures)
            return replace(event, pictures=tuple(pictures))
    return event


def _readings(engine: "Engine", sample: Sample, request: Request) -> dict[str, "Reading | None"]:
    """What the model reads of the prompt and, if there is one, of the negative prompt."""
    texts = {"prompt": request.prompt, "negative_prompt": request.params.get("negative_prompt")}
    return {
        name: engine.reading(sample.model, sample.pipeline, text, sample.arguments)
        for name, text in texts.items()
        if isinstance(text, str) and text
    }


def _text_length(sample: Sample, readings: Sequence["Reading | None"], lengths: Sequence[int]) -> dict[str, object]:
    """The least of ``lengths`` that reads all words, as an argument; empty where none does or nobody can say."""
    needed = [0 if reading is None else reading.length for reading in readings]
    most = sample.arguments.get(TEXT_LENGTH)
    if None in readings or not isinstance(most, int):
        return {}
    return next(({TEXT_LENGTH: one} for one in lengths if max(needed, default=0) <= one < most), {})


def _cut_texts(readings: Mapping[str, "Reading | None"]) -> tuple[Warning, ...]:
    """A warning for each text that is longer than what the model reads of it."""
    warnings = []
    for name, reading in readings.items():
        if reading is not None and reading.tokens > reading.limit:
            words = name.replace("_", " ")
            message = f"the {words} has {reading.tokens} tokens; the model reads the first {reading.limit}"
            warnings.append(Warning(name, "adjusted", message))
    return tuple(warnings)
