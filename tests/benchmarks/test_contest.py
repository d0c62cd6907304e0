"""Rounds in turns, and that no server is asked for what it has drawn before: its cache of prompts would gain by it."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import ModuleType

import pytest

from benchmarks import mixed, noise, solo, throughput
from benchmarks.bare import BareResult
from benchmarks.contest import in_turns
from benchmarks.drawings import Drawing
from benchmarks.load import Outcome, Round
from benchmarks.servers import Server

ROUNDS = 2


class Asked:
    """Stands in for everything that a benchmark starts; counts what limner is asked to draw."""

    def __init__(self) -> None:
        self.bodies: Counter[bytes] = Counter()

    @asynccontextmanager
    async def server(self, name: str) -> AsyncIterator[Server]:
        yield Server(name, port=1 if name == "limner" else 2, pid=0)

    def limner(self) -> AbstractAsyncContextManager[Server]:
        return self.server("limner")

    def plain(self, threads: int) -> AbstractAsyncContextManager[Server]:
        return self.server(f"plain {threads}")

    @asynccontextmanager
    async def bare(self, threads: int) -> AsyncIterator["Asked"]:
        yield self

    async def draw(self, drawing: Drawing) -> BareResult:
        return BareResult(0.1, 0.1, "")

    async def closed_loop(self, port: int, bodies: Sequence[bytes], *, clients: int) -> Round:
        self.bodies.update(bodies if port == 1 else ())
        return Round((Outcome(200, 0.1),) * len(bodies), 1.0)

    @asynccontextmanager
    async def connected(self, port: int) -> AsyncIterator[int]:
        yield port

    async def one(self, port: int, body: bytes) -> Outcome:
        self.bodies.update([body] if port == 1 else ())
        return Outcome(200, 0.1, body=b"{}")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked()
    stand_ins = {
        "limner_server": found.limner,
        "baseline_server": found.plain,
        "bare_pipeline": found.bare,
        "closed_loop": found.closed_loop,
        "connected": found.connected,
        "one": found.one,
        "in_turns": partial(in_turns, pause_s=0.0),
    }
    for module in (solo, throughput, mixed):
        for name in stand_ins.keys() & vars(module).keys():
            monkeypatch.setattr(module, name, stand_ins[name])
    return found


@pytest.mark.parametrize("cores", [0.0, 1.0])
@pytest.mark.parametrize("module", [solo, throughput, mixed])
async def test_nothing_is_drawn_twice_on_one_server(
    module: ModuleType, cores: float, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither after the warm-up nor with another number of clients, on a quiet machine and on a noisy one."""
    monkeypatch.setattr(noise.Moment, "others_since", lambda self, earlier: cores)
    await module.run(ROUNDS)
    assert [body for body, count in asked.bodies.items() if count > 1] == []


@pytest.mark.parametrize(("cores", "last"), [(0.0, 8), (1.0, 12)])
async def test_noisy_rounds_are_measured_again_under_numbers_of_their_own(
    cores: float, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise.Moment, "others_since", lambda self, earlier: cores)

    async def number_of(number: int) -> int:
        return number

    found = await in_turns({"one": number_of, "other": number_of}, 2, first=7, pause_s=0.0)
    assert found["one"] == found["other"] == [last - 1, last]
