"""Partial pictures, decoded exactly as the pipeline itself decodes its last latents.

At a preview's step the clean latents are estimated, and the same pipeline call is replayed: encoders and denoisers
answer from a tape of the real run, the scheduler's step returns the estimate, and only the decoder really works. No
family needs code of its own for this. Owns the tape, the estimate and the stand-in scheduler.
"""

import copy
import functools
from collections import defaultdict
from collections.abc import Hashable, Sequence
from types import SimpleNamespace
from typing import Any

import torch

MISSING = object()


class Tape:
    """What encoders answered in order, and what each denoiser answered last. ``nested`` calls are not recorded: on
    replay the call around them is answered at once."""

    def __init__(self) -> None:
        self._encoded: dict[Hashable, list[Any]] = defaultdict(list)
        self._denoised: dict[Hashable, Any] = {}

    def encoded(self, point: Hashable, output: Any) -> None:
        """Keep an encoder's next answer."""
        self._encoded[point].append(output)

    def denoised(self, point: Hashable, output: Any) -> None:
        """Keep a denoiser's latest answer: its shape is what the replay needs."""
        self._denoised[point] = output

    def replay(self) -> "Replay":
        """A reader that starts at the beginning."""
        return Replay(self._encoded, self._denoised)


class Replay:
    """Answers calls from a tape; MISSING where the real thing must run."""

    def __init__(self, encoded: dict[Hashable, list[Any]], denoised: dict[Hashable, Any]) -> None:
        self._encoded = {point: iter(outputs) for point, outputs in encoded.items()}
        self._denoised = denoised

    def answer(self, point: Hashable) -> Any:
        """The recorded answer to the next call of ``point``."""
        if point in self._denoised:
            return self._denoised[point]
        return next(self._encoded.get(point, iter(())), MISSING)


def preview_steps(count: int, total_steps: int) -> list[int]:
    """After which steps (1-based) to show ``count`` previews: evenly spread, never after the last step."""
    steps = {max(1, round(total_steps * (i + 1) / (count + 1))) for i in range(count)}
    return sorted(step for step in steps if step < total_steps)


def estimate_clean(
    scheduler: Any, index: int, velocity: torch.Tensor, timestep: Any, latents: torch.Tensor
) -> torch.Tensor | None:
    """The clean latents that the model's output at one step points to, shaped like ``latents``; None if unknown.

    ``index`` is the step's position in the scheduler's sigmas. Flow matching: x0 = x - sigma * v (Lipman et al. 2023).
    Otherwise x0 from the noise level in ``alphas_cumprod`` (Ho et al. 2020) or, for schedulers in sigma space,
    x0 = x - sigma * eps (Karras et al. 2022).
    """
    output, x = velocity.float(), latents.float()
    sigma: torch.Tensor
    alpha: torch.Tensor
    if velocity.shape != latents.shape:
        return None
    if "FlowMatch" in type(scheduler).__name__ or getattr(scheduler.config, "use_flow_sigmas", False):
        sigma = scheduler.sigmas[index].to(x)
        return x - sigma * output
    kind = getattr(scheduler.config, "prediction_type", "epsilon")
    if kind == "sample":
        return output
    if type(scheduler).__name__.startswith(("Euler", "Heun", "LMS", "KDPM2", "DPMSolverSDE")):
        sigma = scheduler.sigmas[index].to(x)
        if kind == "v_prediction":
            return output * (-sigma / (sigma**2 + 1) ** 0.5) + x / (sigma**2 + 1)
        return x - sigma * output
    if not hasattr(scheduler, "alphas_cumprod"):
        return None
    step = min(max(int(timestep), 0), len(scheduler.alphas_cumprod) - 1)
    alpha = scheduler.alphas_cumprod[step].to(x)
    if kind == "v_prediction":
        return alpha**0.5 * x - (1 - alpha) ** 0.5 * output
    return (x - (1 - alpha) ** 0.5 * output) / alpha**0.5


def frozen_scheduler(pristine: Any, clean: torch.Tensor) -> Any:
    """A copy of ``pristine`` whose every step answers ``clean``: the loop ends with it whatever the denoiser says."""
    scheduler = copy.deepcopy(pristine)
    original = scheduler.step

    @functools.wraps(original)
    def step(
        model_output: Any, timestep: Any, sample: torch.Tensor, *_: Any, return_dict: bool = True, **__: Any
    ) -> Any:
        answer = clean.to(device=sample.device, dtype=sample.dtype)
        if return_dict:
            return SimpleNamespace(prev_sample=answer, pred_original_sample=answer)
        return (answer,)

    scheduler.step = step
    return scheduler


def step_index(scheduler: Any, timestep: Any) -> int:
    """Where ``timestep`` stands in the scheduler's sigmas before its step is taken."""
    index = getattr(scheduler, "step_index", None)
    if index is not None:
        return int(index)
    begin = getattr(scheduler, "begin_index", None)
    if begin is not None:
        return int(begin)
    timesteps: Sequence[Any] = getattr(scheduler, "timesteps", ())
    return next((i for i, t in enumerate(timesteps) if float(t) == float(timestep)), 0)
