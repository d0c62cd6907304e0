"""From a cold start: seconds until the server is ready, to its first picture, and of the pictures after it."""

import time

from benchmarks.connection import connected
from benchmarks.drawings import same_size
from benchmarks.load import one
from benchmarks.report import Report
from benchmarks.servers import limner_server
from benchmarks.spread import spread

TARGET_S = 2.0
PICTURES_A_START = 5


async def run(rounds: int) -> Report:
    """Start anew each round and draw a few pictures, one at a time."""
    ready_s: list[float] = []
    first_s: list[float] = []
    later_s: list[float] = []
    for number in range(max(2, rounds)):
        started_s = time.perf_counter()
        async with limner_server() as limner, connected(limner.port) as connection:
            ready_s.append(time.perf_counter() - started_s)
            drawings = same_size(1 + PICTURES_A_START, first_seed=10 * number)
            seconds = [(await one(connection, drawing.body())).seconds for drawing in drawings]
            first_s.append(seconds[0])
            later_s += seconds[1:]
    report = Report("start")
    report.claim(
        "one 256x256 picture at default steps over HTTP, slowest",
        target=f"at most {TARGET_S:g} s",
        measured=f"{max(later_s):.2f} s (median {spread(later_s).median:.2f} s of {len(later_s)})",
        met=max(later_s) <= TARGET_S,
    )
    rows = [
        ("process start to ready", spread(ready_s).format(), f"{max(ready_s):.2f}"),
        ("first picture after the start", spread(first_s).format(), f"{max(first_s):.2f}"),
        ("later pictures", spread(later_s).format(), f"{max(later_s):.2f}"),
    ]
    report.table(f"Seconds, {len(ready_s)} starts.", ("what", "median (quartiles)", "slowest"), rows)
    report.numbers |= {"ready_s": spread(ready_s), "first_s": spread(first_s), "later_s": spread(later_s)}
    return report
