"""Progress, cancellation, failures and clean-up, all through submit and a listener."""

import gc
import threading
import weakref
from collections.abc import Callable, Mapping
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest
import torch

from limner.engine import Engine, LoadedModel, Sample, Ticket
from limner.engine.executor import Lane
from limner.engine.fibers import FiberPool
from limner.errors import InternalError, InvalidRequest, ModelNotFound, NotReady
from tests.engine.conftest import STILL_S, EveryBatchPays, Forwards, Heard, adopt, draw, draw_all, sample, tiny


def test_progress_counts_every_step(engine: Engine) -> None:
    adopt(engine, "flux1")
    heard = Heard()
    engine.submit(sample("flux1", 1, num_inference_steps=5), heard)
    heard.wait()
    assert heard.steps == [(step, 5) for step in range(1, 6)]


def test_progress_knows_how_much_of_the_schedule_strength_leaves(engine: Engine) -> None:
    from PIL import Image

    adopt(engine, "flux1")
    heard = Heard()
    image = Image.new("RGB", (64, 64), "red")
    engine.submit(
        sample("flux1", 1, pipeline="FluxImg2ImgPipeline", image=image, strength=0.5, num_inference_steps=8), heard
    )
    heard.wait()
    assert heard.steps[-1] == (4, 4)


def test_timings_name_where_time_went(engine: Engine) -> None:
    adopt(engine, "flux1")
    heard = Heard()
    engine.submit(sample("flux1", 1), heard)
    result = heard.wait().result
    assert result is not None
    t = result.timings
    assert min(t.encode_s, t.denoise_s, t.decode_s) > 0
    assert t.queue_s + t.device_s <= t.total_s


def test_cancelling_in_the_middle_stops_at_the_next_step_and_harms_nobody(engine: Engine) -> None:
    adopt(engine, "flux1")
    expected = draw(engine, sample("flux1", 2, num_inference_steps=6))
    tickets: list[Ticket] = []
    victim = Heard(on_step=lambda step: tickets[0].cancel() if step == 3 else None)
    other = Heard()
    tickets.append(engine.submit(sample("flux1", 1, num_inference_steps=500), victim))
    engine.submit(sample("flux1", 2, num_inference_steps=6), other)
    assert np.abs(other.picture - expected).max() <= 1
    victim.wait()
    assert victim.was_cancelled
    assert len(victim.steps) == 3


