"""The command line. Owns what scripts rely on: commands, options, exit codes, what goes to stdout and what to stderr.

Importing this imports nothing heavy: ``limner --help`` must answer at once, so torch, the web framework and the HTTP
client are imported by the commands that need them.
"""

import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from limner.cli.exits import ExitCode, exit_code_of
from limner.errors import LimnerError

if TYPE_CHECKING:
    import typer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (by default the process's own arguments) and return its exit code."""
    _prepare_streams()
    try:
        code = _run(arguments)
    except KeyboardInterrupt:
        code = _report("interrupted", ExitCode.INTERRUPTED)
    return _flushed(code)


def _prepare_streams() -> None:
    """What stdout cannot encode is spelt out, as on stderr, and what was closed swallows: neither ends a command."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flushed(code: int) -> int:
    """``code``, or that of a failure where what was printed does not leave the process: found while exiting, Python
    would tell it in its own way and with a code of its own, or of none."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python tries again while exiting
        if code == ExitCode.OK and not isinstance(error, BrokenPipeError):
            _report(error.strerror or str(error), ExitCode.FAILED)
        return code or ExitCode.FAILED
    return code


def _run(arguments: Sequence[str] | None) -> int:
    import typer

    from limner.cli.app import app

    try:
        result = app(arguments, prog_name="limner", standalone_mode=False)
    except typer.TyperException as error:  # the arguments themselves are wrong
        return _report(_usage_message(error), ExitCode.INVALID)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except LimnerError as error:
        return _report(error.message, exit_code_of(error))
    except BrokenPipeError:  # whoever read our output has gone
        return ExitCode.FAILED
    except OSError as error:
        where = "" if error.filename is None else f"{str(error.filename)!r}: "
        return _report(where + (error.strerror or str(error)), ExitCode.FAILED)
    except Exception as error:  # noqa: BLE001 - the process's root
        hint = " (--log-level debug shows where)" if logging.getLogger().handlers else ""  # not every command has it
        return _report(f"unexpected failure: {error!r}{hint}", ExitCode.FAILED)
    if result == ExitCode.INTERRUPTED:  # what typer makes of Ctrl-C
        raise KeyboardInterrupt
    return result if isinstance(result, int) else ExitCode.OK


def _usage_message(error: "typer.TyperException") -> str:
    """Typer's sentence, with the value at fault, which it leaves out."""
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    if error.__cause__ is not None:
        from pydantic import ValidationError

        if isinstance(error.__cause__, ValidationError):
            message = f"{message} (got {error.__cause__.errors()[0]['input']!r})"
    return f"{message}; see limner --help"


def _report(message: str, code: ExitCode) -> ExitCode:
    """One line on stderr, after the traceback for those who asked for it."""
    if logging.getLogger().isEnabledFor(logging.DEBUG) and code != ExitCode.INTERRUPTED:
        traceback.print_exc()
    print("limner: " + " ".join(message.split()), file=sys.stderr)
    return code
