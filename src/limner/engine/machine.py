"""What this machine offers for drawing, for people who ask: torch, the device that the settings mean, its memory.

Probes hardware when called, and loads nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from limner.engine.devices import resolve
from limner.engine.sample import EngineSettings

_NVIDIA = Path("/proc/driver/nvidia/version")  # there with the driver, whatever torch is built for
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
KIB = 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """``torch_cuda`` is the CUDA that torch was built for; ``free_bytes`` and ``total_bytes`` are the device's memory
    (a CPU's: the machine's), None where nobody tells."""

    torch: str
    torch_cuda: str | None
    has_nvidia_driver: bool
    device: str
    device_name: str
    bytes_per_number: int
    free_bytes: int | None
    total_bytes: int | None


def machine(settings: EngineSettings) -> Machine:
    """Look at this machine. Raises InvalidRequest for a device it lacks."""
    device = resolve(settings)
    memory = device.memory_bytes()
    free, total = memory.get("free"), memory.get("total")
    if device.name == "cpu":
        free, total = main_memory()
    return Machine(
        torch=torch.__version__,
        torch_cuda=torch.version.cuda,
        has_nvidia_driver=_NVIDIA.exists(),
        device=device.name,
        device_name=torch.cuda.get_device_name(device.name) if device.name.startswith("cuda") else device.name.upper(),
        bytes_per_number=device.dtype.itemsize,
        free_bytes=free,
        total_bytes=total,
    )


def main_memory(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> tuple[int | None, int | None]:
    """Free and total bytes of main memory on Linux, within the container's limit; None elsewhere."""
    if not meminfo.exists():
        return None, None
    fields = dict(line.split(":", 1) for line in meminfo.read_text("ascii").splitlines())
    free, total = (int(fields[name].split()[0]) * KIB for name in ("MemAvailable", "MemTotal"))
    limit = _number(cgroup / "memory.max")
    if limit is None or limit >= total:
        return free, total
    return max(0, min(free, limit - (_number(cgroup / "memory.current") or 0))), limit


def _number(file: Path) -> int | None:
    text = file.read_text("ascii").strip() if file.exists() else ""
    return int(text) if text.isdigit() else None
