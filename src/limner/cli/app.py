"""The commands: their arguments and what each hands on to. Light to import; the work is imported when it is done."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from limner import __version__
from limner.cli import jobs, keys, options
from limner.cli.ask import Ask, Where, params_of, read_file
from limner.cli.exits import ExitCode

app = typer.Typer(
    help="A self-hosted image server: one server, one contract, every image model.",
    epilog="Exit codes: 0 done, 1 failure, 2 wrong usage or request, 3 server unreachable or not ready, 4 overloaded, "
    "5 timed out, 6 refused, 130 interrupted.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich is slow to import; plain help also stays one thing to read for scripts
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(keys.group, name="keys")
app.add_typer(jobs.group, name="jobs")


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"limner {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(ExitCode.INVALID)


@app.command()
def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Models to serve: ids of the catalogue, Hugging Face ids or paths. Default: the embedded sketch.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings file (TOML), see docs/settings.md.")
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="H", help="Address to listen on; default: 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", metavar="P", min=0, max=65535, help="Port to listen on; default: 8000.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DIR", help="Where everything the server writes goes; default: user data."),
    ] = None,
    stand_in: Annotated[
        str | None,
        typer.Option(
            "--stand-in", metavar="MODEL", help="Model that answers for all others of the catalogue: an emulator."
        ),
    ] = None,
    log_level: Annotated[
        options.LogLevelName | None,
        typer.Option(
            "--log-level", metavar="L", help="How much is logged: debug, info, warning or error; default: info."
        ),
    ] = None,
) -> int:
    """Serve models over HTTP until Ctrl-C."""
    from limner.cli.serving import run_server

    chosen = {"host": host, "port": port, "data": data, "stand_in": stand_in, "log_level": log_level}
    return run_server(config, {**chosen, "models": tuple(models) if models else None})


@app.command()
def generate(
    prompt: options.Prompt,
    output: options.OutputFile = None,
    number: options.Number = 1,
    model: options.Model = None,
    size: options.SizeText = None,
    steps: options.Steps = None,
    seed: options.Seed = None,
    negative_prompt: options.NegativePrompt = None,
    guidance_scale: options.GuidanceScale = None,
    file_format: options.Format = None,
    timeout_s: options.TimeoutSeconds = None,
    server: options.Server = None,
    api_key: options.ApiKey = None,
    quiet: options.Quiet = False,
    log_level: options.LogLevel = "warning",
) -> None:
    """Draw pictures from text; prints the paths of the files written."""
    from limner.cli.drawing import draw_and_write

    logging.basicConfig(level=log_level.upper())
    params = params_of(
        num_inference_steps=steps, negative_prompt=negative_prompt, guidance_scale=guidance_scale, strength=None
    )
    ask = Ask(prompt=prompt, n=number, model=model, size=size, seed=seed, params=params, timeout_s=timeout_s)
    draw_and_write(ask, output, file_format, Where(server, api_key), quiet=quiet)


@app.command()
def edit(
    images: options.Images,
    prompt: options.Instruction,
    mask: options.MaskFile = None,
    output: options.OutputFile = None,
    number: options.Number = 1,
    model: options.Model = None,
    size: options.SizeText = None,
    steps: options.Steps = None,
    seed: options.Seed = None,
    negative_prompt: options.NegativePrompt = None,
    guidance_scale: options.GuidanceScale = None,
    strength: options.Strength = None,
    file_format: options.Format = None,
    timeout_s: options.TimeoutSeconds = None,
    server: options.Server = None,
    api_key: options.ApiKey = None,
    quiet: options.Quiet = False,
    log_level: options.LogLevel = "warning",
) -> None:
    """Change a picture as told, or with --mask only a part of it; prints the paths of the files written."""
    from limner.cli.drawing import draw_and_write

    logging.basicConfig(level=log_level.upper())
    params = params_of(
        num_inference_steps=steps, negative_prompt=negative_prompt, guidance_scale=guidance_scale, strength=strength
    )
    ask = Ask(
        prompt=prompt,
        images=tuple(read_file(path, "image") for path in images),
        mask=None if mask is None else read_file(mask, "mask"),
        n=number,
        model=model,
        size=size,
        seed=seed,
        params=params,
        timeout_s=timeout_s,
    )
    draw_and_write(ask, output, file_format, Where(server, api_key), quiet=quiet)


@app.command()
def describe(
    image: options.Image,
    question: options.Question = "",
    also: options.AlsoImages = None,
    model: options.Model = None,
    timeout_s: options.TimeoutSeconds = None,
    server: options.Server = None,
    api_key: options.ApiKey = None,
    quiet: options.Quiet = False,
    log_level: options.LogLevel = "warning",
) -> None:
    """Say what is in a picture, or answer a question about it."""
    from limner.cli.describing import describe_and_print

    logging.basicConfig(level=log_level.upper())
    files = tuple(read_file(path, "image") for path in (image, *(also or ())))
    ask = Ask(prompt=question, images=files, model=model, timeout_s=timeout_s)
    describe_and_print(ask, Where(server, api_key), quiet=quiet)


@app.command("models")
def list_models(
    loaded: Annotated[
        bool, typer.Option("--loaded", help="Only those that a server has ready; needs --server.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything known about them, as a JSON list.")] = False,
    server: options.Server = None,
    api_key: options.ApiKey = None,
    log_level: options.LogLevel = "warning",
) -> None:
    """List the models of the catalogue, or those that a server serves."""
    from limner.cli.models import print_models

    logging.basicConfig(level=log_level.upper())
    print_models(Where(server, api_key), loaded=loaded, as_json=as_json)


@app.command()
def usage(
    since: options.Since = None,
    until: options.Until = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="One key's alone: its id, prefix (lim_...) or name."),
    ] = None,
    as_json: options.AsJson = False,
    config: options.Config = None,
    data: options.Data = None,
) -> None:
    """Show jobs, pictures, device seconds and credits per key and model, by default of the last 30 days."""
    from limner.cli.usage import print_usage

    print_usage(config, data, since=since, until=until, key=key, as_json=as_json)


@app.command()
def doctor(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Models to look for instead of the settings'."),
    ] = None,
    config: options.Config = None,
    data: options.Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="The findings as a JSON list.")] = False,
    log_level: Annotated[
        options.LogLevelName | None,
        typer.Option("--log-level", metavar="L", help="Log beside the findings: debug, info, warning or error."),
    ] = None,
) -> int:
    """Check what serving needs and say what to do: ok, warning or problem. Exit code 1 if there is a problem."""
    from limner.cli.doctor import print_findings, set_up_logging

    set_up_logging(log_level)
    return print_findings(config, data, models or (), as_json=as_json)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"limner {__version__}")
