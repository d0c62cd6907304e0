"""Making a pipeline's modules fast on a CPU, with the same float32 results up to the order of summation.

MKL, which torch uses for float32 products, keeps to AVX2 on processors that are not Intel's; oneDNN uses what the
processor has (AMD EPYC with AVX-512: 2.2 times the throughput on our shapes). Weights are reordered once, at load.
"""

import functools
from collections.abc import Iterable

import torch

MAX_WEIGHT_BYTES = 2 * 1024**3  # reordered weights are copies, so that large models would not fit twice


def tune(modules: Iterable[torch.nn.Module]) -> None:
    """Let oneDNN run the linear layers and convolutions of these float32 modules; does nothing where it is missing."""
    found = list(modules)
    size = sum(p.numel() * p.element_size() for module in found for p in module.parameters())
    if not _can_reorder() or size > MAX_WEIGHT_BYTES:
        return
    for layer in (layer for module in found for layer in module.modules()):
        if type(layer) is torch.nn.Conv2d:
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        elif type(layer) is torch.nn.Linear and layer.weight.dtype is torch.float32:
            packed = _reordered(layer.weight)
            layer.forward = functools.partial(_linear, layer, packed)  # type: ignore[method-assign]


def _can_reorder() -> bool:
    """Whether this build of torch has oneDNN and the two operators, which are not part of its public interface."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and all(
        hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    )


def _reordered(weight: torch.Tensor) -> torch.Tensor:
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
    return packed


def _linear(layer: torch.nn.Linear, packed: torch.Tensor, input: torch.Tensor) -> torch.Tensor:
    if input.dtype is not torch.float32 or torch.is_grad_enabled() or not input.numel():
        return torch.nn.functional.linear(input, layer.weight, layer.bias)
    output: torch.Tensor = torch.ops.mkldnn._linear_pointwise(input, packed, layer.bias, "none", [], "")
    return output
