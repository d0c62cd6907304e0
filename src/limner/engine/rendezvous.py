"""Where fibers meet: the methods of a model's shared modules that suspend their caller and run for several at once.

Owns the hooks and one real forward; knows no policy, no queue and no pipeline class.
"""

import functools
import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

import torch

from limner.engine import fibers
from limner.engine.collate import Alone, Arguments, Collator, Fingerprint
from limner.engine.foresight import Guess
from limner.engine.lora import Weights, mixing
from limner.engine.sample import Stage

log = logging.getLogger(__name__)

_DENOISERS = ("transformer", "transformer_2", "unet", "controlnet", "prior", "decoder")
_CANARY_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 2e-2}


class Guest(Protocol):
    """What a fiber's context must offer to be met here."""

    def meet(self, point: "Point", args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer one call of ``point`` made inside the fiber."""
        ...


@dataclass(slots=True, eq=False)
class Call:
    """A suspended call. ``key`` equal means mergeable; ``foreseen`` are calls that the same sample will make next and
    that merge with it as well, such as one that ``is_foreseen``; ``since`` is monotonic seconds."""

    point: "Point"
    args: tuple[Any, ...]
    arguments: Arguments
    key: Hashable
    loras: tuple[Weights, ...] = ()
    foreseen: tuple[Guess, ...] = ()
    is_foreseen: bool = False
    since: float = field(default_factory=monotonic)

    @property
    def rows(self) -> int:
        """Rows along the batch dimension."""
        assert self.point.collator is not None, "only a denoiser's call has rows"
        return self.point.collator.rows(self.arguments)

    @property
    def merges(self) -> bool:
        """Whether there can be another call that it merges with."""
        return not isinstance(self.key, Alone)

    @property
    def count(self) -> int:
        """This call and those foreseen."""
        return 1 + len(self.foreseen)

    @property
    def together(self) -> tuple["Call", ...]:
        """This call and those foreseen, in the order of their outputs."""
        return (
            self,
            *(Call(self.point, (), guess.arguments, self.key, self.loras, is_foreseen=True) for guess in self.foreseen),
        )


class Point:
    """One method of one module. With a collator several calls can be one forward; without, they run one by one.

    ``lock`` serialises lanes where the module keeps state during a call; ``casts`` brings tensors to its own type.
    """

    def __init__(
        self,
        owner: torch.nn.Module,
        method: str,
        stage: Stage,
        *,
        collator: Collator | None = None,
        lock: AbstractContextManager[Any] | None = None,
        casts: bool = False,
    ) -> None:
        self.owner, self.method, self.stage, self.collator = owner, method, stage, collator
        self._lock = lock or nullcontext()
        self._casts = casts
        self._original: Callable[..., Any] = getattr(owner, method)
        self._was_own = method in owner.__dict__
        # The first merged batches are run singly as well; a family that is not in the table must prove itself longer.
        # A sample's own two calls are so alike that they prove nothing of other samples' and are counted apart.
        trials = 0 if collator is None else 1 if collator.is_known else 3
        self._canaries = {"own": trials, "others": trials}
        self.merges = collator is not None

    def install(self) -> None:
        """Route calls made inside fibers to their context; calls from other threads go through untouched."""

        @functools.wraps(self._original)
        def rendezvous(*args: Any, **kwargs: Any) -> Any:
            fiber = fibers.current()
            if fiber is None:
                return self._original(*args, **kwargs)
            guest: Guest = fiber.context  # type: ignore[assignment]
            return guest.meet(self, args, kwargs)

        setattr(self.owner, self.method, rendezvous)

    def remove(self) -> None:
        """Undo `install`."""
        if self._was_own:
            setattr(self.owner, self.method, self._original)
        else:
            self.owner.__dict__.pop(self.method, None)

    def call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], loras: tuple[Weights, ...], fingerprint: Fingerprint
    ) -> Call:
        """Describe one call, with a key of its own where it cannot merge."""
        if self.collator is None or not self.merges:
            return Call(self, args, kwargs, Alone(), loras)
        arguments = self.collator.bind(args, kwargs)
        return Call(self, (), arguments, self.key(arguments, fingerprint), loras)

    def key(self, arguments: Arguments, fingerprint: Fingerprint) -> Hashable:
        """What calls of this point that can merge have in common."""
        assert self.collator is not None
        key = self.collator.key(arguments, fingerprint)
        return key if isinstance(key, Alone) else (id(self), key)

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """One real forward for calls of equal keys; one output each. Runs in the caller's thread, without gradients."""
        with torch.no_grad(), self._lock:
            if len(calls) == 1 or not self.merges:
                return [self._single(call) for call in calls]
            kind = "others" if sum(not call.is_foreseen for call in calls) > 1 else "own"
            outputs = self._merged(calls)
            if self._canaries[kind] <= 0:  # two lanes may have held the last one together
                return outputs
            outputs = self._checked(calls, outputs)
            self._canaries[kind] -= 1  # a trial that could not be carried out has proved nothing
            return outputs

    def _single(self, call: Call) -> Any:
        with mixing([(call.loras, None)]):
            return self._original(*(self._cast(arg) for arg in call.args), **call.arguments)

    def _cast(self, value: Any) -> Any:
        """A VAE kept in float32 is given float16 pictures and latents."""
        dtype = getattr(self.owner, "dtype", None)
        if self._casts and isinstance(value, torch.Tensor) and value.is_floating_point() and value.dtype != dtype:
            return value.to(dtype)
        return value

    def _merged(self, calls: Sequence[Call]) -> list[Any]:
        assert self.collator is not None
        counts = [call.rows for call in calls]
        with mixing([(call.loras, count) for call, count in zip(calls, counts, strict=True)]):
            output = self._original(**self.collator.merge([call.arguments for call in calls]))
        return self.collator.split(output, counts)

    def _checked(self, calls: Sequence[Call], outputs: list[Any]) -> list[Any]:
        singles = [self._single(call) for call in calls]
        if all(_close(a, b) for a, b in zip(outputs, singles, strict=True)):
            return outputs
        self.merges = False
        log.warning("%s gives other results when merged; its calls run singly from now on", type(self.owner).__name__)
        return singles


def _close(merged: Any, single: Any) -> bool:
    """Equal within rounding, element by element; the tolerance is relative to the largest magnitude."""
    if isinstance(single, torch.Tensor):
        if merged.shape != single.shape:
            return False
        scale = max(1.0, float(single.abs().max())) if single.numel() else 1.0
        return bool((merged.float() - single.float()).abs().max() <= _CANARY_TOLERANCE.get(single.dtype, 1e-3) * scale)
    if isinstance(single, list | tuple):
        return all(_close(a, b) for a, b in zip(merged, single, strict=True))
    if isinstance(single, dict):
        return all(_close(merged[key], single[key]) for key in single)
    return True


def points_of(components: dict[str, Any]) -> list[Point]:
    """The rendezvous points of a pipeline's components: denoisers merge; encoders and the VAE take turns."""
    points: list[Point] = []
    for name, part in components.items():
        if not isinstance(part, torch.nn.Module):
            continue
        if name in _DENOISERS:
            points.append(Point(part, "forward", "denoise", collator=Collator(part)))
        elif name.startswith(("text_encoder", "image_encoder")):
            # Transformers record hidden states through hooks on the module, which two threads must not do at once.
            points.append(Point(part, "forward", "encode", lock=threading.Lock()))
        elif name == "vae":
            # VAEs of the causal kind cache features in the module during a call.
            lock = threading.Lock() if hasattr(part, "clear_cache") else None
            points += [
                Point(part, "encode", "encode", lock=lock, casts=True),
                Point(part, "decode", "decode", lock=lock, casts=True),
            ]
    return points
