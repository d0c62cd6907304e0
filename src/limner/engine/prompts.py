"""Prompt embeddings that several samples share: encoded once, kept for the most recent prompts of a model.

Owns the cache and its keys; a fiber that finds another one encoding the same prompt suspends until it is done.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import PIL.Image
import torch

from limner.engine.stats import Uses

# Arguments of a pipeline that no text encoding depends on, and texts, which count as they are passed to encode_prompt:
# the empty one is the same beside all prompts. The others are part of the key, because pipelines read some of them
# (guidance, clip_skip) from themselves instead of passing them.
_TEXTS = frozenset(f"{sign}prompt{number}" for sign in ("", "negative_") for number in ("", "_2", "_3", "_4"))
_UNRELATED = _TEXTS | {"num_inference_steps", "height", "width", "strength", "image", "mask_image"}


class _Uncacheable(Exception):
    """An argument whose value cannot be compared."""


def prompt_key(scope: Hashable, arguments: Mapping[str, Any], args: Any, kwargs: Mapping[str, Any]) -> Hashable | None:
    """What an encode_prompt call depends on, or None if that cannot be told. Pictures count by their content."""
    related = {name: value for name, value in arguments.items() if name not in _UNRELATED}
    try:
        return (scope, _freeze(related), _freeze(args), _freeze(dict(kwargs)))
    except _Uncacheable:
        return None


def _freeze(value: Any) -> Hashable:
    match value:
        case None | bool() | int() | float() | str() | torch.device() | torch.dtype():
            return (type(value).__name__, value)
        case list() | tuple():
            return tuple(_freeze(item) for item in value)
        case dict():
            return tuple((key, _freeze(item)) for key, item in sorted(value.items()))
        case PIL.Image.Image():
            return (value.mode, value.size, hashlib.sha256(value.tobytes()).digest())
        case torch.Tensor():
            pixels = value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
            return (str(value.dtype), tuple(value.shape), hashlib.sha256(pixels).digest())
    raise _Uncacheable


class PromptCache:
    """The most recent ``limit`` encodings of one model; safe for several lanes."""

    def __init__(self, limit: int) -> None:
        self.uses = Uses()
        self._limit = limit
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._encoding: set[Hashable] = set()

    def get(self, key: Hashable, encode: Callable[[], Any], wait_until: Callable[[Callable[[], bool]], None]) -> Any:
        """The encoding for ``key``; at most one caller runs ``encode`` at a time, the others wait for it."""
        while True:
            with self._lock:
                if key in self._values:
                    self.uses.count(hit=True)
                    self._values.move_to_end(key)
                    return _fresh(self._values[key])
                if key not in self._encoding:
                    self.uses.count(hit=False)
                    self._encoding.add(key)
                    break
            wait_until(lambda: key not in self._encoding)
        try:
            value = encode()
            with self._lock:
                self._values[key] = value
                while len(self._values) > self._limit:
                    self._values.popitem(last=False)
        finally:
            with self._lock:
                self._encoding.discard(key)
        return _fresh(value)


def _fresh(value: Any) -> Any:
    """Pipelines extend returned lists in place; the cached one must stay as it was."""
    if isinstance(value, tuple):
        return tuple(_fresh(item) for item in value)
    return list(value) if isinstance(value, list) else value
