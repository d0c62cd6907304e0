"""Several training processes that take every step together: gradients are averaged, the first decides when to stop."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn


@dataclass(frozen=True, slots=True)
class Team:
    """This process's place among `size` processes."""

    rank: int = 0
    size: int = 1

    def average(self, tensors: list[Tensor]) -> None:
        """Replace every tensor by its mean over the team, in place; all processes must call it alike."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def agree(self, minutes: float, stop: bool) -> tuple[float, bool]:
        """Return the first process's minutes, and whether any process wants to stop."""
        if self.size == 1:
            return minutes, stop
        words = torch.tensor([minutes if self.rank == 0 else 0.0, float(stop)], dtype=torch.float64)
        dist.all_reduce(words)
        return float(words[0]), bool(words[1] > 0)


def run_team(size: int, work: Callable[[Team], None]) -> None:
    """Call `work` in `size` processes that can talk to each other; in this process when `size` is 1.

    `work` must be picklable.
    """
    if size == 1:
        work(Team())
        return
    with tempfile.TemporaryDirectory() as folder:
        spawn(_member, args=(size, str(Path(folder) / "meet"), work), nprocs=size)  # type: ignore[no-untyped-call]


def _member(rank: int, size: int, meeting: str, work: Callable[[Team], None]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    work(Team(rank, size))
    dist.destroy_process_group()
