"""What each dialect costs a request: from the first byte sent to the whole reply, less the service's own call."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.connection import Connection, connected
from benchmarks.contest import Contest, in_turns, remark
from benchmarks.drawings import MODEL, Drawing, default_drawing
from benchmarks.instant_server import SERVICE
from benchmarks.report import Report
from benchmarks.servers import Server, instant_server
from benchmarks.spread import Spread, percentile, spread

SIDE_PX = 32  # a picture of next to no bytes, so that what is left is the dialect
PAIRS_A_ROUND = 100
WARM_UP = 20
TARGET_MS = 2.0


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where a dialect's clients send a request, and how it says what to draw."""

    path: str
    body: Callable[[Drawing], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Seconds of one exchange in a dialect, and of the service's call that was made right after it."""

    exchange_s: float
    service_s: float

    @property
    def overhead_ms(self) -> float:
        """What the dialect, HTTP and the load itself have added."""
        return (self.exchange_s - self.service_s) * 1e3


def _chat(drawing: Drawing) -> dict[str, Any]:
    said = [{"role": "user", "content": drawing.prompt}]
    return {"model": MODEL, "messages": said, "modalities": ["image", "text"], "seed": drawing.seed}


def _responses(drawing: Drawing) -> dict[str, Any]:
    tool = {"type": "image_generation", "seed": drawing.seed}
    return {"model": MODEL, "input": drawing.prompt, "tools": [tool]}


def _gemini(drawing: Drawing) -> dict[str, Any]:
    contents = [{"role": "user", "parts": [{"text": drawing.prompt}]}]
    return {"contents": contents, "generationConfig": {"seed": drawing.seed, "responseModalities": ["IMAGE"]}}


def _plain(drawing: Drawing) -> dict[str, Any]:
    return {"model": MODEL, "prompt": drawing.prompt, "seed": drawing.seed}


def _a1111(drawing: Drawing) -> dict[str, Any]:
    return {"prompt": drawing.prompt, "seed": drawing.seed, "width": drawing.width_px, "height": drawing.height_px}


DIALECTS: Mapping[str, Dialect] = {
    "OpenAI images": Dialect("/v1/images/generations", _plain),
    "chat": Dialect("/v1/chat/completions", _chat),
    "Responses": Dialect("/v1/responses", _responses),
    "OpenRouter": Dialect("/api/v1/images", _plain),
    "Relay": Dialect("/v2/image/flux/generate", _plain),
    "A1111": Dialect("/sdapi/v1/txt2img", _a1111),
    "Gemini": Dialect(f"/v1beta/models/{MODEL}:generateContent", _gemini),
}


async def run(rounds: int) -> Report:
    """Every dialect in turns, one request at a time, on a backend that has its picture at once."""
    async with instant_server("file", side_px=SIDE_PX) as server:
        for dialect in DIALECTS.values():
            await _pairs(server, dialect, 0, WARM_UP)
        contest = await in_turns({name: _measured(server, dialect) for name, dialect in DIALECTS.items()}, rounds)
    return _report(contest)


def _measured(server: Server, dialect: Dialect) -> Callable[[int], Awaitable[list[Pair]]]:
    async def measure(number: int) -> list[Pair]:
        return await _pairs(server, dialect, number, PAIRS_A_ROUND)

    return measure


async def _pairs(server: Server, dialect: Dialect, number: int, count: int) -> list[Pair]:
    drawing = default_drawing(number)
    body, bare = orjson.dumps(dialect.body(drawing)), orjson.dumps({"prompt": drawing.prompt, "seed": drawing.seed})
    async with connected(server.port) as connection:
        return [await _pair(connection, dialect.path, body, bare) for _ in range(count)]


async def _pair(connection: Connection, path: str, body: bytes, bare: bytes) -> Pair:
    started_s = time.perf_counter()
    reply = await connection.exchange("POST", path, body)
    exchange_s = time.perf_counter() - started_s
    assert reply.status == 200, f"{path}: status {reply.status}: {reply.body[:300]!r}"
    service = await connection.exchange("POST", SERVICE, bare)
    assert service.status == 200, f"status {service.status}: {service.body[:300]!r}"
    return Pair(exchange_s, orjson.loads(service.body)["seconds"])


def _report(contest: Contest[list[Pair]]) -> Report:
    report = Report("dialects")
    pairs = {name: [pair for each in contest[name] for pair in each] for name in DIALECTS}
    own = {name: spread([pair.overhead_ms for pair in each]) for name, each in pairs.items()}
    rows = [(name, *_cells(pairs[name]), own[name].format()) for name in DIALECTS]
    header = ("dialect", "p50 ms", "p99 ms", "service p50 ms", "difference ms")
    count = min(len(each) for each in pairs.values())
    report.table(f"One request at a time, {count} pairs each; pictures of next to no bytes.", header, rows)
    name, worst = max(own.items(), key=_median)
    report.claim(
        "costliest dialect, a request over HTTP less the service's own call",
        target=f"at most {TARGET_MS:g} ms",
        measured=f"{worst.format(2, ' ms')} ({name})",
        met=worst.median <= TARGET_MS,
    )
    report.remarks.append(remark(contest))
    report.numbers |= {f"{name}_ms": each for name, each in own.items()}
    return report


def _median(item: tuple[str, Spread]) -> float:
    return item[1].median


def _cells(pairs: list[Pair]) -> tuple[str, str, str]:
    exchanges = [pair.exchange_s for pair in pairs]
    service = spread([pair.service_s for pair in pairs])
    p50, p99 = spread(exchanges).median, percentile(exchanges, 0.99)
    return f"{p50 * 1e3:.2f}", f"{p99 * 1e3:.2f}", f"{service.median * 1e3:.2f}"
