"""The connected regions of what was found, and which of them are mere speckles.

Pure numpy on small arrays; knows neither models nor pictures.
"""

import numpy as np
from numpy.typing import NDArray

SPECKLE = 0.02  # of the largest region's area: below it a region is a model's doubt, not a thing


def without_speckles(found: NDArray[np.bool_]) -> NDArray[np.bool_]:  # (H, W)
    """``found`` without the regions that are tiny beside the largest one. Regions touch by sides or corners."""
    runs = _runs(found)
    roots = _joined(runs)
    areas: dict[int, int] = {}
    for root, (_, start, end) in zip(roots, runs, strict=True):
        areas[root] = areas.get(root, 0) + end - start
    least = SPECKLE * max(areas.values(), default=0)
    kept = np.zeros_like(found)
    for root, (row, start, end) in zip(roots, runs, strict=True):
        if areas[root] >= least:
            kept[row, start:end] = True
    return kept


def _runs(found: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Row, first column and column after the last one of every horizontal run, in reading order."""
    steps = np.diff(np.pad(found, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    begins, ends = np.argwhere(steps == 1), np.argwhere(steps == -1)
    return [(int(row), int(start), int(end)) for (row, start), (_, end) in zip(begins, ends, strict=True)]


def _joined(runs: list[tuple[int, int, int]]) -> list[int]:
    """For every run the index of a run that stands for its region (union-find)."""
    parents = list(range(len(runs)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    above = 0  # the first run of the row above that may still touch this one or a later one
    for run, (row, start, end) in enumerate(runs):
        while runs[above][0] < row - 1 or (runs[above][0] == row - 1 and runs[above][2] < start):
            above += 1
        touching = above
        while runs[touching][0] == row - 1 and runs[touching][1] <= end:
            parents[root(touching)] = root(run)
            touching += 1
    return [root(run) for run in range(len(runs))]
