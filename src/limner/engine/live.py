"""A sample being drawn: one call of a diffusers pipeline, inside one fiber, on objects of its own.

Owns a sample's state from submission to result and everything that happens inside its fiber: the pipeline's copy, step
counting, previews and cancellation. Which fiber runs when is the lane's business.
"""

import functools
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, cast

import PIL.Image
import torch

from limner.core import Picture, PixelMode, Size
from limner.engine import previews
from limner.engine.fibers import Fiber
from limner.engine.foresight import Foresight
from limner.engine.lora import Weights
from limner.engine.model import Model
from limner.engine.prompts import prompt_key
from limner.engine.rendezvous import Call, Point
from limner.engine.sample import Cancelled, Listener, Sample, Stage, Timings
from limner.engine.samplers import seed_noise
from limner.engine.seeds import generator_seed

log = logging.getLogger(__name__)

_USUAL_STEPS, _USUAL_PIXELS = 20, 1024 * 1024


@dataclass(slots=True, eq=False)
class Pause:
    """What a fiber suspends with when it waits for another fiber instead of a forward."""

    is_over: Callable[[], bool]


class Live:
    """One submitted sample. Its fields are written by whichever thread holds its baton; ``cancelled`` by anyone."""

    def __init__(self, sample: Sample, listener: Listener, model: Model) -> None:
        self.sample, self.listener, self.model = sample, listener, model
        self.cancelled = False
        self.submitted_at = monotonic()
        self.started_at = self.submitted_at
        self.fiber: Fiber | None = None
        self.lane = 0
        self.loras: tuple[Weights, ...] = ()
        self.step = 0
        self.total_steps: int | None = None
        self._device_s: dict[Stage, float] = {"encode": 0.0, "denoise": 0.0, "decode": 0.0}
        self._tape = previews.Tape() if sample.previews else None
        self._replay: previews.Replay | None = None
        self._preview_steps: list[int] = []
        self._is_encoding = False
        self._fingerprints: dict[int, tuple[torch.Tensor, int]] = {}
        self._foresights: dict[Point, Foresight] = {}

    @property
    def owner(self) -> str:
        """Whose sample it is."""
        return self.sample.owner

    @property
    def waiting_on(self) -> Call | Pause | None:
        """What the suspended fiber waits for."""
        return cast("Call | Pause | None", self.fiber.waiting_on) if self.fiber else None

    @property
    def remaining(self) -> float:
        """Work left in steps x pixels, guessed from the arguments until the pipeline has said."""
        given = self.sample.arguments
        total = self.total_steps or _number(given.get("num_inference_steps"), _USUAL_STEPS)
        width, height = _number(given.get("width"), 0), _number(given.get("height"), 0)
        return max(0.0, total - self.step) * (width * height or _USUAL_PIXELS)

    def charge(self, stage: Stage, device_s: float) -> None:
        """Count device time that this sample used."""
        self._device_s[stage] += device_s

    def timings(self) -> Timings:
        """Seconds up to now."""
        return Timings(
            queue_s=self.started_at - self.submitted_at,
            encode_s=self._device_s["encode"],
            denoise_s=self._device_s["denoise"],
            decode_s=self._device_s["decode"],
            total_s=monotonic() - self.submitted_at,
        )

    def forget(self) -> None:
        """Free what only drawing needed; the submitter may hold on to the rest for longer."""
        self._tape = self._replay = None
        self._fingerprints.clear()
        self._foresights.clear()

    # From here on everything runs inside the fiber.

    def draw(self) -> Picture:
        """The fiber's body: the whole pipeline call."""
        pipeline, generator = self._own_copy(), self._generator()
        self._watch(pipeline, generator)
        return self._call(pipeline, generator)

    def meet(self, point: Point, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One call of a shared module: answered from the tape in a replay, by a forward otherwise."""
        if self._replay is not None:
            answer = self._replay.answer(point)
            if answer is not previews.MISSING:
                return answer
        output = self._run(point, args, kwargs)
        if self._tape is not None and self._replay is None:
            if point.stage == "denoise":
                self._tape.denoised(point, output)
            elif point.stage == "encode" and not self._is_encoding:
                self._tape.encoded(point, output)
        return output

    def _run(self, point: Point, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One forward, unless an earlier one has answered this call already."""
        collator = point.collator
        if collator is None or not point.merges or self._replay is not None:
            return self._suspend(point.call(args, kwargs, self.loras, self._fingerprint))
        arguments = collator.bind(args, kwargs)
        foresight = self._foresights.setdefault(point, Foresight(collator.family.batch))
        known = foresight.answer(arguments)
        if known is not None:
            self._give_up_if_cancelled()
            return known.output
        call = point.call(args, kwargs, self.loras, self._fingerprint)
        call.foreseen = foresight.next(arguments, lambda guessed: point.key(guessed, self._fingerprint) == call.key)
        return self._suspend(call)

    def _suspend(self, item: Call | Pause) -> Any:
        assert self.fiber is not None
        answer = self.fiber.suspend(item)
        self._give_up_if_cancelled()
        return answer

    def _give_up_if_cancelled(self) -> None:
        if self.cancelled:
            raise Cancelled

    def _own_copy(self) -> Any:
        pipeline = self.model.copy_of(self.sample.pipeline, self.lane, self.sample.sampler)
        if hasattr(pipeline, "encode_prompt"):
            pipeline.encode_prompt = self._encoder(pipeline.encode_prompt)
        return pipeline

    def _generator(self) -> torch.Generator:
        return torch.Generator("cpu").manual_seed(generator_seed(self.sample.seed))

    def _call(self, pipeline: Any, generator: torch.Generator) -> Picture:
        takes = self.model.arguments_of(self.sample.pipeline)
        own = {
            "generator": generator,
            "output_type": "pil",
            "num_images_per_prompt": 1,
            "return_dict": True,
        }
        embeddings = {name: self._embedding(pipeline, text) for name, text in self.sample.encoded.items()}
        output = pipeline(**{k: v for k, v in own.items() if k in takes}, **self.sample.arguments, **embeddings)
        return to_picture(output.images)

    def _embedding(self, pipeline: Any, text: str) -> Any:
        """What the pipeline's text encoder makes of ``text``, with the arguments that this sample encodes with."""
        takes = inspect.signature(pipeline.encode_prompt).parameters
        settings = {name: value for name, value in self.sample.arguments.items() if name in takes and name != "prompt"}
        if "do_classifier_free_guidance" in takes:
            settings["do_classifier_free_guidance"] = False
        answer = pipeline.encode_prompt(prompt=text, **settings)
        return answer[0] if isinstance(answer, tuple) else answer

    def _encoder(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """``encode_prompt`` through the tape and the model's prompt cache."""

        @functools.wraps(original)
        def encode_prompt(*args: Any, **kwargs: Any) -> Any:
            if self._replay is not None:
                answer = self._replay.answer("encode_prompt")
                if answer is not previews.MISSING:
                    return answer
            value = self._encoded(original, args, kwargs)
            if self._tape is not None and self._replay is None:
                self._tape.encoded("encode_prompt", value)
            return value

        return encode_prompt

    def _encoded(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._is_encoding = True
        try:
            scope = (self.sample.pipeline, self.loras)
            key = prompt_key(scope, self.sample.arguments, args, kwargs)
            if key is None:
                return original(*args, **kwargs)
            return self.model.prompts.get(
                key, lambda: original(*args, **kwargs), lambda is_over: self._suspend(Pause(is_over))
            )
        finally:
            self._is_encoding = False

    def _fingerprint(self, tensor: torch.Tensor) -> int:
        """A hash of shape and values. Remembered by identity, since position ids are one tensor all along."""
        known = self._fingerprints.get(id(tensor))
        if known is not None and known[0] is tensor:
            return known[1]
        if len(self._fingerprints) > 16:
            self._fingerprints.clear()
        values = tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
        value = hash((tuple(tensor.shape), str(tensor.dtype), values))
        self._fingerprints[id(tensor)] = (tensor, value)
        return value

    def _watch(self, pipeline: Any, generator: torch.Generator) -> None:
        """Count steps, show previews, notice cancellation and seed new noise through the copy's own scheduler."""
        scheduler = getattr(pipeline, "scheduler", None)
        if scheduler is None or not hasattr(scheduler, "step"):
            return
        seed_noise(scheduler, generator)
        original = scheduler.step

        @functools.wraps(original)
        def step(model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            self._give_up_if_cancelled()
            if self.total_steps is None:
                self._begin(pipeline)
            index = previews.step_index(scheduler, timestep)
            output = original(model_output, timestep, sample, *args, **kwargs)
            self._advance()
            if self._tape is not None and self.step in self._preview_steps:
                self._show(previews.estimate_clean(scheduler, index, model_output, timestep, sample))
            return output

        scheduler.step = step

    def _begin(self, pipeline: Any) -> None:
        # Pipelines that run only a part of the schedule (strength) say so in _num_timesteps.
        timesteps = getattr(pipeline.scheduler, "timesteps", ())
        self.total_steps = getattr(pipeline, "_num_timesteps", None) or len(timesteps)
        self._preview_steps = previews.preview_steps(self.sample.previews, self.total_steps)

    def _advance(self) -> None:
        self.step += 1
        self.total_steps = max(self.total_steps or 0, self.step)
        self.listener.progressed(self.step, self.total_steps)

    def _show(self, clean: torch.Tensor | None) -> None:
        """Decode ``clean`` by replaying this very call; a preview that cannot be made is left out."""
        if clean is None or self._tape is None:
            return
        index = self._preview_steps.index(self.step)
        self._replay = self._tape.replay()
        try:
            pipeline = self._own_copy()
            object.__setattr__(pipeline, "scheduler", previews.frozen_scheduler(pipeline.scheduler, clean))
            picture = self._call(pipeline, self._generator())
        except Exception:
            log.exception("no preview from %s", self.sample.pipeline)
            self._tape = None
            return
        finally:
            self._replay = None
        self.listener.previewed(index, picture)


def to_picture(images: Any) -> Picture:
    """The first picture of a pipeline's output, which nests lists where a pipeline draws layers or grids."""
    while isinstance(images, list | tuple) and images:
        images = images[0]
    if not isinstance(images, PIL.Image.Image):
        raise TypeError(f"the pipeline answered with {type(images).__name__}, not a picture")
    image = images if images.mode in ("RGB", "RGBA", "L") else images.convert("RGB")
    return Picture(cast(PixelMode, image.mode), Size(*image.size), image.tobytes())


def _number(value: object, default: int) -> int:
    return int(value) if isinstance(value, int | float) else default
