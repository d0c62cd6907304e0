"""What a check says: how bad it is, what was seen and what to do."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from limner.config import Settings

Level = Literal["ok", "warning", "problem"]
MB, GB = 1e6, 1e9


@dataclass(frozen=True, slots=True)
class Finding:
    """``advice`` is what to do about it. ``check`` names the check that says so."""

    level: Level
    message: str
    advice: str = ""
    check: str = ""

    def of(self, check: str) -> "Finding":
        """The same, said by ``check``."""
        return replace(self, check=check)


Check: TypeAlias = Callable[[Settings], Awaitable[Sequence[Finding]]]


def ok(message: str) -> Finding:
    """All is well."""
    return Finding("ok", message)


def warning(message: str, advice: str) -> Finding:
    """It works, though perhaps not as meant."""
    return Finding("warning", message, advice)


def problem(message: str, advice: str = "") -> Finding:
    """The server would not work, or not for long."""
    return Finding("problem", message, advice)


def shown_bytes(size: float) -> str:
    """A size as people read it."""
    return f"{size / GB:.1f} GB" if size >= GB else f"{size / MB:.0f} MB"
