"""What ``generate`` and ``edit`` share: have it drawn, write the files, tell what was done.

stdout gets the written paths and nothing else, or with ``-o -`` the picture; progress, the values really used and
warnings go to stderr.
"""

import secrets
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from limner.cli.ask import STDOUT, Ask, Drawn, Where, choose_format, output_paths
from limner.cli.progress import watching
from limner.core import ImageFormat
from limner.errors import InternalError


def draw_and_write(
    ask: Ask, output: Path | None, file_format: ImageFormat | None, where: Where, *, quiet: bool
) -> None:
    """Draw what is asked, write the files and print their paths. Raises LimnerError, or OSError when writing fails."""
    ask = replace(ask, format=choose_format(output, file_format))
    paths = output_paths(output, ask.format, ask.n)
    drawn = _draw(ask, where, quiet=quiet)
    if len(drawn.files) != len(paths):
        raise InternalError(f"{len(paths)} pictures were asked for and {len(drawn.files)} came back")
    for path, data in zip(paths, drawn.files, strict=True):
        write(path, data)
    _tell(drawn, quiet=quiet)
    if paths != (STDOUT,):
        print("\n".join(map(str, paths)), flush=True)


def write(path: Path, data: bytes) -> None:
    """Write to ``path``, ``-`` being stdout. A file keeps its mode, and what was in it until the new one is whole.

    Raises OSError, with the file's name even where the system tells none.
    """
    if path == STDOUT:
        sys.stdout.buffer.write(data)
        return
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            target.write_bytes(data)
        else:
            _put(target, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _put(path: Path, data: bytes) -> None:
    draft = path.with_name(f".limner-{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            if path.exists():
                shutil.copymode(path, draft)
            file.write(data)
        draft.replace(path)
    except PermissionError:  # the directory's; the file that is there may be written to all the same
        if not path.exists():
            raise
        path.write_bytes(data)
    finally:
        draft.unlink(missing_ok=True)


def _draw(ask: Ask, where: Where, *, quiet: bool) -> Drawn:
    with watching(quiet=quiet) as watch:
        if where.server is not None:
            from limner.cli import remote

            return remote.draw(ask, where.server, where.api_key, watch)
        from limner.cli import local

        return local.draw(ask, watch)


def _tell(drawn: Drawn, *, quiet: bool) -> None:
    for warning in drawn.warnings:
        print(f"limner: warning: {warning.message}", file=sys.stderr)
    if quiet:
        return
    values = {"model": drawn.model, **drawn.effective}
    print(" ".join(f"{name}={_shown(value)}" for name, value in values.items()), file=sys.stderr)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    text = str(value)
    return repr(text) if " " in text or not text else text
