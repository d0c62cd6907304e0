"""The same seed alone, in a crowd and in the bare pipeline: the largest difference of any pixel, in fp32 over HTTP."""

import base64
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.drawings import Drawing, bodies, mixed, same_size
from benchmarks.load import Outcome, all_at_once, closed_loop, picture_of
from benchmarks.report import Report
from benchmarks.servers import bare_pipeline, limner_server
from limner.engine.sample import EngineSettings

TARGET = 1  # of 255
PICTURES = 8
CROWD = 12  # other requests, mixed, around the pictures that are compared

Pixels = npt.NDArray[np.int16]  # (H, W, 3)


async def run(rounds: int) -> Report:
    """Draw alone, then ``rounds`` times among others, on as many lanes as cores and on a single one."""
    drawings = same_size(PICTURES)
    report = Report("sameness")
    rows = []
    for lanes in ("0", "1"):
        async with AsyncExitStack() as stack:
            limner = await stack.enter_async_context(limner_server({"lanes": lanes, "dtype": "float32"}))
            alone = _pixels(await _one_by_one(limner.port, drawings))
            crowded: list[int] = []
            for number in range(rounds):
                await _forget(limner.port, number)
                crowd = [*drawings, *mixed(CROWD, first_seed=100 + 100 * number)]
                outcomes = (await all_at_once(limner.port, bodies(crowd), keep_bodies=True)).outcomes
                crowded += _differences(alone, _pixels(outcomes[:PICTURES]))
            bare = await stack.enter_async_context(bare_pipeline(1))
            plain = [_decoded((await bare.draw(drawing)).rgb_base64, drawing) for drawing in drawings]
            against_bare = _differences(alone, plain)
        where = "one lane" if lanes == "1" else "a lane per core"
        rows.append((where, _summary(crowded), _summary(against_bare)))
        report.claim(
            f"largest difference alone / in a crowd, {where}",
            target=f"at most {TARGET} of 255",
            measured=f"{max(crowded)} ({len(crowded)} pictures)",
            met=max(crowded) <= TARGET,
        )
    report.table(
        "Largest difference of any channel of any pixel, of 255: pictures that differ by 0, 1, more.",
        ("lanes", "alone / in a crowd", "alone / bare pipeline"),
        rows,
    )
    return report


async def _forget(port: int, number: int) -> None:
    """Drive what is known of the pictures' prompts out of the cache, so that the crowd's texts are encoded, too."""
    others = same_size(EngineSettings().prompt_cache, first_seed=100_000 * (number + 1))
    quick = [replace(drawing, num_inference_steps=1) for drawing in others]
    await closed_loop(port, bodies(quick), clients=CROWD)


async def _one_by_one(port: int, drawings: Sequence[Drawing]) -> Sequence[Outcome]:
    return (await closed_loop(port, bodies(drawings), clients=1, keep_bodies=True)).outcomes


def _pixels(outcomes: Sequence[Outcome]) -> list[Pixels]:
    return [np.asarray(picture_of(outcome), dtype=np.int16) for outcome in outcomes]


def _decoded(rgb_base64: str, drawing: Drawing) -> Pixels:
    rgb = np.frombuffer(base64.b64decode(rgb_base64), dtype=np.uint8)
    return rgb.reshape(drawing.height_px, drawing.width_px, 3).astype(np.int16)


def _differences(first: Sequence[Pixels], second: Sequence[Pixels]) -> list[int]:
    return [int(np.abs(a - b).max()) for a, b in zip(first, second, strict=True)]


def _summary(differences: Sequence[int]) -> str:
    exact, close = sum(d == 0 for d in differences), sum(d == 1 for d in differences)
    return f"{exact}, {close}, {len(differences) - exact - close}"
