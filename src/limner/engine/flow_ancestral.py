"""Ancestral sampling for models of flow matching, which diffusers lacks: Euler steps that draw their noise anew.

Owns that one scheduler. It is made by limner.engine.samplers.
"""

from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteSchedulerOutput
from diffusers.utils.torch_utils import randn_tensor

RENEWED_ABOVE = 0.7
"""Noise level down to which noise is drawn anew. Below it a picture's contours are settled, and within the few steps
that are left new noise would smudge them."""


class FlowMatchEulerAncestralScheduler(FlowMatchEulerDiscreteScheduler):  # type: ignore[misc]  # untyped
    """Euler's steps; after those from above `RENEWED_ABOVE` the predicted noise is replaced by new noise of the same
    level.

    A model is wrong about early steps most: what stands where is chosen then, and a blend of two choices is carried to
    the end by the noise that made it. Sampling a stochastic equation with the same marginals forgets such errors
    (Karras et al. 2022, section 4, whose S_tmin is `RENEWED_ABOVE`).
    """

    def step(
        self,
        model_output: torch.Tensor,
        timestep: Any,
        sample: torch.Tensor,
        *,
        generator: torch.Generator | list[torch.Generator] | None = None,
        return_dict: bool = True,
    ) -> Any:
        """Take one step; shapes and results as in diffusers, ``generator`` on a CPU makes the new noise."""
        (stepped,) = super().step(model_output, timestep, sample, return_dict=False)
        sigma, following = self.sigmas[self.step_index - 1], self.sigmas[self.step_index]
        if sigma > RENEWED_ABOVE:
            noise = randn_tensor(sample.shape, generator=generator, device=sample.device, dtype=torch.float32)
            predicted = sample.float() + (1 - sigma) * model_output.float()
            stepped = (stepped.float() + following * (noise - predicted)).to(stepped.dtype)
        return (stepped,) if not return_dict else FlowMatchEulerDiscreteSchedulerOutput(prev_sample=stepped)
