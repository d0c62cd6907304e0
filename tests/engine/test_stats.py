"""What the engine counts while it draws, for whoever watches."""

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from limner.engine import Engine
from limner.engine.stats import Tally, Uses
from limner.errors import InternalError
from tests.engine.conftest import STILL_S, Forwards, Heard, adopt, draw, draw_all, sample, tiny


def test_an_engine_that_has_drawn_nothing(engine: Engine) -> None:
    stats = engine.stats()
    assert (stats.device, stats.forwards, stats.batches, stats.cache_uses) == ("cpu", {}, {}, {})
    assert (stats.active_samples, stats.waiting_samples, stats.device_bytes) == (0, 0, {})


def test_batches_are_counted_as_they_were_merged(engine: Engine, count_forwards: Callable[[Any], Forwards]) -> None:
    forwards = count_forwards(tiny("flux1").transformer)
    adopt(engine, "flux1")
    draw_all(engine, [sample("flux1", seed) for seed in range(4)])
    stats = engine.stats()
    assert sum(stats.batches.values()) == stats.forwards["denoise"]
    assert sum(size * count for size, count in stats.batches.items()) == 4 * 4, "4 samples of 4 steps"
    assert max(stats.batches) > 1
    assert max(stats.batches) == max(forwards.rows)


def test_device_seconds_are_those_of_the_samples(engine: Engine) -> None:
    adopt(engine, "flux1")
    heard = [Heard() for _ in range(3)]
    for seed, one in enumerate(heard):
        engine.submit(sample("flux1", seed), one)
    results = [one.wait().result for one in heard]
    stats = engine.stats()
    for stage in ("encode", "denoise", "decode"):
        told_s = sum(getattr(result.timings, f"{stage}_s") for result in results if result is not None)
        assert stats.forward_s[stage] == pytest.approx(told_s), stage
        assert stats.forwards[stage] > 0


def test_prompts_that_were_encoded_before_are_hits(engine: Engine) -> None:
    adopt(engine, "flux1")
    draw_all(engine, [sample("flux1", seed, prompt="one prompt") for seed in range(3)])
    assert engine.stats().cache_uses["flux1", "prompt"] == Uses(hits=2, misses=1)
    draw(engine, sample("flux1", 9, prompt="another prompt"))
    assert engine.stats().cache_uses["flux1", "prompt"] == Uses(hits=2, misses=2)
    assert engine.stats().cache_uses["flux1", "lora"] == Uses()


def test_what_runs_and_what_waits(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(max_active=1)
    adopt(engine, "flux1")
    began, go_on = threading.Event(), threading.Event()

    def block(step: int) -> None:
        began.set()
        assert go_on.wait(STILL_S)

    first, second = Heard(on_step=block), Heard()
    engine.submit(sample("flux1", 1), first)
    engine.submit(sample("flux1", 2), second)
    assert began.wait(STILL_S)
    stats = engine.stats()
    go_on.set()
    assert (stats.active_samples, stats.waiting_samples) == (1, 1)
    first.wait()
    second.wait()


def test_running_out_of_memory_is_counted(engine: Engine, count_forwards: Callable[[Any], Forwards]) -> None:
    forwards = count_forwards(tiny("flux1").transformer)
    adopt(engine, "flux1")
    forwards.fail_if = lambda given: torch.OutOfMemoryError("no room")
    with pytest.raises(InternalError):
        draw(engine, sample("flux1", 1))
    assert engine.stats().out_of_memory == 1
    assert "denoise" not in engine.stats().forwards, "a forward that failed is none"


def test_a_snapshot_stays_as_it_was(engine: Engine) -> None:
    adopt(engine, "flux1")
    draw(engine, sample("flux1", 1))
    before = engine.stats()
    steps, misses = before.forwards["denoise"], before.cache_uses["flux1", "prompt"].misses
    draw(engine, sample("flux1", 2))
    assert (before.forwards["denoise"], before.cache_uses["flux1", "prompt"].misses) == (steps, misses)


def test_several_lanes_lose_no_count() -> None:
    tally = Tally()

    def count() -> None:
        for _ in range(2000):
            tally.forward("denoise", 2, 0.5)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    forwards, seconds, batches, _ = tally.read()
    assert (forwards, seconds, batches) == ({"denoise": 8000}, {"denoise": 4000.0}, {2: 8000})


def test_the_figures_need_no_torch() -> None:
    line = "import sys; from limner.engine import EngineStats; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True).stdout == "False\n"
