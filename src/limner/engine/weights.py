"""How large a model's weights are, found out from names, sizes and headers of files on this machine.

Reads no weights, asks no hub, imports no torch.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from limner.engine.probe import CONFIG, INDEX, Kind, Probe, safetensors_header
from limner.engine.sample import ModelSource

# Repositories keep copies in other formats and precisions, which are not loaded as well.
_VARIANT = re.compile(r"\.(fp16|bf16|fp8\w*|non_ema|ema)[.-]")  # also of shards: model.fp16-00001-of-00002.safetensors
_FORMATS = (".safetensors", ".bin")  # the first that a folder has is the one that is loaded


@dataclass(frozen=True, slots=True)
class Weights:
    """Files on this machine: how many bytes they have, and how many numbers, where their format tells it."""

    file_bytes: int
    parameters: int | None

    def in_memory_bytes(self, bytes_per_number: int) -> int:
        """What they take once loaded; as much as on disk where that cannot be known better."""
        return self.file_bytes if self.parameters is None else self.parameters * bytes_per_number


def on_disk(source: ModelSource, found: Probe) -> Weights | None:
    """The weights of a probed ``source``; None for a hub's model that would first have to be downloaded."""
    match found.kind:
        case Kind.SINGLE_FILE:
            assert found.path is not None
            return _sum([found.path])
        case Kind.DIRECTORY:
            return None if found.path is None else _sum(_weight_files(found.path))
        case Kind.HUB:
            snapshot = _snapshot(source)
            files = [] if snapshot is None else _weight_files(snapshot)
            return _sum(files) if files else None


def _snapshot(source: ModelSource) -> Path | None:
    """Where a hub's model lies in the cache, if anything of it does."""
    from huggingface_hub import try_to_load_from_cache

    files = (try_to_load_from_cache(source.source, name, revision=source.revision) for name in (INDEX, CONFIG))
    return next((Path(file).parent for file in files if isinstance(file, str)), None)


def _weight_files(folder: Path) -> list[Path]:
    """The files that a pipeline's components, or a model of transformers, are loaded from: one format each, without
    variants."""
    found: list[Path] = []
    is_whole = (folder / CONFIG).is_file() and not (folder / INDEX).is_file()
    for part in [folder] if is_whole else sorted(path for path in folder.iterdir() if path.is_dir()):
        by_format = ([f for f in sorted(part.glob(f"*{suffix}")) if not _VARIANT.search(f.name)] for suffix in _FORMATS)
        found += next((files for files in by_format if files), [])
    return found


def _sum(files: list[Path]) -> Weights:
    size = sum(file.stat().st_size for file in files)
    if any(file.suffix != ".safetensors" for file in files):
        return Weights(size, None)
    return Weights(size, sum(map(_numbers, files)))


def _numbers(file: Path) -> int:
    header = safetensors_header(file)
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
