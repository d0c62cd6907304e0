"""How much of the machine others used while something was measured.

Owns reading /proc: all processor time, less that of this process and everything it started.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time and the processor seconds used until then, by everyone and by us."""

    at_s: float
    all_s: float
    own_s: float

    def others_since(self, earlier: "Moment") -> float:
        """Cores that others kept busy on average since ``earlier``."""
        others_s = (self.all_s - earlier.all_s) - (self.own_s - earlier.own_s)
        return max(0.0, others_s) / (self.at_s - earlier.at_s)


def now() -> Moment:
    """This moment."""
    return Moment(time.perf_counter(), _all_s(), sum(_process_s(pid) for pid in _family()))


def _all_s() -> float:
    """/proc/stat: user, nice, system, irq, softirq and steal; idle and waiting for disks left out."""
    user, nice, system, _idle, _wait, *interrupts = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return sum(map(int, (user, nice, system, *interrupts))) / _TICKS_PER_S


def _family() -> Iterator[int]:
    """This process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [os.getpid()]
    while found:
        pid = found.pop()
        yield pid
        found += children.get(pid, [])


def _process_s(pid: int) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / _TICKS_PER_S if fields else 0.0  # itself and children it has waited for


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on; none once the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
