"""How lists look in a terminal."""

from collections.abc import Sequence


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """A line a row, its columns padded with spaces."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
