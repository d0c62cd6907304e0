"""The options that several commands share, each with its name, bounds and help in one place.

Values that no request could carry are refused here: text that is not UTF-8, numbers that are not finite.
"""

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

LogLevelName = Literal["debug", "info", "warning", "error"]


def _text(value: str | None) -> str | None:
    """Bytes of the command line that are not UTF-8 arrive as lone surrogates, which cannot be sent or printed."""
    if value is not None:
        _check_utf8(value)
    return value


def _path(value: Path | None) -> Path | None:
    if value is not None:
        _check_utf8(str(value))
    return value


def _file(text: str) -> Path:
    """A Path forgets the slash that says directory."""
    if text.endswith("/"):
        raise typer.BadParameter(f"{text!r} is a directory, name a file")
    return Path(text)


def _paths(values: list[Path]) -> list[Path]:
    for value in values:
        _check_utf8(str(value))
    return values


def _more_paths(values: list[Path] | None) -> list[Path] | None:
    return None if values is None else _paths(values)


def _check_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter(f"{text!a} is not valid UTF-8") from None


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def _key(value: str | None) -> str | None:
    """A key travels in a header; the message does not repeat it."""
    if value is not None and not (value and value.isascii() and value.isprintable() and " " not in value):
        raise typer.BadParameter("a key is printable ASCII characters without spaces")
    return value


Prompt = Annotated[str, typer.Argument(help="What to draw.", metavar="PROMPT", callback=_text)]
Instruction = Annotated[str, typer.Argument(help="What to change.", metavar="PROMPT", callback=_text)]
Images = Annotated[
    list[Path],
    typer.Argument(
        help="The picture to change, and more to refer to (PNG, JPEG, WEBP, GIF).", metavar="IMAGE", callback=_paths
    ),
]
Image = Annotated[
    Path, typer.Argument(help="The picture to look at (PNG, JPEG, WEBP, GIF).", metavar="IMAGE", callback=_path)
]
Question = Annotated[
    str, typer.Argument(help="What to say of it; default: what is in it.", metavar="QUESTION", callback=_text)
]
AlsoImages = Annotated[
    list[Path] | None,
    typer.Option("--also", metavar="FILE", callback=_more_paths, help="A further picture to look at; may be repeated."),
]

OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        parser=_file,
        callback=_path,
        help="Where the picture goes: a file, which is replaced if it exists, or - for stdout. With -n 2 and more, "
        "out.png becomes out_0.png, out_1.png, ... Default: limner.png.",
    ),
]
Number = Annotated[int, typer.Option("-n", "--number", min=1, max=10, metavar="N", help="How many pictures, 1 to 10.")]
Model = Annotated[
    str | None, typer.Option("--model", metavar="M", callback=_text, help="Model id or alias; default: the first.")
]
SizeText = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="WxH", callback=_text, help="Size in pixels, such as 512x512; default: the model's."
    ),
]
Steps = Annotated[int | None, typer.Option("--steps", min=1, metavar="N", help="Denoising steps.")]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, metavar="S", help="Seed of the first picture, the next ones count up; else random."),
]
NegativePrompt = Annotated[
    str | None,
    typer.Option("--negative-prompt", metavar="T", callback=_text, help="What the picture should not show."),
]
GuidanceScale = Annotated[
    float | None,
    typer.Option("--guidance-scale", metavar="G", callback=_finite, help="How closely the prompt is followed."),
]
Strength = Annotated[
    float | None,
    typer.Option(
        "--strength", metavar="X", callback=_finite, help="How far the result may go from the picture, from 0 to 1."
    ),
]
MaskFile = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        metavar="FILE",
        callback=_path,
        help="Where to repaint: transparent pixels, or in a mask without transparency white ones. As large as IMAGE.",
    ),
]
Format = Annotated[
    Literal["png", "jpeg", "webp"] | None,
    typer.Option(
        "--format",
        metavar="png|jpeg|webp",
        help="File format; default: what the name given to -o ends in, otherwise png.",
    ),
]
TimeoutSeconds = Annotated[
    float | None,
    typer.Option("--timeout", min=0.001, metavar="SECONDS", callback=_finite, help="Give up after so long."),
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server", metavar="URL", envvar="LIMNER_SERVER", callback=_text, help="Ask this server; default: no server."
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key", metavar="K", envvar="LIMNER_API_KEY", callback=_key, help="The key to show to the server."
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no summary on stderr; warnings and errors stay.")
]
LogLevel = Annotated[
    LogLevelName,
    typer.Option(
        "--log-level", metavar="L", help="How much is logged: debug, info, warning or error; debug shows tracebacks."
    ),
]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings file (TOML), see docs/settings.md.")
]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="DIR", callback=_text, help="The server's data directory; default: user data."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Everything known, as JSON.")]
KeyName = Annotated[
    str, typer.Argument(metavar="KEY", callback=_text, help="A key's id, its prefix (lim_...) or its name.")
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="T", help="From this moment: 2026-11-30, 2026-11-30T12:00 (UTC) or unix seconds."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="T", help="Up to, but without, this moment.")]
JobId = Annotated[str, typer.Argument(metavar="ID", callback=_text, help="A job's id, such as job_0123...")]
JobModel = Annotated[
    str | None, typer.Option("--model", metavar="M", callback=_text, help="Only those of this model, by its id.")
]
