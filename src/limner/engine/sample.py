"""The engine's nouns: what it is asked to draw, how it answers and how it is set up.

Owns plain values and two protocols; imports no torch, so that a server without local models stays light.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from limner.core import Lora, Picture
from limner.errors import LimnerError

EMBEDDED_PREFIX = "embedded:"  # how sources of models begin that come with limner

Stage = Literal["encode", "denoise", "decode"]


class Cancelled(BaseException):
    """Thrown into a fiber whose sample is no longer wanted; no `except Exception` on the way may swallow it."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the engine uses the machine.

    ``device`` is auto, cpu, cuda, cuda:N or mps; ``dtype`` auto means float32 on a CPU and bfloat16 on CUDA.
    ``lanes`` 0 means one executor per core on a CPU; other devices always have one. ``threads`` are each CPU lane's
    own, 0 shares the cores evenly: two lanes of one thread do more than one lane of two, and do not stall on a busy
    machine. ``max_batch`` bounds the denoiser calls merged into one forward pass (a guided sample makes two a step),
    ``max_active`` the samples begun and not finished per lane. ``prompt_cache`` and ``lora_cache`` count entries per
    model.
    """

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    lanes: int = 0
    threads: int = 0
    max_batch: int = 8
    max_active: int = 32
    prompt_cache: int = 64
    lora_cache: int = 16


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model's weights are.

    ``source`` is a Hugging Face id, a directory in diffusers' layout, a single ``.safetensors``, ``.ckpt`` or ``.gguf``
    file, or ``embedded:NAME``. ``base`` names the directory or id that gives a single file its configuration and the
    components it lacks. ``revision`` pins a Hugging Face id.
    """

    id: str
    source: str
    base: str | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory: its own pipeline class, what identifies its weights, and its size."""

    id: str
    pipeline: str
    revision: str
    parameter_bytes: int
    origin: Path | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One image to draw.

    ``arguments`` are the pipeline's own, apart from generator, output type and image count, which are the engine's.
    ``encoded`` maps arguments that take an embedding to the text that the pipeline's own text encoder makes it from.
    ``previews`` (0..3) partial pictures are spread evenly over the steps. ``owner`` shares the device fairly.
    ``sampler`` is a name of limner.engine.samplers; "" leaves the model its own scheduler.
    """

    model: str
    pipeline: str
    seed: int
    arguments: Mapping[str, object] = field(default_factory=dict)
    encoded: Mapping[str, str] = field(default_factory=dict)
    previews: int = 0
    owner: str = ""
    loras: tuple[Lora, ...] = ()
    sampler: str = ""


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds: waiting before the first work, the sample's share of device time by stage, and submission to result."""

    queue_s: float
    encode_s: float
    denoise_s: float
    decode_s: float
    total_s: float

    @property
    def device_s(self) -> float:
        """Device time that this sample used; a merged forward is shared evenly."""
        return self.encode_s + self.denoise_s + self.decode_s


@dataclass(frozen=True, slots=True)
class Result:
    """A finished picture."""

    picture: Picture
    timings: Timings


class Listener(Protocol):
    """What a sample's submitter hears, from engine threads: it must return quickly and never raise.

    The last call is exactly one of finished, failed and cancelled.
    """

    def progressed(self, step: int, total_steps: int) -> None:
        """``step`` of ``total_steps`` denoising steps are done."""
        ...

    def previewed(self, preview_index: int, picture: Picture) -> None:
        """The ``preview_index``-th partial picture."""
        ...

    def finished(self, result: Result) -> None:
        """The picture is done."""
        ...

    def failed(self, error: LimnerError) -> None:
        """This sample failed; others are unaffected."""
        ...

    def cancelled(self) -> None:
        """The sample was given up on request."""
        ...


class Ticket(Protocol):
    """A submitted sample."""

    def cancel(self) -> None:
        """Give up: waiting work at once, running work at its next step. Harmless afterwards; never blocks."""
        ...
