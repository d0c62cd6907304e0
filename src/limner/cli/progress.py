"""A progress bar on stderr for people; nothing at all where stderr is not a terminal."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeAlias

from limner.cli.exits import ExitCode
from limner.core import Event, Progress, Queued

Watch: TypeAlias = Callable[[Event], None]


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watch]:
    """Show progress while inside; the yielded function is told every event."""
    if quiet or not sys.stderr.isatty():
        yield lambda event: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        # Without a total the bar pulses: while the model loads, or the request waits.
        task = bars.add_task("starting", total=None)

        def watch(event: Event) -> None:
            match event:
                case Queued():
                    bars.update(task, description="waiting")
                case Progress(step, total):
                    bars.update(task, description=f"step {step}/{total}", completed=step, total=total)
                case _:
                    pass

        yield watch


def abandon() -> NoReturn:
    """End the process now, as interrupted, and leave the terminal clean: for work that cannot be stopped half-way."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[2K\x1b[?25h")  # clear the bar's line, show the cursor again
    print("limner: interrupted", file=sys.stderr, flush=True)
    os._exit(ExitCode.INTERRUPTED)
