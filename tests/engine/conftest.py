"""Tiny pipelines built once, engines around them, and a listener that remembers what it heard."""

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from limner.core import Picture
from limner.engine import Engine, EngineSettings, LoadedModel, Result, Sample, Ticket, executor
from limner.engine.policy import BatchCurve
from limner.errors import LimnerError
from tests.tiny_pipelines import ARGUMENTS, build

STILL_S = 60.0  # how long a test waits for something that must happen


class Heard:
    """A listener whose owner can wait for the end; ``on_step`` runs in the engine's thread."""

    def __init__(self, on_step: Callable[[int], None] = lambda step: None) -> None:
        self.steps: list[tuple[int, int]] = []
        self.previews: list[tuple[int, Picture]] = []
        self.result: Result | None = None
        self.error: LimnerError | None = None
        self.was_cancelled = False
        self._on_step = on_step
        self._ended = threading.Event()

    def progressed(self, step: int, total_steps: int) -> None:
        self.steps.append((step, total_steps))
        self._on_step(step)

    def previewed(self, preview_index: int, picture: Picture) -> None:
        self.previews.append((preview_index, picture))

    def finished(self, result: Result) -> None:
        self.result = result
        self._end()

    def failed(self, error: LimnerError) -> None:
        self.error = error
        self._end()

    def cancelled(self) -> None:
        self.was_cancelled = True
        self._end()

    def _end(self) -> None:
        assert not self._ended.is_set(), "ended twice"
        self._ended.set()

    def wait(self) -> "Heard":
        assert self._ended.wait(STILL_S), "the engine never answered"
        return self

    @property
    def picture(self) -> NDArray[np.int16]:
        """The drawn picture, (height, width, channels); raises what the engine reported instead."""
        self.wait()
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return pixels(self.result.picture)


def pixels(picture: Picture) -> NDArray[np.int16]:
    """(height, width, channels), 0..255, signed so that differences do not wrap."""
    shape = (picture.size.height_px, picture.size.width_px, len(picture.mode))
    return np.frombuffer(picture.pixels, np.uint8).reshape(shape).astype(np.int16)


def sample(family: str, seed: int, *, pipeline: str | None = None, **options: Any) -> Sample:
    """A 64 x 64 picture by ``family``; keywords that a Sample has go there, the others are pipeline arguments."""
    own = {name: options.pop(name) for name in ("previews", "owner", "loras", "encoded", "sampler") if name in options}
    arguments = {"prompt": f"a photo of {seed} cats", "num_inference_steps": 4, "height": 64, "width": 64}
    arguments |= {**ARGUMENTS[family], **options}
    return Sample(family, pipeline or type(tiny(family)).__name__, seed, arguments, **own)


@cache
def tiny(family: str) -> Any:
    """The family's pipeline, built once for all tests."""
    torch.set_num_threads(1)  # several threads only stall each other where tests share a machine
    return build(family)


def adopt(engine: Engine, family: str, pipeline: Any = None) -> LoadedModel:
    """Serve a tiny pipeline under its family's name."""
    found = pipeline or tiny(family)
    return engine.adopt(found, LoadedModel(family, type(found).__name__, "tiny", 0))


def draw_all(engine: Engine, samples: list[Sample]) -> list[NDArray[np.int16]]:
    """All pictures, submitted together."""
    heard = [Heard() for _ in samples]
    for one, listener in zip(samples, heard, strict=True):
        engine.submit(one, listener)
    return [listener.picture for listener in heard]


def draw(engine: Engine, one: Sample) -> NDArray[np.int16]:
    """One picture, alone in the engine."""
    return draw_all(engine, [one])[0]


class Forwards:
    """Counts the rows of every real forward of a module, and can make forwards fail."""

    def __init__(self, module: Any) -> None:
        self.rows: list[int] = []
        self.fail_if: Callable[[Mapping[str, Any]], Exception | None] = lambda arguments: None
        self._module, self._original = module, module.forward
        module.forward = self._forward

    def _forward(self, *args: Any, **kwargs: Any) -> Any:
        given = {**kwargs, "first": args[0]} if args else kwargs
        batch = next(given[name] for name in ("hidden_states", "sample", "x", "first") if name in given)
        self.rows.append(len(batch))
        error = self.fail_if(kwargs)
        if error is not None:
            raise error
        return self._original(*args, **kwargs)

    def undo(self) -> None:
        del self._module.__dict__["forward"]


class EveryBatchPays(BatchCurve):
    """A curve that merges whatever can merge: how long forwards take on a busy machine must decide no test."""

    def observe(self, size: int, seconds: float) -> None:
        """Nothing is measured."""

    def limit(self, most: int) -> int:
        return most


@pytest.fixture(autouse=True)
def merge_whatever_can_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "BatchCurve", EveryBatchPays)


@pytest.fixture
def count_forwards() -> Iterator[Callable[[Any], Forwards]]:
    """Counters on modules, put on before an engine adopts the pipeline and taken off after it has closed."""
    made: list[Forwards] = []

    def count(module: Any) -> Forwards:
        made.append(Forwards(module))
        return made[-1]

    yield count
    for one in made:
        one.undo()


@pytest.fixture
def engine(count_forwards: object) -> Iterator[Engine]:
    """One lane, so that whatever can merge does."""
    made = Engine(EngineSettings(device="cpu", lanes=1, threads=1))
    yield made
    made.close()


@pytest.fixture
def make_engine(count_forwards: object) -> Iterator[Callable[..., Engine]]:
    """Engines with settings of the test's choice, closed at its end."""
    made: list[Engine] = []

    def make(**settings: Any) -> Engine:
        made.append(Engine(EngineSettings(**{"device": "cpu", "lanes": 1, "threads": 1, **settings})))
        return made[-1]

    yield make
    for one in made:
        one.close()


__all__ = ["Forwards", "Heard", "Ticket", "adopt", "draw", "draw_all", "pixels", "sample", "tiny"]
