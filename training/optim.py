"""The optimisers: Muon for matrices inside blocks, AdamW for everything else, and exponential averages of weights."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from training.team import Team


@torch.no_grad()
def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return the nearest semi-orthogonal matrix, by the quintic Newton-Schulz iteration of Muon (Jordan 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16() if matrix.numel() > 10_000 else matrix.float()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    result: Tensor = x.T if tall else x
    return result.float()


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised per matrix; convolutions are flattened. Update size matches AdamW's."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
                direction = orthogonalise(update) * (0.2 * max(update.shape) ** 0.5)
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.add_(direction.view_as(weight), alpha=-group["lr"])


class Optimisers:
    """Muon and AdamW side by side under one learning-rate schedule."""

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        is_matrix: Callable[[str, nn.Parameter], bool],
        *,
        muon_rate: float,
        adam_rate: float,
        decay: float = 0.0,
    ) -> None:
        self.params = [(name, p) for name, p in named if p.requires_grad]
        matrices = [p for name, p in self.params if is_matrix(name, p)]
        others = [p for name, p in self.params if not is_matrix(name, p)]
        self._rates = (muon_rate, adam_rate)
        self._both: tuple[torch.optim.Optimizer, ...] = (
            Muon(matrices, lr=muon_rate, decay=decay),
            torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.98), weight_decay=decay),
        )

    def step(self, loss: Tensor, factor: float, team: Team | None = None) -> None:
        """Go one step down `loss`, averaged over `team`, at `factor` times the base rates; gradients are clipped."""
        for optimiser, rate in zip(self._both, self._rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if team is not None:
            team.average([p.grad for _, p in self.params if p.grad is not None])
        nn.utils.clip_grad_norm_([p for _, p in self.params], 1.0)
        for optimiser in self._both:
            optimiser.step()

    def tensors(self) -> dict[str, Tensor]:
        """Return all moments by parameter name, in bf16 (step counts in float32)."""
        found: dict[str, Tensor] = {}
        for name, p in self.params:
            for optimiser in self._both:
                for key, value in optimiser.state.get(p, {}).items():
                    tensor = torch.as_tensor(value)
                    found[f"{name}@{key}"] = tensor.to(torch.bfloat16) if tensor.ndim else tensor.float()
        return found

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `tensors` returned."""
        names: dict[str, nn.Parameter] = dict(self.params)
        for full, value in tensors.items():
            name, key = full.rsplit("@", 1)
            p = names[name]
            owner = next(o for o in self._both if any(p is q for g in o.param_groups for q in g["params"]))
            state: dict[str, Any] = owner.state[p]
            state[key] = value.float().to(p.device) if value.ndim else value.float()


class Average:
    """Exponential moving average of a module's weights, with a warm-up so that early averages are not stale."""

    def __init__(self, module: nn.Module, longest: float) -> None:
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self._longest = longest

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the average towards `module` after its `step`-th update."""
        keep = min(self._longest, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.dtype.is_floating_point:
                self.weights[name].lerp_(value, 1 - keep)
            else:
                self.weights[name].copy_(value)


def schedule(step: int, progress: float, *, warm_steps: int, decay_share: float, floor: float) -> float:
    """Return the learning-rate factor: linear warm-up, flat, then linear decay over the last `decay_share` of time."""
    warm = min(1.0, (step + 1) / warm_steps)
    return warm * (1.0 if progress < 1 - decay_share else max(floor, (1 - progress) / decay_share))
