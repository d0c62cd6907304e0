"""Samplers by the names that people know them by: which scheduler of diffusers each is, and with what options.

Owns those tables, one for models of noise schedules and one for flow matching. A sampler replaces the scheduler of one
sample's pipeline; betas, shift and prediction type stay the model's. Imports no torch before a scheduler is made.
"""

import functools
import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from limner.errors import InvalidRequest

_KARRAS: Mapping[str, object] = {"use_karras_sigmas": True}
_EXPONENTIAL: Mapping[str, object] = {"use_exponential_sigmas": True}
_TRAILING: Mapping[str, object] = {"timestep_spacing": "trailing"}
_SDE: Mapping[str, object] = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}
_SDE_HEUN: Mapping[str, object] = {**_SDE, "solver_type": "heun"}
_SDE_3: Mapping[str, object] = {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}
_SINGLE: Mapping[str, object] = {**_SDE, "lower_order_final": True}
# What a sampler's name says, and no checkpoint: its schedule. diffusers refuses two at once.
_SCHEDULES = frozenset({"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"})

# Name, scheduler class, options, and the schedules (the name's second part) that it can have.
_TABLE: tuple[tuple[str, str, Mapping[str, object], Mapping[str, Mapping[str, object]]], ...] = (
    ("Euler", "EulerDiscreteScheduler", {}, {"Karras": _KARRAS, "SGM Uniform": _TRAILING}),
    ("Euler a", "EulerAncestralDiscreteScheduler", {}, {"SGM Uniform": _TRAILING}),
    ("Heun", "HeunDiscreteScheduler", {}, {"Karras": _KARRAS}),
    ("DPM2", "KDPM2DiscreteScheduler", {}, {"Karras": _KARRAS}),
    ("DPM2 a", "KDPM2AncestralDiscreteScheduler", {}, {"Karras": _KARRAS}),
    (
        "DPM++ 2M",
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "solver_order": 2},
        {"Karras": _KARRAS, "Exponential": _EXPONENTIAL, "SGM Uniform": _TRAILING},
    ),
    ("DPM++ SDE", "DPMSolverSinglestepScheduler", _SINGLE, {"Karras": _KARRAS}),
    ("DPM++ 2M SDE", "DPMSolverMultistepScheduler", _SDE, {"Karras": _KARRAS, "Exponential": _EXPONENTIAL}),
    ("DPM++ 2M SDE Heun", "DPMSolverMultistepScheduler", _SDE_HEUN, {"Karras": _KARRAS, "Exponential": _EXPONENTIAL}),
    ("DPM++ 3M SDE", "DPMSolverMultistepScheduler", _SDE_3, {"Karras": _KARRAS, "Exponential": _EXPONENTIAL}),
    ("DDIM", "DDIMScheduler", {"clip_sample": False}, {}),
    ("PLMS", "PNDMScheduler", {"skip_prk_steps": True}, {}),
    ("UniPC", "UniPCMultistepScheduler", {}, {"Karras": _KARRAS}),
    ("LCM", "LCMScheduler", {}, {}),
)
SAMPLERS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    f"{name} {schedule}".rstrip(): (class_name, {**options, **more})
    for name, class_name, options, schedules in _TABLE
    for schedule, more in {"": {}, **schedules}.items()
}


# Name -> the module and class of its scheduler.
FLOW_SAMPLERS: Mapping[str, tuple[str, str]] = {
    "Euler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
    "Euler a": ("limner.engine.flow_ancestral", "FlowMatchEulerAncestralScheduler"),
}


def check_sampler(name: str, own: Any) -> None:
    """Raise InvalidRequest for a sampler that is in no table, or that a model with the scheduler ``own`` cannot use:
    flow matching has no noise schedule of betas, and few schedulers know its own."""
    if name not in SAMPLERS:
        raise InvalidRequest(f"no sampler {name!r}; there are: {', '.join(SAMPLERS)}", param="sampler")
    able = _samplers_for(own)
    if name not in able:
        told = f"flow matching, as {type(own).__name__} does it, has {', '.join(able)}"
        raise InvalidRequest(f"sampler {name!r} cannot be used: {told}", param="sampler")
    if not _flows(own) and "beta_schedule" not in getattr(own, "config", {}):
        raise InvalidRequest(
            f"sampler {name!r} cannot be used: the model has its own, {type(own).__name__}", param="sampler"
        )


def scheduler_for(name: str, own: Any) -> Any:
    """A new scheduler for the sampler ``name``, set up as the model's ``own`` is. Raises as `check_sampler` does."""
    check_sampler(name, own)
    if _flows(own):
        module, class_name = FLOW_SAMPLERS[name]
        cls: Any = getattr(importlib.import_module(module), class_name)
        return cls.from_config(own.config, stochastic_sampling=False)  # the sampler alone says what noise is drawn
    import diffusers

    class_name, options = SAMPLERS[name]
    cls = getattr(diffusers, class_name)
    takes = _parameters(cls)
    # What the class does not have is left out: diffusers would log a warning about each of it. Keys that begin with an
    # underscore say which values are only defaults of the model's own scheduler class.
    kept = (takes.keys() - _SCHEDULES) | {key for key in own.config if key.startswith("_")}
    config = {key: value for key, value in own.config.items() if key in kept}
    return cls.from_config(config, **options)


def seed_noise(scheduler: Any, generator: Any) -> None:
    """Let ``scheduler`` draw new noise from ``generator`` (one of torch's, or a list of one for each picture) where
    its pipeline passes none: pipelines of flow matching do not, and the global one knows no seeds."""
    if "generator" in inspect.signature(scheduler.step).parameters:
        scheduler.step = functools.partial(scheduler.step, generator=generator)


def _samplers_for(own: Any) -> Sequence[str]:
    """Names of the samplers that go with the scheduler ``own``. Where a scheduler of noise schedules is set up for flow
    matching, classes that can be set up so too are left, and of those the names that say no schedule."""
    if _flows(own):
        return tuple(FLOW_SAMPLERS)
    if not getattr(own, "config", {}).get("use_flow_sigmas"):
        return tuple(SAMPLERS)
    import diffusers

    plain = (name for name, _, _, _ in _TABLE)
    return tuple(name for name in plain if "use_flow_sigmas" in _parameters(getattr(diffusers, SAMPLERS[name][0])))


def _parameters(cls: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(cls.__init__).parameters


def _flows(own: Any) -> bool:
    return type(own).__name__ == "FlowMatchEulerDiscreteScheduler"
