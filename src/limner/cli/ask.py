"""What a user asks for and what comes back, the same with a server and without one.

Owns those values, reading input files, and which names and formats the written files get.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from limner.core import ImageFormat, Warning
from limner.errors import InvalidRequest

FORMAT_OF_SUFFIX: Mapping[str, ImageFormat] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
STDOUT = Path("-")
DEFAULT_NAMES: Mapping[ImageFormat, str] = {"png": "limner.png", "jpeg": "limner.jpg", "webp": "limner.webp"}


@dataclass(frozen=True, slots=True)
class InputFile:
    """A picture file as it lies on disk."""

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ask:
    """One command's request. None means not said: the model's default. With ``images`` it is an edit."""

    prompt: str
    images: tuple[InputFile, ...] = ()
    mask: InputFile | None = None
    n: int = 1
    model: str | None = None
    size: str | None = None
    seed: int | None = None
    params: Mapping[str, int | float | str] = field(default_factory=dict)
    timeout_s: float | None = None
    format: ImageFormat = "png"


@dataclass(frozen=True, slots=True)
class Where:
    """Who draws: the server at this URL, or this process when it is None."""

    server: str | None = None
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Drawn:
    """The finished files in seed order, and what was really done."""

    files: tuple[bytes, ...] = field(repr=False)
    model: str = ""
    effective: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[Warning, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """An answer in words, and who gave it."""

    text: str
    model: str = ""
    warnings: tuple[Warning, ...] = ()


def params_of(
    *,
    num_inference_steps: int | None,
    negative_prompt: str | None,
    guidance_scale: float | None,
    strength: float | None,
) -> dict[str, int | float | str]:
    """The model's parameters that were given."""
    given = {
        "num_inference_steps": num_inference_steps,
        "negative_prompt": negative_prompt,
        "guidance_scale": guidance_scale,
        "strength": strength,
    }
    return {name: value for name, value in given.items() if value is not None}


def read_file(path: Path, param: str) -> InputFile:
    """Read an input picture. Raises InvalidRequest naming ``param`` when that is not possible."""
    try:
        return InputFile(path.name, path.read_bytes())
    except OSError as error:
        raise InvalidRequest(f"cannot read {param} {str(path)!r}: {error.strerror}", param=param) from error


def choose_format(output: Path | None, chosen: ImageFormat | None) -> ImageFormat:
    """The format asked for, or else the one that the suffix of ``output`` means. Raises InvalidRequest."""
    if chosen is not None:
        return chosen
    if output is None or not output.suffix:
        return "png"
    try:
        return FORMAT_OF_SUFFIX[output.suffix.lower()]
    except KeyError:
        allowed = ", ".join(FORMAT_OF_SUFFIX)
        raise InvalidRequest(
            f"cannot tell the format from {str(output)!r}: end it in one of {allowed}, or add --format", param="output"
        ) from None


def output_paths(output: Path | None, file_format: ImageFormat, n: int) -> tuple[Path, ...]:
    """Where the ``n`` files go. Raises InvalidRequest when nothing can be written there, before work is spent."""
    path = output or Path(DEFAULT_NAMES[file_format])
    if path == STDOUT:
        if n > 1:
            raise InvalidRequest(f"-o - takes one picture, not -n {n}: name a file", param="output")
        return (STDOUT,)
    if path.is_dir():
        raise InvalidRequest(f"cannot write to {str(path)!r}: it is a directory, name a file", param="output")
    if not path.parent.is_dir():
        raise InvalidRequest(
            f"cannot write to {str(path)!r}: there is no directory {str(path.parent)!r}", param="output"
        )
    paths = (path,) if n == 1 else tuple(path.with_name(f"{path.stem}_{index}{path.suffix}") for index in range(n))
    for each in paths:
        _check_writable(each)
    return paths


def _check_writable(path: Path) -> None:
    """A new file is tried with one that has no name; what exists is only asked, since opening it may block."""
    if path.exists():
        if not os.access(path, os.W_OK):
            raise InvalidRequest(f"cannot write to {str(path)!r}: it is read-only", param="output")
        return
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InvalidRequest(f"cannot write to {str(path)!r}: {error.strerror}", param="output") from error
