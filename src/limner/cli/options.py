"""The options that several commands share, each with its name, bounds and help in one place."""

from pathlib import Path
from typing import Annotated, Literal

import typer

LogLevelName = Literal["debug", "info", "warning", "error"]

Prompt = Annotated[str, typer.Argument(help="What to draw.", metavar="PROMPT")]
Instruction = Annotated[str, typer.Argument(help="What to change.", metavar="PROMPT")]
Images = Annotated[
    list[Path],
    typer.Argument(help="The picture to change, and more to refer to (PNG, JPEG, WEBP, GIF).", metavar="IMAGE"),
]

OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Where the picture goes; an existing file is replaced. With -n 2 and more, out.png becomes out_0.png, "
        "out_1.png, ... Default: limner.png.",
    ),
]
Number = Annotated[int, typer.Option("-n", "--number", min=1, max=100, metavar="N", help="How many pictures.")]
Model = Annotated[str | None, typer.Option("--model", metavar="M", help="Model id or alias; default: the first.")]
SizeText = Annotated[
    str | None, typer.Option("--size", metavar="WxH", help="Size in pixels, such as 512x512; default: the model's.")
]
Steps = Annotated[int | None, typer.Option("--steps", min=1, metavar="N", help="Denoising steps.")]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, metavar="S", help="Seed of the first picture, the next ones count up; else random."),
]
NegativePrompt = Annotated[
    str | None, typer.Option("--negative-prompt", metavar="T", help="What the picture should not show.")
]
GuidanceScale = Annotated[
    float | None, typer.Option("--guidance-scale", metavar="G", help="How closely the prompt is followed.")
]
Strength = Annotated[
    float | None,
    typer.Option("--strength", metavar="X", help="How far the result may go from the picture, from 0 to 1."),
]
MaskFile = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        metavar="FILE",
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
    float | None, typer.Option("--timeout", min=0.001, metavar="SECONDS", help="Give up after so long.")
]
Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", envvar="LIMNER_SERVER", help="Ask this server; default: no server."),
]
ApiKey = Annotated[
    str | None, typer.Option("--api-key", metavar="K", envvar="LIMNER_API_KEY", help="The key to show to the server.")
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
