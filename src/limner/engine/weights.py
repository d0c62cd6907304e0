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


def variant_of(folder: Path) -> str | None:
    """The variant, such as fp16, that the pipeline in ``folder`` is loaded in: a part of it is there in no other form.
    None where every part is there in its plain form."""
    return min((variant for part in _parts(folder) if (variant := _weights_in(part)[0])), default=None)


def _weight_files(folder: Path) -> list[Path]:
    """The files that a pipeline's components, or a model of transformers, are loaded from: one format each."""
    return [file for part in _parts(folder) for file in _weights_in(part)[1]]


def _parts(folder: Path) -> list[Path]:
    is_whole = (folder / CONFIG).is_file() and not (folder / INDEX).is_file()
    return [folder] if is_whole else sorted(path for path in folder.iterdir() if path.is_dir())


def _weights_in(part: Path) -> tuple[str, list[Path]]:
    """A component's variant, "" where it is there in its plain form, and its files."""
    files = sorted(file for file in part.iterdir() if file.suffix in _FORMATS)
    variants = {file: found[1] if (found := _VARIANT.search(file.name)) else "" for file in files}
    chosen = min(variants.values(), default="")
    alike = [file for file in files if variants[file] == chosen]
    return chosen, next((of for form in _FORMATS if (of := [file for file in alike if file.suffix == form])), [])


def _sum(files: list[Path]) -> Weights:
    size = sum(file.stat().st_size for file in files)
    if any(file.suffix != ".safetensors" for file in files):
        return Weights(size, None)
    return Weights(size, sum(map(_numbers, files)))


def _numbers(file: Path) -> int:
    header = safetensors_header(file)
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
