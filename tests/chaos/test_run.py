"""The order of a run: whatever fails in it is told."""

from pathlib import Path
from typing import Any

import pytest

from chaos.run import Plan, _Run


class Broken:
    """A reaper whose watch cannot read the database."""

    async def revive(self) -> None:
        pass

    async def watch(self) -> None:
        raise OSError("the database is away")


class Quiet(_Run):
    """A run in which nobody asks."""

    async def _havoc(self) -> None:
        pass

    async def _look_for_inputs(self) -> None:
        raise AssertionError("it went on")


async def test_a_watch_that_failed_ends_the_run(tmp_path: Path) -> None:
    class Idle:
        async def unfinished(self) -> int:
            return 0

    other: Any = None
    reaper: Any = Broken()
    database: Any = Idle()
    run = Quiet(Plan(1, 1.0, 1), database, [], tmp_path, other, other, reaper, other)
    with pytest.raises(OSError, match="away"):
        await run.carry_out()
