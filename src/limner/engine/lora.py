"""Low-rank adapters per request: loaded once into the shared modules, switched off there, and added row by row.

peft's own switch (`set_adapters`) is one for all, so it cannot serve requests side by side. Here every LoRA layer
always gives its base output, and a hook adds the terms that the current forward's rows ask for. Knows no samples.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

import torch

from limner.core import Lora
from limner.engine.probe import safetensors_names
from limner.engine.stats import Uses
from limner.errors import InvalidRequest

log = logging.getLogger(__name__)

_SHOWN_CHARS = 100
# What diffusers would take from a file into the shared modules themselves: their norms' weights, and terms of other
# kinds than low-rank ones, which our hook does not add.
_ALTERING = ("norm_q", "norm_k", "norm_added_q", "norm_added_k", "lokr_", "loha_", "hada_", "lora_magnitude_vector")
_active = threading.local()


@dataclass(frozen=True, slots=True)
class Weights:
    """A loaded adapter under its internal name, and how strongly it applies."""

    adapter: str
    scale: float


@dataclass(frozen=True, slots=True)
class _Term:
    """``weights`` for rows ``start`` to ``stop`` of the batch; stop None means all of them."""

    weights: Weights
    start: int
    stop: int | None


@contextmanager
def mixing(rows: Sequence[tuple[tuple[Weights, ...], int | None]]) -> Iterator[None]:
    """Apply adapters in forwards of this thread: for each call in batch order its adapters and its row count."""
    first = rows[0][0]
    if all(weights == first for weights, _ in rows):
        terms, total = [_Term(weights, 0, None) for weights in first], None
    else:
        terms, total = _spans(rows)
    _active.plan = (terms, total) if terms else None
    try:
        yield
    finally:
        _active.plan = None


def _spans(rows: Sequence[tuple[tuple[Weights, ...], int | None]]) -> tuple[list[_Term], int]:
    terms, start = [], 0
    for weights, count in rows:
        assert count is not None, "calls that differ need their row counts"
        terms += [_Term(w, start, start + count) for w in weights]
        start += count
    return terms, start


def _add_terms(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
    """Forward hook of a LoRA layer: output + sum of scale * B(A(x)) over the rows of each adapter."""
    plan = getattr(_active, "plan", None)
    if plan is None:
        return None
    terms, total = plan
    result = output
    for term in terms:
        name = term.weights.adapter
        if name not in layer.lora_A:
            continue
        if total is not None and inputs[0].shape[0] != total:
            raise RuntimeError("a LoRA layer sees other rows than the batch has")  # the executor retries singly
        x = inputs[0][term.start : term.stop].to(layer.lora_A[name].weight.dtype)
        delta = layer.lora_B[name](layer.lora_A[name](x)) * (layer.scaling[name] * term.weights.scale)
        if result is output:
            result = output.clone()
        result[term.start : term.stop] += delta.to(output.dtype)
    return result


class Adapters:
    """One model's adapters. Safe for several lanes."""

    def __init__(self, pipeline: Any, limit: int) -> None:
        self.uses = Uses()
        self._pipeline = pipeline
        self._limit = limit
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}  # path -> adapter name, least recently used first
        self._users: Counter[str] = Counter()  # adapter name -> samples being drawn with it
        self._hooked: WeakSet[torch.nn.Module] = WeakSet()
        self._inspected: set[str] = set()  # paths that may be loaded and are not yet
        self._made = 0

    def inspect(self, loras: Sequence[Lora]) -> None:
        """Fetch what is not loaded and see that it alters no shared module, so that `acquire` need not wait for a
        network. Raises InvalidRequest as it does. Takes as long as a download."""
        for lora in loras:
            if lora.path not in self._names and lora.path not in self._inspected:
                self._inspect(lora)

    def acquire(self, loras: Sequence[Lora]) -> tuple[Weights, ...]:
        """Load what is missing and answer what `mixing` wants, until `release`. Nothing may run on the modules.

        Forgets the least recently used adapters beyond the limit that no sample is using. Raises InvalidRequest for a
        file that is not there, is not an adapter, or does not fit the model.
        """
        with self._lock:
            for lora in loras:
                self.uses.count(hit=lora.path in self._names)
                self._names[lora.path] = self._names.pop(lora.path) if lora.path in self._names else self._load(lora)
            weights = tuple(Weights(self._names[lora.path], lora.scale) for lora in loras)
            self._users.update(w.adapter for w in weights)
            for path in list(self._names)[: max(0, len(self._names) - self._limit)]:
                if not self._users[self._names[path]]:
                    self._pipeline.delete_adapters(self._names.pop(path))
            return weights

    def release(self, weights: Sequence[Weights]) -> None:
        """The sample that acquired them has ended."""
        with self._lock:
            self._users.subtract(w.adapter for w in weights)

    def _load(self, lora: Lora) -> str:
        if lora.path not in self._inspected:
            self._inspect(lora)
        self._inspected.discard(lora.path)
        self._made += 1
        name = f"lora_{self._made}"
        try:
            self._pipeline.load_lora_weights(_location(lora.path), adapter_name=name, use_safetensors=True)
        except Exception as error:  # whatever a stranger's file does to diffusers, it is this request's fault
            self._discard(name)
            log.warning("cannot use LoRA %r", lora.path, exc_info=True)
            raise _refusal(lora) from error
        if not self._switch_off(name):
            self._discard(name)
            log.warning("LoRA %r fits no layer of this model", lora.path)
            raise _refusal(lora)
        return name

    def _inspect(self, lora: Lora) -> None:
        """Refuse a file that would change the shared modules for everybody, before any of it is in them."""
        if not hasattr(self._pipeline, "load_lora_weights"):
            raise InvalidRequest(f"{type(self._pipeline).__name__} takes no LoRA", param="lora")
        try:
            _require_no_dora(Path(_location(lora.path)))
            found = self._pipeline.lora_state_dict(_location(lora.path), use_safetensors=True)
            for key, weights in (found[0] if isinstance(found, tuple) else found).items():
                self._require_row_wise(key, weights)
        except Exception as error:  # as in `_load`
            log.warning("cannot use LoRA %r", lora.path, exc_info=True)
            raise _refusal(lora) from error
        self._inspected.add(lora.path)

    def _require_row_wise(self, key: str, weights: torch.Tensor) -> None:
        """``key`` is PART.LAYER.lora_A.weight or the like; diffusers widens layers that are too narrow for theirs."""
        if any(mark in key for mark in _ALTERING):
            raise ValueError(f"{key} is no low-rank term")
        part, _, rest = key.partition(".")
        path, _, term = rest.rpartition(".lora_")
        layer = _submodule(getattr(self._pipeline, part, None), path)
        for side, axis, name in (("A.", 1, "in_features"), ("B.", 0, "out_features")):
            width = getattr(layer, name, None)
            if term.startswith(side) and width is not None and weights.ndim == 2 and weights.shape[axis] != width:
                raise ValueError(f"{key} is for {weights.shape[axis]} features, the layer has {width}")

    def _discard(self, name: str) -> None:
        """Take out what came in of an adapter that cannot be used."""
        self._switch_off(name)
        try:
            self._pipeline.delete_adapters(name)
        except Exception:  # it may not have come far enough for diffusers to know it
            log.info("adapter %s was not there to be deleted", name, exc_info=True)

    def _switch_off(self, name: str) -> int:
        """Leave every LoRA layer at its base output with our hook on it; how many layers ``name`` reached."""
        from peft.tuners.lora import LoraLayer

        reached = 0
        for part in self._pipeline.components.values():
            if not isinstance(part, torch.nn.Module):
                continue
            for layer in part.modules():
                if not isinstance(layer, LoraLayer):
                    continue
                layer.enable_adapters(enabled=False)
                reached += name in layer.lora_A
                if layer not in self._hooked:
                    self._hooked.add(layer)
                    layer.register_forward_hook(_add_terms)
        return reached


