"""Which device, number type and number of executors the settings mean on this machine.

Owns that translation; probes hardware only when called.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from limner.engine.sample import EngineSettings
from limner.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Device:
    """A device and how it is used: weights' type, executors, and processor threads of each."""

    name: str
    dtype: torch.dtype
    lanes: int
    threads: int

    def synchronize(self) -> None:
        """Wait for the device, so that elapsed time is device time and its errors surface where they belong."""
        if self.name.startswith("cuda"):
            torch.cuda.synchronize(self.name)

    def memory_bytes(self) -> Mapping[str, int]:
        """What torch has allocated and reserved there, and what is free and there at all; nothing of a CPU."""
        if self.name == "mps":
            return {
                "allocated": torch.mps.current_allocated_memory(),
                "reserved": torch.mps.driver_allocated_memory(),
                "total": torch.mps.recommended_max_memory(),
            }
        if not self.name.startswith("cuda"):
            return {}
        free, total = torch.cuda.mem_get_info(self.name)
        allocated, reserved = torch.cuda.memory_allocated(self.name), torch.cuda.memory_reserved(self.name)
        return {"allocated": allocated, "reserved": reserved, "free": free, "total": total}


def resolve(settings: EngineSettings) -> Device:
    """The device that ``settings`` mean here; raises InvalidRequest for one this machine lacks."""
    name = _name(settings.device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    lanes = (settings.lanes or cores) if name == "cpu" else 1
    return Device(name, _dtype(settings.dtype, name), lanes, settings.threads or max(1, cores // lanes))


def prepare_thread(device: Device, threads: int) -> None:
    """Set up the calling thread for work on ``device``; torch keeps all of this per thread.

    Threads that ask nothing afterwards inherit ``threads`` as their number of processor threads.
    """
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    if device.name.startswith("cuda:"):
        torch.cuda.set_device(device.name)


def free_memory() -> None:
    """Give memory that torch only keeps in reserve back to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _name(asked: str) -> str:
    kind = asked.partition(":")[0]
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available.get(kind, False):
        here = ", ".join(name for name, there in available.items() if there)
        raise InvalidRequest(f"device {asked!r} is not available; this machine has: {here}", param="device")
    return asked


def _dtype(asked: str, device: str) -> torch.dtype:
    if asked == "auto":
        return torch.bfloat16 if device.startswith("cuda") else torch.float32
    by_name = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return by_name[asked]
