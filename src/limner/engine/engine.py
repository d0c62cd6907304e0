"""The engine: loads models and draws samples on this machine's device.

The one object that the rest of limner holds. Owns models and lanes. All methods may be called from any thread; `load`
and `close` block, the others do not.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from limner.core import Lora
from limner.engine.backlog import Backlog
from limner.engine.devices import resolve
from limner.engine.executor import Lane
from limner.engine.gate import Gate
from limner.engine.live import Live
from limner.engine.load import load_pipeline
from limner.engine.model import Model
from limner.engine.reading import Reading
from limner.engine.sample import EngineSettings, Listener, LoadedModel, ModelSource, Sample, Ticket
from limner.engine.samplers import check_sampler
from limner.engine.stats import EngineStats, Tally, Uses
from limner.errors import InvalidRequest, ModelNotFound, NotReady
from limner.memory import keep_memory

log = logging.getLogger(__name__)


class Engine:
    """Models, a device and its lanes. Close it to free threads and memory."""

    def __init__(self, settings: EngineSettings | None = None) -> None:
        self._settings = settings or EngineSettings()
        self.device = resolve(self._settings)
        if self.device.name == "cpu":
            keep_memory()
        torch.set_num_threads(self.device.threads)  # for threads that load models, too
        self._gate = Gate()
        self._tally = Tally()
        self._backlog: Backlog[Live] = Backlog(self.device.lanes, max_active=self._settings.max_active)
        self._models: dict[str, Model] = {}
        self._loading = threading.Lock()
        self._lanes = [
            Lane(i, self._backlog, self.device, self._gate, self._settings.max_batch, self._tally)
            for i in range(self.device.lanes)
        ]

    @property
    def healthy(self) -> bool:
        """Whether every lane lives and the engine is not closing."""
        return self._backlog.is_healthy and not self._backlog.closing

    @property
    def fiber_threads(self) -> int:
        """Threads that fibers have needed so far; they are used again, so this stays bounded."""
        return sum(lane.fiber_threads for lane in self._lanes)

    def stats(self) -> EngineStats:
        """What it has done so far and holds now. Asks the device, which takes a moment."""
        forwards, forward_s, batches, out_of_memory = self._tally.read()
        models = tuple(self._models.values())
        caches = {(m.info.id, "prompt"): m.prompts.uses for m in models}
        caches |= {(m.info.id, "lora"): m.adapters.uses for m in models}
        return EngineStats(
            device=self.device.name,
            forwards=forwards,
            forward_s=forward_s,
            batches=batches,
            out_of_memory=out_of_memory,
            active_samples=self._backlog.active(),
            waiting_samples=self._backlog.waiting(),
            cache_uses={key: Uses(uses.hits, uses.misses) for key, uses in caches.items()},
            parameter_bytes={m.info.id: m.info.parameter_bytes for m in models},
            device_bytes=self.device.memory_bytes(),
        )

    def load(self, source: ModelSource) -> LoadedModel:
        """Load a model, or answer what is loaded under that id. Blocks for as long as it takes.

        Raises InvalidRequest, NotReady or ModelNotFound with a message that says what is wrong with the source.
        """
        with self._loading:
            known = self._models.get(source.id)
            if known is not None:
                return known.info
            pipeline, info = load_pipeline(source, self.device)
            return self._keep(pipeline, info)

    def adopt(self, pipeline: Any, info: LoadedModel) -> LoadedModel:
        """Serve a pipeline that was built elsewhere; it must be on this engine's device already."""
        with self._loading:
            return self._keep(pipeline, info)

    def _keep(self, pipeline: Any, info: LoadedModel) -> LoadedModel:
        self._models[info.id] = Model(info, pipeline, self._settings)
        log.info(
            "loaded %s: %s, revision %s, %.1f MB", info.id, info.pipeline, info.revision, info.parameter_bytes / 1e6
        )
        return info

    def models(self) -> tuple[LoadedModel, ...]:
        """What is loaded."""
        return tuple(model.info for model in self._models.values())

    def arguments(self, model: str, pipeline: str) -> frozenset[str]:
        """Names of the arguments that ``pipeline`` takes. Raises ModelNotFound or InvalidRequest.

        Builds the pipeline if this is its first use, so that `submit` need not."""
        found = self._model(model)
        found.pipeline(pipeline)
        return found.arguments_of(pipeline)

    def reading(self, model: str, pipeline: str, text: str, arguments: Mapping[str, object]) -> Reading | None:
        """How much of a prompt ``pipeline`` reads when called with ``arguments``; None where it cannot be known.

        Raises ModelNotFound or InvalidRequest. Takes a moment on first use, when tokenizers are copied.
        """
        return self._model(model).reading(pipeline, text, arguments)

    def inspect_loras(self, model: str, loras: Sequence[Lora]) -> None:
        """Fetch adapters and see that they can be used, before samples wait for them. Not for an event loop.

        Raises ModelNotFound, and InvalidRequest for one that cannot be used.
        """
        self._model(model).adapters.inspect(loras)

    def submit(self, sample: Sample, listener: Listener) -> Ticket:
        """Queue a sample; ``listener`` hears what becomes of it, from engine threads.

        Raises ModelNotFound, InvalidRequest (a pipeline class, argument or sampler that does not exist) or NotReady at
        once.
        """
        model = self._model(sample.model)
        pipeline = model.pipeline(sample.pipeline)
        if sample.sampler:
            check_sampler(sample.sampler, getattr(pipeline, "scheduler", None))
        given = {*sample.arguments, *sample.encoded}
        unknown = sorted(given - model.arguments_of(sample.pipeline))
        if unknown:
            raise InvalidRequest(f"{sample.pipeline} takes no argument {unknown[0]!r}", param=unknown[0])
        live = Live(sample, listener, model)
        if not self._backlog.add(live):
            raise NotReady("the engine is closing or has died")
        return _Ticket(live, self._backlog)

    def close(self) -> None:
        """Cancel everything, end all threads, and give the modules back as they were."""
        self._backlog.close()
        for lane in self._lanes:
            lane.join()
        for model in self._models.values():
            model.close()
        self._models.clear()

    def _model(self, model: str) -> Model:
        found = self._models.get(model)
        if found is None:
            raise ModelNotFound(f"model {model!r} is not loaded", param="model")
        return found


class _Ticket:
    def __init__(self, live: Live, backlog: Backlog[Live]) -> None:
        self._live, self._backlog = live, backlog

    def cancel(self) -> None:
        self._live.cancelled = True
        self._backlog.notify()
