"""Checkpoints: a folder of safetensors files (each well under 16 MB) and a `state.json`, replaced by renames."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

Parts = dict[str, dict[str, Tensor]]


def save(folder: Path, parts: Parts, state: dict[str, Any]) -> None:
    """Write every part of `parts` to its own file, then `state`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, tensors in parts.items():
        beside = folder / f".{name}.new"
        save_file({key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}, beside)
        beside.replace(folder / f"{name}.safetensors")
    beside = folder / ".state.new"
    beside.write_text(json.dumps(state))
    beside.replace(folder / "state.json")


def load(folder: Path) -> tuple[Parts, dict[str, Any]]:
    """Return the parts and state written by `save`; FileNotFoundError when there is no checkpoint."""
    state: dict[str, Any] = json.loads((folder / "state.json").read_text())
    return {path.stem: load_file(path) for path in sorted(folder.glob("*.safetensors"))}, state


def exists(folder: Path) -> bool:
    """Tell whether `folder` holds a whole checkpoint."""
    return (folder / "state.json").exists()
