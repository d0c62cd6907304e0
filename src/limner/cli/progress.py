"""A progress bar on stderr for people; nothing at all where stderr is not a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

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
        # Without a total the bar pulses: while the model loads, and for a server, which reports no steps.
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