def _require_no_dora(local: Path) -> None:
    """Raise ValueError for DoRA's magnitudes by kohya's name: diffusers leaves them out of what it reads. A hub's file
    is not looked at."""
    for file in [local] if local.is_file() else sorted(local.glob("*.safetensors")):
        scales = sorted(name for name in safetensors_names(file) if "dora_scale" in name)
        if scales:
            raise ValueError(f"{scales[0]} of {file.name} is no low-rank term")


def _submodule(module: Any, path: str) -> torch.nn.Module | None:
    try:
        return module.get_submodule(path) if isinstance(module, torch.nn.Module) else None
    except AttributeError:  # the file is for another model; diffusers says so
        return None


def _location(path: str) -> str:
    """A local file or directory, or a Hugging Face id as ``owner/name``."""
    local = Path(path).expanduser()
    if local.is_dir() or (local.is_file() and local.suffix == ".safetensors"):
        return str(local)
    if local.exists():
        raise ValueError("not a .safetensors file or a directory")
    if path.count("/") == 1 and not path.startswith((".", "/", "~")) and not path.endswith(".safetensors"):
        return path
    raise FileNotFoundError("no such file, and not a Hugging Face id")


def _refusal(lora: Lora) -> InvalidRequest:
    """One message for all reasons, or clients could ask which files the server has; the log says which it was."""
    return InvalidRequest(
        f"cannot use LoRA {lora.path[:_SHOWN_CHARS]!r}: no adapter for this model is there. Allowed: a .safetensors "
        "file or directory on the server, or a Hugging Face id",
        param="lora",
    )
