"""How several calls of one denoiser become one call, and its output several outputs again.

Owns the table of families and the rules it is written in; knows no threads, no pipelines and no policy. What a rule
does not cover gets a key of its own and so runs alone, which is always correct.
"""

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import chain
from typing import Any

import torch

Arguments = dict[str, Any]  # a forward's arguments by name: foreign values, inspected here and nowhere else
Fingerprint = Callable[[torch.Tensor], int]


class Rule(Enum):
    """What happens to one forward argument when calls merge."""

    ROWS = auto()  # tensor (B, ...): concatenated
    SCALARS = auto()  # number, () or (1,) or (B,): one value per row
    PADDED = auto()  # tensor (B, L, ...): padded to the longest L, with a mask (B, L)
    ITEMS = auto()  # list of B per-row items: joined
    SHARED = auto()  # tensor the whole batch uses: must be equal by value
    MAPPING = auto()  # dict of tensors (B, ...)
    RESIDUALS = auto()  # list or tuple of tensors (B, ...)


@dataclass(frozen=True, slots=True)
class Family:
    """One denoiser class. ``batch`` names the argument whose rows count; ``masks`` maps a padded argument to its mask;
    ``ragged_output`` marks a forward that answers with one list item per row."""

    batch: str
    rules: Mapping[str, Rule]
    masks: Mapping[str, str] = field(default_factory=dict)
    ragged_output: bool = False


def _family(batch: str, *, ragged_output: bool = False, masks: Mapping[str, str] | None = None, **rules: str) -> Family:
    named = {name: Rule[rule.upper()] for rule, names in rules.items() for name in names.split()}
    return Family(batch, named, masks or {}, ragged_output)


FAMILIES: Mapping[str, Family] = {
    "QwenImageTransformer2DModel": _family(
        "hidden_states",
        rows="hidden_states additional_t_cond",
        scalars="timestep guidance",
        padded="encoder_hidden_states",
        items="img_shapes",
        residuals="controlnet_block_samples",
        masks={"encoder_hidden_states": "encoder_hidden_states_mask"},
    ),
    "ZImageTransformer2DModel": _family(
        "x", items="x cap_feats siglip_feats image_noise_mask", scalars="t", ragged_output=True
    ),
    "FluxTransformer2DModel": _family(
        "hidden_states",
        rows="hidden_states encoder_hidden_states pooled_projections",
        scalars="timestep guidance",
        shared="img_ids txt_ids",
        residuals="controlnet_block_samples controlnet_single_block_samples",
    ),
    "Flux2Transformer2DModel": _family(
        "hidden_states",
        rows="hidden_states encoder_hidden_states",
        scalars="timestep guidance",
        shared="img_ids txt_ids",
    ),
    "SD3Transformer2DModel": _family(
        "hidden_states",
        rows="hidden_states encoder_hidden_states pooled_projections",
        scalars="timestep",
        residuals="block_controlnet_hidden_states",
    ),
    "UNet2DConditionModel": _family(
        "sample",
        rows="sample encoder_hidden_states timestep_cond mid_block_additional_residual",
        scalars="timestep",
        mapping="added_cond_kwargs",
        residuals="down_block_additional_residuals",
    ),
    "ControlNetModel": _family(
        "sample",
        rows="sample encoder_hidden_states controlnet_cond timestep_cond",
        scalars="timestep",
        mapping="added_cond_kwargs",
    ),
    "QwenImageControlNetModel": _family(
        "hidden_states",
        rows="hidden_states controlnet_cond",
        scalars="timestep",
        padded="encoder_hidden_states",
        items="img_shapes",
        masks={"encoder_hidden_states": "encoder_hidden_states_mask"},
    ),
}

_SCALAR_NAMES = frozenset({"timestep", "t", "timesteps", "guidance", "timestep_r"})


def guess_family(names: Sequence[str]) -> Family:
    """A family for a denoiser that the table does not know: the first argument counts rows, names ending in ``_ids``
    are shared, the usual scalars are scalars and every other tensor is rows. The canary has the last word."""
    rules = {name: Rule.SHARED if name.endswith("_ids") else Rule.ROWS for name in names}
    rules |= {name: Rule.SCALARS for name in names if name in _SCALAR_NAMES}
    return Family(names[0], rules)


class Alone:
    """The key, or a part of it, of a call that merges with no other: equal to nothing but itself."""


