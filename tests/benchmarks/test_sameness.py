"""What is drawn in the crowd is drawn anew, text and all."""

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
import pytest
from PIL import Image

from benchmarks import sameness
from benchmarks.bare import BareResult
from benchmarks.drawings import Drawing
from benchmarks.load import Outcome, Round
from benchmarks.servers import Server
from limner.engine.sample import EngineSettings

BLACK = Image.new("RGB", (256, 256))


async def test_no_text_of_the_crowd_is_known_already(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    known: list[str] = []

    async def closed_loop(port: int, bodies: Sequence[bytes], **_: object) -> Round:
        asked.extend(orjson.loads(body)["prompt"] for body in bodies)
        return Round((Outcome(200, 0.1),) * len(bodies), 1.0)

    async def all_at_once(port: int, bodies: Sequence[bytes], **_: object) -> Round:
        recent = list(dict.fromkeys(reversed(asked)))[: EngineSettings().prompt_cache // 2]  # each with its empty one
        crowd = [orjson.loads(body)["prompt"] for body in bodies[: sameness.PICTURES]]
        known.extend(set(recent) & set(crowd))
        return await closed_loop(port, bodies)

    @asynccontextmanager
    async def limner_server(settings: object) -> AsyncIterator[Server]:
        asked.clear()
        yield Server("limner", 1, 0)

    class Bare:
        async def draw(self, drawing: Drawing) -> BareResult:
            return BareResult(0.1, 0.1, base64.b64encode(BLACK.tobytes()).decode())

    @asynccontextmanager
    async def bare_pipeline(threads: int) -> AsyncIterator[Bare]:
        yield Bare()

    for stand_in in (closed_loop, all_at_once, limner_server, bare_pipeline):
        monkeypatch.setattr(sameness, stand_in.__name__, stand_in)
    monkeypatch.setattr(sameness, "picture_of", lambda outcome: BLACK)
    report = await sameness.run(2)
    assert [claim.measured for claim in report.claims] == ["0 (16 pictures)"] * 2
    assert known == []
