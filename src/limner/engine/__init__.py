"""Draws pictures on this machine: unmodified diffusers pipelines, batched at every denoising step.

Owns models, devices and threads; knows no HTTP, no catalogue and no asyncio. The values below are light; `Engine`
brings torch along and is imported on first use.
"""

from typing import TYPE_CHECKING

from limner.engine.probe import Probe, probe
from limner.engine.sample import (
    EMBEDDED_PREFIX,
    Cancelled,
    EngineSettings,
    Listener,
    LoadedModel,
    ModelSource,
    Result,
    Sample,
    Ticket,
    Timings,
)
from limner.engine.stats import EngineStats

if TYPE_CHECKING:
    from limner.engine.engine import Engine

__all__ = [
    "EMBEDDED_PREFIX",
    "Cancelled",
    "Engine",
    "EngineSettings",
    "EngineStats",
    "Listener",
    "LoadedModel",
    "ModelSource",
    "Probe",
    "Result",
    "Sample",
    "Ticket",
    "Timings",
    "probe",
]


def __getattr__(name: str) -> object:
    if name == "Engine":
        from limner.engine.engine import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