class Collator:
    """Binds, compares, merges and splits the calls of one module."""

    def __init__(self, module: torch.nn.Module) -> None:
        parameters = list(inspect.signature(type(module).forward).parameters.values())[1:]
        self.names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD or p.kind is p.KEYWORD_ONLY]
        known = FAMILIES.get(type(module).__name__)
        self.is_known = known is not None
        self.family = known or guess_family(self.names)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
        """All arguments by name."""
        return {**dict(zip(self.names, args, strict=False)), **kwargs}

    def rows(self, arguments: Arguments) -> int:
        """How many rows this call has (2 where a pipeline doubles its batch for guidance)."""
        batch = arguments[self.family.batch]
        return len(batch) if isinstance(batch, list | tuple) else int(batch.shape[0])

    def key(self, arguments: Arguments, fingerprint: Fingerprint) -> Hashable:
        """Calls with equal keys may be merged. ``fingerprint`` hashes a tensor's values (it may synchronise)."""
        rows = self.rows(arguments)
        masks = set(self.family.masks.values())
        parts = {
            name: self._part(name, value, rows, fingerprint)
            for name, value in sorted(arguments.items())
            if name not in masks
        }
        return next((part for part in parts.values() if isinstance(part, Alone)), tuple(parts.items()))

    def _part(self, name: str, value: Any, rows: int, fingerprint: Fingerprint) -> Hashable:
        rule = self.family.rules.get(name)
        if rule is Rule.SCALARS and value is not None:
            return _scalar(value, rows)
        if value is None or isinstance(value, bool | int | float | str):
            return repr(value)
        match rule, value:
            case Rule.ROWS, torch.Tensor() if value.ndim and value.shape[0] == rows:
                return _trailing(value, 1)
            case Rule.ROWS | Rule.SHARED, torch.Tensor():
                return fingerprint(value)
            case Rule.PADDED, torch.Tensor():
                return _trailing(value, 2)
            case Rule.ITEMS, list() if len(value) == rows:
                return self._items(name, value)
            case Rule.MAPPING, dict() if all(
                isinstance(v, torch.Tensor) and v.shape[0] == rows for v in value.values()
            ):
                return tuple((k, _trailing(v, 1)) for k, v in sorted(value.items()))
            case Rule.RESIDUALS, list() | tuple() if all(v.shape[0] == rows for v in value):
                return tuple(_trailing(v, 1) for v in value)
            case _, dict() if all(map(_is_plain, value.values())):
                return repr(sorted(value.items()))
        return Alone()

    def _items(self, name: str, value: list[Any]) -> Hashable:
        if not all(isinstance(item, torch.Tensor) for item in value):
            # Plain values such as img_shapes: models read the first row's only, so every row's must be the same.
            return repr(value[0]) if all(map(_is_plain, value)) and value.count(value[0]) == len(value) else Alone()
        if name == self.family.batch:
            shapes = {tuple(item.shape) for item in value}
            return (shapes.pop(), str(value[0].dtype)) if len(shapes) == 1 else Alone()
        return _trailing(value[0], 1)

    def merge(self, calls: Sequence[Arguments]) -> Arguments:
        """One call out of several with equal keys, rows in order."""
        counts = [self.rows(call) for call in calls]
        merged = dict(calls[0])
        for name in calls[0]:
            values = [call[name] for call in calls]
            rule = self.family.rules.get(name)
            if values[0] is None:
                continue
            match rule:
                case Rule.SCALARS:
                    merged[name] = _per_row(values, counts, calls[0][self.family.batch])
                case Rule.ROWS if isinstance(values[0], torch.Tensor) and values[0].shape[:1] == (counts[0],):
                    merged[name] = torch.cat(values)
                case Rule.PADDED:
                    mask = self.family.masks[name]
                    merged[name], merged[mask] = _pad(values, [call.get(mask) for call in calls])
                case Rule.ITEMS if isinstance(values[0], list):
                    merged[name] = list(chain.from_iterable(values))
                case Rule.MAPPING if isinstance(values[0], dict):
                    merged[name] = {key: torch.cat([value[key] for value in values]) for key in values[0]}
                case Rule.RESIDUALS if isinstance(values[0], list | tuple):
                    merged[name] = type(values[0])(torch.cat(parts) for parts in zip(*values, strict=True))
        return merged

    def split(self, output: Any, counts: Sequence[int]) -> list[Any]:
        """The inverse for outputs: tensors by rows, containers element by element."""
        if isinstance(output, torch.Tensor):
            return list(torch.split(output, list(counts)))
        if output is None:
            return [None] * len(counts)
        if isinstance(output, list) and self.family.ragged_output:
            items = iter(output)
            return [[next(items) for _ in range(count)] for count in counts]
        if isinstance(output, list | tuple):
            parts = [self.split(item, counts) for item in output]
            return [type(output)(part[i] for part in parts) for i in range(len(counts))]
        if isinstance(output, Mapping):
            fields = {key: self.split(value, counts) for key, value in output.items()}
            return [type(output)(**{key: value[i] for key, value in fields.items()}) for i in range(len(counts))]
        raise TypeError(f"cannot split a {type(output).__name__}")


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def _scalar(value: Any, rows: int) -> Hashable:
    if isinstance(value, torch.Tensor):
        return str(value.dtype) if value.ndim < 2 and value.numel() in (1, rows) else Alone()
    return type(value).__name__ if isinstance(value, int | float) else Alone()


def _trailing(tensor: torch.Tensor, dims: int) -> Hashable:
    return (tuple(tensor.shape[dims:]), str(tensor.dtype), str(tensor.device))


def _per_row(values: Sequence[Any], counts: Sequence[int], batch: Any) -> torch.Tensor:
    """Numbers, () or (1,) or (B,) tensors -> (sum of B,), on the batch's device."""
    device = batch[0].device if isinstance(batch, list | tuple) else batch.device
    vectors = [torch.as_tensor(value, device=device).reshape(-1) for value in values]
    return torch.cat([v.expand(n) if v.numel() == 1 else v for v, n in zip(vectors, counts, strict=True)])


def _pad(texts: Sequence[torch.Tensor], masks: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(B, L, D) with (B, L) or no mask -> (sum of B, longest L, D) and its bool mask, None where nothing is masked."""
    longest = max(text.shape[1] for text in texts)
    if all(mask is None for mask in masks) and all(text.shape[1] == longest for text in texts):
        return torch.cat(list(texts)), None
    padded, masked = [], []
    for text, mask in zip(texts, masks, strict=True):
        ones = torch.ones(text.shape[:2], dtype=torch.bool, device=text.device)
        missing = longest - text.shape[1]
        padded.append(torch.nn.functional.pad(text, (0, 0, 0, missing)))
        masked.append(torch.nn.functional.pad(ones if mask is None else mask.bool(), (0, missing)))
    return torch.cat(padded), torch.cat(masked)
