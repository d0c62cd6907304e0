"""A loaded model: its base pipeline, the sibling pipelines that share its modules, and what its samples share.

Owns rendezvous points, the prompt cache and adapters of one model. Copies are cheap and per sample; modules are never
copied.
"""

import copy
import inspect
import logging
import threading
from collections.abc import Mapping
from typing import Any

import torch

from limner.engine.lora import Adapters
from limner.engine.pipelines import pipeline_class, sibling
from limner.engine.prompts import PromptCache
from limner.engine.reading import Reading, reading
from limner.engine.rendezvous import points_of
from limner.engine.sample import EngineSettings, LoadedModel
from limner.engine.samplers import scheduler_for

log = logging.getLogger(__name__)

_COUNTING = -1  # the "lane" whose tokenizers count, beside those that draw


class Model:
    """Weights in memory and everything that draws with them; safe for several lanes."""

    def __init__(self, info: LoadedModel, pipeline: Any, settings: EngineSettings) -> None:
        self.info = info
        self.prompts = PromptCache(settings.prompt_cache)
        self.adapters = Adapters(pipeline, settings.lora_cache)
        self._base = pipeline
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._siblings: dict[str, Any] = {type(pipeline).__name__: pipeline}
        self._arguments: dict[str, frozenset[str]] = {}
        self._lane_parts: dict[int, dict[str, Any]] = {}
        self._points = points_of(pipeline.components)
        for point in self._points:
            point.install()

    def close(self) -> None:
        """Leave the modules as they were found."""
        for point in self._points:
            point.remove()

    def arguments_of(self, class_name: str) -> frozenset[str]:
        """Names of the arguments a pipeline class takes. Raises InvalidRequest for an unknown class."""
        known = self._arguments.get(class_name)
        if known is None:
            call = self._siblings[class_name].__call__ if class_name in self._siblings else None
            parameters = inspect.signature(call or pipeline_class(class_name).__call__).parameters
            known = self._arguments[class_name] = frozenset(parameters) - {"self"}
        return known

    def pipeline(self, class_name: str) -> Any:
        """The pipeline of that class over this model's modules. Raises InvalidRequest if it cannot be built."""
        with self._lock:
            if class_name not in self._siblings:
                self._siblings[class_name] = sibling(self._base, class_name)
            return self._siblings[class_name]

    def copy_of(self, class_name: str, lane: int, sampler: str = "") -> Any:
        """A pipeline object for one sample: shared modules, its own of what counts steps (scheduler, guiders), and the
        lane's own tokenizers.

        Raises InvalidRequest for a ``sampler`` that the model cannot use."""
        original = self.pipeline(class_name)
        pipeline = copy.copy(original)
        parts = self._parts_for(lane)
        for name in original.components.keys() & parts.keys():
            object.__setattr__(pipeline, name, parts[name])
        for name, part in original.components.items():
            if name == "scheduler" or _counts_steps(part):
                object.__setattr__(pipeline, name, copy.deepcopy(part))
        if sampler:
            object.__setattr__(pipeline, "scheduler", scheduler_for(sampler, original.scheduler))
        # It would reset offloading and caches under the other samples.
        object.__setattr__(pipeline, "maybe_free_model_hooks", lambda: None)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def reading(self, class_name: str, text: str, arguments: Mapping[str, Any]) -> Reading | None:
        """How much of ``text`` that pipeline reads when called with ``arguments``; None where it cannot be known."""
        pipeline = self.pipeline(class_name)
        names = [name for name, part in pipeline.components.items() if name.startswith("tokenizer") and part]
        with self._counting:
            parts = self._parts_for(_COUNTING)
            try:
                return reading(pipeline, {name: parts.get(name) for name in names}, text, arguments)
            except Exception:  # counting is a courtesy: what is really wrong with a prompt, drawing will tell
                log.warning("cannot count the tokens of a prompt for %s", class_name, exc_info=True)
                return None

    def _parts_for(self, lane: int) -> dict[str, Any]:
        """Tokenizers and processors of one lane: fast tokenizers keep padding state and refuse a second thread."""
        if lane == 0:
            return {}
        with self._lock:
            if lane not in self._lane_parts:
                self._lane_parts[lane] = {
                    name: copy.deepcopy(part)
                    for name, part in self._base.components.items()
                    if name != "scheduler" and part is not None and not isinstance(part, torch.nn.Module)
                    if hasattr(part, "save_pretrained") and not hasattr(part, "timesteps")
                }
            return self._lane_parts[lane]


def _counts_steps(part: object) -> bool:
    """Whether a component remembers where in a drawing it is."""
    return not isinstance(part, torch.nn.Module) and (hasattr(part, "timesteps") or hasattr(part, "set_state"))