def test_cancelling_before_it_began(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(max_active=1)
    adopt(engine, "flux1")
    began, go_on = threading.Event(), threading.Event()

    def block(step: int) -> None:
        began.set()
        assert go_on.wait(STILL_S)

    first, second = Heard(on_step=block), Heard()
    engine.submit(sample("flux1", 1), first)
    assert began.wait(STILL_S)
    engine.submit(sample("flux1", 2), second).cancel()
    go_on.set()
    second.wait()
    assert second.was_cancelled
    assert not second.steps
    assert first.picture is not None


def test_cancelling_after_the_end_does_nothing(engine: Engine) -> None:
    adopt(engine, "flux1")
    heard = Heard()
    ticket = engine.submit(sample("flux1", 1), heard)
    heard.wait()
    ticket.cancel()
    assert draw(engine, sample("flux1", 1)).shape == (64, 64, 3)
    assert not heard.was_cancelled


def test_many_samples_and_cancellations_leave_no_threads_behind(engine: Engine) -> None:
    adopt(engine, "flux2_klein")
    tiny_one: dict[str, Any] = {"num_inference_steps": 1, "height": 32, "width": 32, "guidance_scale": 1.0}
    draw_all(engine, [sample("flux2_klein", seed, **tiny_one) for seed in range(8)])
    threads = threading.active_count()
    for round_ in range(10):
        heard = [Heard() for _ in range(8)]
        tickets = [engine.submit(sample("flux2_klein", seed, **tiny_one), one) for seed, one in enumerate(heard)]
        for ticket in tickets[round_ % 2 :: 2]:
            ticket.cancel()
        for one in heard:
            one.wait()
    assert threading.active_count() <= threads
    assert engine.fiber_threads <= 8


def test_a_pipelines_refusal_is_the_requests_fault_and_fails_it_alone(engine: Engine) -> None:
    adopt(engine, "flux1")
    expected = draw(engine, sample("flux1", 1))
    bad, good = Heard(), Heard()
    engine.submit(sample("flux1", 0, callback_on_step_end_tensor_inputs=["nope"]), bad)
    engine.submit(sample("flux1", 1), good)
    assert np.abs(good.picture - expected).max() <= 1
    bad.wait()
    assert isinstance(bad.error, InvalidRequest)
    assert "nope" in bad.error.message


def test_a_forward_that_fails_for_one_row_fails_one_sample(
    engine: Engine, count_forwards: Callable[[Any], Forwards]
) -> None:
    forwards = count_forwards(tiny("flux1").transformer)
    adopt(engine, "flux1")
    expected = draw_all(engine, [sample("flux1", seed, guidance_scale=2.0) for seed in range(3)])
    forwards.fail_if = lambda given: RuntimeError("poison") if (given["guidance"] > 50).any() else None
    heard = [Heard() for _ in range(3)]
    for seed, one in enumerate(heard):
        engine.submit(sample("flux1", seed, guidance_scale=99.0 if seed == 1 else 2.0), one)
    assert np.abs(heard[0].picture - expected[0]).max() <= 1
    assert np.abs(heard[2].picture - expected[2]).max() <= 1
    heard[1].wait()
    assert isinstance(heard[1].error, InternalError)
    assert "poison" not in heard[1].error.message


def test_out_of_memory_halves_the_batch(engine: Engine, count_forwards: Callable[[Any], Forwards]) -> None:
    forwards = count_forwards(tiny("flux1").transformer)
    adopt(engine, "flux1")
    forwards.fail_if = lambda given: torch.OutOfMemoryError("no room") if len(given["hidden_states"]) > 2 else None
    drawn = draw_all(engine, [sample("flux1", seed) for seed in range(6)])
    assert len(drawn) == 6
    tail = forwards.rows[len(forwards.rows) // 2 :]
    assert max(tail) <= 2, "batches that do not fit are still tried"


def test_running_out_of_memory_alone_is_reported(engine: Engine, count_forwards: Callable[[Any], Forwards]) -> None:
    forwards = count_forwards(tiny("flux1").transformer)
    adopt(engine, "flux1")
    forwards.fail_if = lambda given: torch.OutOfMemoryError("no room")
    with pytest.raises(InternalError, match="memory"):
        draw(engine, sample("flux1", 1))


def test_running_out_of_memory_alone_says_nothing_of_batches(
    engine: Engine, count_forwards: Callable[[Any], Forwards]
) -> None:
    forwards = count_forwards(tiny("flux1").transformer)
    adopt(engine, "flux1")
    forwards.fail_if = lambda given: torch.OutOfMemoryError("no room")
    with pytest.raises(InternalError, match="memory"):
        draw(engine, sample("flux1", 1))
    forwards.fail_if = lambda given: None
    draw_all(engine, [sample("flux1", seed) for seed in range(4)])
    assert max(forwards.rows) > 1, "nothing is merged any more"


def test_what_cannot_merge_is_not_measured(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kind never comes again, and kinds that do would be forgotten for it."""
    observed: list[int] = []
    monkeypatch.setattr(EveryBatchPays, "observe", lambda self, size, seconds: observed.append(size))
    adopt(engine, "flux1")
    draw(engine, sample("flux1", 1, joint_attention_kwargs={"unmergeable": object()}))
    assert not observed
    draw(engine, sample("flux1", 1))
    assert observed == [1] * 4


def test_what_ran_out_of_memory_is_free_before_it_is_tried_again(
    engine: Engine, count_forwards: Callable[[Any], Forwards]
) -> None:
    forwards = count_forwards(tiny("flux1").transformer)
    adopt(engine, "flux1")
    held: list[weakref.ref[torch.Tensor]] = []

    def refuse(given: Mapping[str, Any]) -> Exception | None:
        if len(given["hidden_states"]) > 1:
            activations = torch.zeros(8)
            held.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("no room")
        return RuntimeError("still held") if any(one() is not None for one in held) else None

    forwards.fail_if = refuse
    assert len(draw_all(engine, [sample("flux1", seed) for seed in range(4)])) == 4
    assert held, "nothing was merged"


def test_a_failed_sample_holds_no_tensors(engine: Engine, count_forwards: Callable[[Any], Forwards]) -> None:
    forwards = count_forwards(tiny("flux1").transformer)
    adopt(engine, "flux1")
    held: list[weakref.ref[torch.Tensor]] = []

    def refuse(given: Mapping[str, Any]) -> Exception | None:
        activations = torch.zeros(8)
        held.append(weakref.ref(activations))
        raise RuntimeError("poison")

    forwards.fail_if = refuse
    gc.disable()
    try:
        heard = Heard()
        engine.submit(sample("flux1", 1), heard)
        assert isinstance(heard.wait().error, InternalError)
        ended = monotonic() + STILL_S
        while held[0]() is not None and monotonic() < ended:
            sleep(0.01)  # the lane lets go of it right after it has told
        assert held[0]() is None
    finally:
        gc.enable()


def test_a_thread_that_cannot_be_started_fails_one_sample(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    adopt(engine, "flux1")
    with monkeypatch.context() as patched:
        patched.setattr(FiberPool, "start", lambda *args: (_ for _ in ()).throw(RuntimeError("can't start new thread")))
        with pytest.raises(InternalError):
            draw(engine, sample("flux1", 1))
    draw(engine, sample("flux1", 1))


def test_a_lane_that_dies_lets_go_of_what_it_was_encoding(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(lanes=1)
    adopt(engine, "flux1")
    with monkeypatch.context() as patched:
        patched.setattr(Lane, "_forward", lambda *args: (_ for _ in ()).throw(RuntimeError("a defect of the lane")))
        heard = [Heard() for _ in range(2)]
        for one in heard:
            engine.submit(sample("flux1", 1), one)
        for one in heard:
            assert isinstance(one.wait().error, NotReady)
    assert not engine._models["flux1"].prompts._encoding


def test_a_short_sample_does_not_wait_for_a_long_one(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(max_batch=1)
    adopt(engine, "flux1")
    running = threading.Event()
    long, short = Heard(on_step=lambda step: running.set()), Heard()
    ticket = engine.submit(sample("flux1", 1, num_inference_steps=900), long)
    assert running.wait(STILL_S)
    engine.submit(sample("flux1", 2, num_inference_steps=2), short)
    short.wait()
    assert long.result is None
    ticket.cancel()
    long.wait()


def test_unknown_models_and_arguments_are_refused_at_once(engine: Engine) -> None:
    adopt(engine, "flux1")
    with pytest.raises(ModelNotFound):
        engine.submit(Sample("nothing", "FluxPipeline", 0), Heard())
    with pytest.raises(InvalidRequest, match="sharpness"):
        engine.submit(sample("flux1", 0, sharpness=3), Heard())


def test_closing_gives_up_what_runs_and_what_waits(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(max_active=2)
    adopt(engine, "flux1")
    running = threading.Event()
    heard = [Heard(on_step=lambda step: running.set()) for _ in range(4)]
    for seed, one in enumerate(heard):
        engine.submit(sample("flux1", seed, num_inference_steps=900), one)
    assert running.wait(STILL_S)
    engine.close()
    for one in heard:
        one.wait()
        assert one.was_cancelled or isinstance(one.error, NotReady)
    assert not engine.healthy
    with pytest.raises((NotReady, ModelNotFound)):
        engine.submit(sample("flux1", 0), Heard())


def test_closing_leaves_the_modules_as_they_were(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    adopt(engine, "flux1")
    assert "forward" in tiny("flux1").transformer.__dict__
    engine.close()
    assert "forward" not in tiny("flux1").transformer.__dict__


class Deadly(Heard):
    """Breaks the rule that a listener never raises, and so the lane's thread."""

    def finished(self, result: object) -> None:
        raise SystemError("this kills a lane")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_lane_shows_and_takes_no_more(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    info: LoadedModel = adopt(engine, "flux1")
    assert info in engine.models()
    health = [engine.healthy]
    waiting = Heard()
    engine.submit(sample("flux1", 1, num_inference_steps=1), Deadly())
    engine.submit(sample("flux1", 2, num_inference_steps=900), waiting)
    waiting.wait()
    assert isinstance(waiting.error, NotReady)
    assert [*health, engine.healthy] == [True, False]
    with pytest.raises(NotReady):
        engine.submit(sample("flux1", 3), Heard())
