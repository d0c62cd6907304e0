"""A job's life through the service, on a fake backend and a real store."""

import asyncio
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from limner.accounts import OPEN, Caller
from limner.api.replies import usage
from limner.config import Settings, load_settings
from limner.core import Operation, Picture, Progress, Queued, Request, Size, Words
from limner.errors import (
    Cancelled,
    ClientLeft,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InternalError,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    NotReady,
    Overloaded,
)
from limner.jobs import Outcome, Submission
from limner.service import Service
from limner.service.worker import Ended
from limner.store import ImageRow, JobFilter, Store
from limner.store.rows import Accepted, Hook, NewJob
from tests.fakes import FakeBackend, opener, until

STEPS = {"num_inference_steps": 2}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(None, {"data": tmp_path, "queue_limit": 2, "lease_s": 2})


def ask(prompt: str = "a cat", **changes: object) -> Request:
    fields: dict[str, object] = {"operation": Operation.GENERATE, "model": "", "prompt": prompt, **changes}
    return Request(**fields)  # type: ignore[arg-type]


def caller(key_id: str, **changes: object) -> Caller:
    fields: dict[str, object] = {"key_id": key_id, "name": key_id, "scopes": frozenset({"generate", "read"}), **changes}
    return Caller(**fields)  # type: ignore[arg-type]


async def test_followers_see_every_event_however_late_they_come(settings: Settings) -> None:
    async with opener(FakeBackend())(settings) as service:
        job = await service.submit(ask())
        await job.result()
        early = [type(event) async for event in job.events()]
        assert early[0] is Queued
        assert early[-1] is Outcome
        assert early.count(Progress) == job.request.params["num_inference_steps"]
        assert job.status == "finished"
        assert job.progress == 1.0


async def test_a_follower_goes_on_where_it_broke_off(settings: Settings) -> None:
    async with opener(FakeBackend())(settings) as service:
        job = await service.submit(ask(params=STEPS))
        await job.result()
        numbered = [pair async for pair in job.numbered_events()]
        assert [pair async for pair in job.numbered_events(numbered[1][0])] == numbered[2:]
        assert [pair async for pair in job.numbered_events(numbered[-1][0])] == []
        assert [pair async for pair in job.numbered_events("another-1")] == numbered


async def test_pictures_are_stored_and_found_again_with_the_job(settings: Settings) -> None:
    async with opener(FakeBackend())(settings) as service:
        job = await service.submit(ask(n=2, seed=7))
        drawn = await job.result()
        files = [await service.data_of(picture) for picture in drawn.pictures]
        job_id = job.id
    async with opener(FakeBackend())(settings) as service:
        found = await service.find(job_id)
        assert (found.status, found.request.seed, found.progress) == ("finished", 7, 1.0)
        outcome = await found.result()
        assert [picture.seed for picture in outcome.pictures] == [7, 8]
        assert [await service.data_of(picture) for picture in outcome.pictures] == files
        assert outcome.model_revision == "fake-revision"


async def test_what_was_left_is_drawn_by_the_next_process(settings: Settings) -> None:
    """A service that goes without a word leaves its jobs; its inputs, seed and parameters are there for the next."""
    picture = Picture("RGB", Size(64, 64), bytes(range(256)) * 48)
    mask = Picture("L", Size(64, 64), b"\xff" * 4096)
    backend = FakeBackend(delay_s=30)
    async with opener(backend)(settings) as service:
        job = await service.submit(ask(operation=Operation.INPAINT, inputs=(picture,), mask=mask, params=STEPS))
        await asyncio.sleep(0.05)
    second = FakeBackend()
    async with opener(second)(settings) as service:
        again = await service.find(job.id)
        await asyncio.wait_for(again.result(), 10)
    (request,) = second.requests
    assert request == backend.requests[0]
    assert not list((settings.data / "files" / "inputs").rglob("*.png"))


async def test_closing_hands_back_what_runs(settings: Settings) -> None:
    backend = FakeBackend(delay_s=5)
    async with opener(backend)(settings) as service:
        job = await service.submit(ask())
        await asyncio.sleep(0.05)
        unbegun, _ = await service._admission._accept(ask(), Submission(), OPEN)  # its task has had no turn yet
    assert backend.closed
    assert backend.cancelled == 1
    with pytest.raises(NotReady, match=job.id):
        await job.result()
    async with opener(FakeBackend(delay_s=5), loading=True)(settings) as service:
        for left in (job, unbegun):
            assert (await service.store.get(left.id)).status == "queued"


async def test_a_cancelled_job_stops_its_backend(settings: Settings) -> None:
    backend = FakeBackend(delay_s=5)
    async with opener(backend)(settings) as service:
        job = await service.submit(ask())
        await asyncio.sleep(0.01)
        await service.cancel(job)
        with pytest.raises(Cancelled):
            await job.result()
        assert backend.cancelled == 1
        assert job.status == "cancelled"
        row = await service.store.get(job.id)
        assert (row.status, (row.error or {})["code"]) == ("cancelled", "cancelled")


async def test_whose_client_left_was_not_cancelled_by_anybody(settings: Settings) -> None:
    async with opener(FakeBackend(delay_s=5))(settings) as service:
        job = await service.submit(ask())
        service.left(job)
        await asyncio.sleep(0.2)  # whoever waits for it keeps it alive
        row = await service.store.get(job.id)
        assert (row.status, (row.error or {})["code"]) == ("cancelled", "client_left")
        with pytest.raises(ClientLeft) as raised:
            await job.result()
        assert not isinstance(raised.value, Cancelled)


async def test_those_who_wait_elsewhere_hear_that_a_job_was_cancelled(settings: Settings) -> None:
    accepting = settings.model_copy(update={"draws": False})
    async with opener(FakeBackend())(accepting) as front, opener(FakeBackend(delay_s=30))(settings) as back:
        job = await front.submit(ask())
        async for event in job.events():
            if isinstance(event, Progress):
                break
        drawn = await back.find(job.id)
        await front.cancel(job)
        for one in (job, drawn):
            with pytest.raises(Cancelled):
                await asyncio.wait_for(one.result(), 10)


async def test_cancelling_what_another_process_draws_returns_when_it_has_stopped(settings: Settings) -> None:
    accepting, backend = settings.model_copy(update={"draws": False}), FakeBackend(delay_s=30)
    async with opener(FakeBackend())(accepting) as front, opener(backend)(settings):
        job = await front.submit(ask())
        async with asyncio.timeout(10):
            while not backend.requests:  # noqa: ASYNC110 - nothing else tells it
                await asyncio.sleep(0.01)
        await asyncio.wait_for(front.cancel(job), 10)
        assert (job.status, backend.cancelled) == ("cancelled", 1)


async def test_a_waiting_job_can_be_cancelled(settings: Settings) -> None:
    one_at_once = settings.model_copy(update={"jobs_at_once": 1})
    async with opener(FakeBackend(delay_s=0.05))(one_at_once) as service:
        first, second = await service.submit(ask()), await service.submit(ask())
        assert await service.position(second) == 0
        await service.cancel(second)
        assert second.status == "cancelled"
        await asyncio.wait_for(first.result(), 10)


async def test_a_job_cancelled_while_it_waits_ends_like_any_other(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    one_at_once = settings.model_copy(update={"jobs_at_once": 1})
    ends: list[str] = []
    async with opener(FakeBackend(delay_s=0.05))(one_at_once) as service:
        first = await service.submit(ask(params={"num_inference_steps": 50}))
        second = await service.submit(ask())
        again = await service.find(second.id)
        service.on_job_end.append(lambda _: ends.append(second.status))
        with caplog.at_level("INFO", "limner.service.figures"):
            await asyncio.gather(service.cancel(second), service.cancel(again))
        assert ends == ["cancelled"]
        assert [line.message for line in caplog.records] == ["job cancelled"]
        assert ended(service) == {("sketch", "cancelled"): 1.0}
        await service.cancel(first)


async def test_who_hears_of_an_end_is_told_whether_somebody_outside_is_to_hear_of_it(settings: Settings) -> None:
    one_at_once = settings.model_copy(update={"jobs_at_once": 1})
    async with opener(FakeBackend(delay_s=0.05))(one_at_once) as service:
        heard: dict[str, bool] = {}
        service.on_job_end.append(lambda ended: heard.update({ended.job.id: ended.hooked}))
        told = Submission(hook=Hook("https://example.org"))
        with service.seat() as seat:
            drawn = await seat.submit(ask(), told)
        silent = await service.submit(ask())
        await asyncio.gather(drawn.result(), silent.result())
        busy = await service.submit(ask(params={"num_inference_steps": 50}))
        with service.seat() as seat:
            waiting = await seat.submit(ask(), told)
        await service.cancel(waiting)
        assert heard == {drawn.id: True, silent.id: False, waiting.id: True}
        await service.cancel(busy)


async def test_the_queue_is_asked_when_a_slot_was_waited_for_and_only_then(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.service.worker.POLL_S", 60.0)
    asked: list[int] = []
    claim = Store.claim

    async def counted(*args: Any, **kwargs: Any) -> Any:
        asked.append(1)
        return await claim(*args, **kwargs)

    monkeypatch.setattr(Store, "claim", counted)
    two_at_once = settings.model_copy(update={"jobs_at_once": 2, "queue_limit": 5})
    async with opener(FakeBackend())(two_at_once) as service:
        for _ in range(3):
            await (await service.submit(ask())).result()
        assert len(asked) <= 1, "only at the start"
        jobs = [await service.submit(ask()) for _ in range(5)]
        async with asyncio.timeout(20):
            await asyncio.gather(*(job.result() for job in jobs))
        assert len(asked) > 1


class HeldBack:
    """A store that takes in the job with the prompt "slow" when it is let, or refuses it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.let = asyncio.Event(), asyncio.Event()
        self.refuses = False
        self._enqueue = Store.enqueue

        async def enqueue(store: Store, new: NewJob, **how: Any) -> Accepted:
            if new.request["prompt"] == "slow":
                self.asked.set()
                await self.let.wait()
                if self.refuses:
                    raise Overloaded("too many", retry_after_s=1)
            return await self._enqueue(store, new, **how)

        monkeypatch.setattr(Store, "enqueue", enqueue)


@pytest.fixture
def held_back(monkeypatch: pytest.MonkeyPatch) -> HeldBack:
    return HeldBack(monkeypatch)


@pytest.mark.parametrize("refused", [True, False])
async def test_a_slot_that_was_promised_in_vain_goes_to_who_waits(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, held_back: HeldBack, refused: bool
) -> None:
    monkeypatch.setattr("limner.service.worker.POLL_S", 60.0)
    two_at_once = settings.model_copy(update={"jobs_at_once": 2, "queue_limit": 5})
    held_back.refuses = refused
    async with opener(FakeBackend(delay_s=0.05))(two_at_once) as service, asyncio.timeout(20):
        drawn = await service.submit(ask(params={"num_inference_steps": 4}))
        edit = {"operation": Operation.EDIT, "inputs": (Picture("RGB", Size(64, 64), bytes(64 * 64 * 3)),)}
        promised = asyncio.create_task(service.submit(ask("slow", **edit)))
        await held_back.asked.wait()
        waiting = await service.submit(ask())
        assert waiting.status == "queued"
        if refused:
            held_back.let.set()
        else:
            promised.cancel()
        with pytest.raises(Overloaded if refused else asyncio.CancelledError):
            await promised
        await asyncio.gather(drawn.result(), waiting.result())
        held_back.let.set()


async def test_a_job_that_is_accepted_when_its_client_has_gone_is_not_left_lying(
    settings: Settings, held_back: HeldBack
) -> None:
    async with opener(FakeBackend(delay_s=0.05))(settings) as service, asyncio.timeout(20):
        leaving = asyncio.create_task(service.submit(ask("slow", params={"num_inference_steps": 50})))
        await held_back.asked.wait()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        held_back.let.set()
        await until(lambda: ended(service) == {("sketch", "cancelled"): 1.0})


async def test_a_job_that_is_given_up_ends_like_any_other(settings: Settings) -> None:
    accepting = settings.model_copy(update={"draws": False})
    ends: list[int] = []
    async with opener(FakeBackend())(accepting) as service:
        service.on_job_end.append(lambda _: ends.append(1))
        job = await service.submit(ask(timeout_s=0.01))
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(job.result(), 10)
        await until(lambda: ended(service))
        assert ended(service) == {("sketch", "failed"): 1.0}
        assert ends == [1]


def ended(service: Service) -> dict[tuple[str, str], float]:
    """How many jobs have ended, by model and status."""
    samples = [sample for family in service.metrics.registry.collect() for sample in family.samples]
    return {
        (one.labels["model"], one.labels["status"]): one.value
        for one in samples
        if one.name == "limner_jobs_ended_total"
    }


async def test_the_pictures_of_a_cancelled_job_go(settings: Settings) -> None:
    one_at_once = settings.model_copy(update={"jobs_at_once": 1})
    picture = Picture("RGB", Size(64, 64), bytes(64 * 64 * 3))
    async with opener(FakeBackend(delay_s=0.05))(one_at_once) as service:
        await service.submit(ask())
        waiting = await service.submit(ask(operation=Operation.EDIT, inputs=(picture,)))
        inputs = settings.data / "files" / "inputs"
        assert len(list(inputs.rglob("*.png"))) == 1
        await service.cancel(waiting)
        assert not list(inputs.rglob("*.png"))


async def test_waiting_jobs_are_drawn_in_turn(settings: Settings) -> None:
    one_at_once = settings.model_copy(update={"jobs_at_once": 1, "queue_limit": 8})
    backend = FakeBackend(delay_s=0.01)
    async with opener(backend)(one_at_once) as service:
        jobs = [await service.submit(ask(f"number {i}", params=STEPS)) for i in range(4)]
        await asyncio.wait_for(asyncio.gather(*(job.result() for job in jobs)), 10)
    assert [request.prompt for request in backend.requests] == [f"number {i}" for i in range(4)]


@pytest.mark.parametrize(("rule", "ends"), [("cancel", "cancelled"), ("detach", "finished"), (0.0, "finished")])
async def test_what_a_leaving_client_does_to_its_job(settings: Settings, rule: str | float, ends: str) -> None:
    async with opener(FakeBackend(delay_s=0.3))(settings.model_copy(update={"client_left": rule})) as service:
        job = await service.submit(ask(params=STEPS))
        service.left(job)
        async with asyncio.timeout(10):
            while not job.done:  # noqa: ASYNC110 - nobody may wait for it here, or it would not be alone
                await asyncio.sleep(0.01)
        assert job.status == ends


async def test_one_of_two_who_wait_may_leave(settings: Settings) -> None:
    """A client that gives up and asks again with its idempotency key waits for the same job twice for a moment."""
    async with opener(FakeBackend(delay_s=0.1))(settings) as service:
        job = await service.submit(ask(params=STEPS))
        gone, stays = asyncio.create_task(job.result()), asyncio.create_task(job.result())
        await asyncio.sleep(0.02)
        gone.cancel()
        service.left(job)
        await asyncio.wait_for(stays, 10)
        assert job.status == "finished"


async def test_a_server_that_hangs_up_itself_cancels_nothing(settings: Settings) -> None:
    """When a server leaves it cuts its clients off, which is no wish of theirs: their jobs go on elsewhere."""
    async with opener(FakeBackend(delay_s=5))(settings) as service:
        job = await service.submit(ask())
        await asyncio.sleep(0.05)
        service.stop_accepting()
        service.left(job)
        await asyncio.sleep(0.05)
    async with opener(FakeBackend(delay_s=5), loading=True)(settings) as service:
        assert (await service.store.get(job.id)).status == "queued"


async def test_the_same_key_means_the_same_job(settings: Settings) -> None:
    backend = FakeBackend()
    keyed = Submission(idempotency_key="once")
    async with opener(backend)(settings) as service:
        with service.seat() as seat:
            first = await seat.submit(ask(), keyed)
            replays = [seat.replayed]
            second = await seat.submit(ask(), keyed)
            replays.append(seat.replayed)
            with pytest.raises(Conflict):
                await seat.submit(ask("a dog"), keyed)
            other = await seat.submit(ask(), Submission(idempotency_key="twice"))
        assert first.id == second.id != other.id
        assert replays == [False, True]
        await first.result()
        await other.result()
    assert len(backend.requests) == 2


async def test_many_at_once_with_one_key_make_one_job(settings: Settings) -> None:
    backend = FakeBackend(delay_s=0.01)
    async with opener(backend)(settings.model_copy(update={"queue_limit": 50})) as service:

        async def submit() -> str:
            with service.seat() as seat:
                return (await seat.submit(ask(), Submission(idempotency_key="once"))).id

        assert len(set(await asyncio.gather(*(submit() for _ in range(20))))) == 1
    assert len(backend.requests) == 1


async def test_the_deadline_stops_the_backend(settings: Settings) -> None:
    backend = FakeBackend(delay_s=5)
    async with opener(backend)(settings) as service:
        job = await service.submit(ask(timeout_s=0.3))
        with pytest.raises(DeadlineExceeded, match=r"0\.3 s"):
            await job.result()
        assert backend.cancelled == 1


@pytest.mark.parametrize("error", [ValueError("private"), TimeoutError("private")])
async def test_what_a_backend_raises_is_hidden_but_named(settings: Settings, error: Exception) -> None:
    async with opener(FakeBackend(error=error))(settings) as service:
        job = await service.submit(ask())
        with pytest.raises(InternalError, match=job.id) as raised:
            await job.result()
        assert "private" not in str(raised.value)
        row = await service.store.get(job.id)
        assert (row.status, (row.error or {})["code"]) == ("failed", "internal_error")


async def test_admission(settings: Settings) -> None:
    async with opener(FakeBackend(delay_s=5))(settings) as service:
        with pytest.raises(ModelNotFound, match="sketch"):
            await service.submit(ask(model="other"))
        with pytest.raises(InvalidRequest):
            await service.submit(ask(n=0))
        first, second = await service.submit(ask()), await service.submit(ask())
        with pytest.raises(Overloaded) as refused:
            await service.submit(ask())
        assert refused.value.retry_after_s is not None
        assert refused.value.retry_after_s >= 1
        with service.seat(detached=True) as seat:
            third = await seat.submit(ask(), Submission(detached=True))
        for job in (first, second, third):
            await service.cancel(job)


async def test_jobs_belong_to_their_key(settings: Settings) -> None:
    mine, other = caller("key_a"), caller("key_b")
    admin = caller("key_c", scopes=frozenset({"read", "admin"}))
    async with opener(FakeBackend())(settings) as service:
        with service.seat(mine) as seat:
            job = await seat.submit(ask())
        await job.result()
        assert (await service.find(job.id, mine)).id == job.id
        assert (await service.find(job.id, admin)).id == job.id
        with pytest.raises(NotFound):
            await service.find(job.id, other)
        assert [one.id for one in await service.jobs(JobFilter(owner="key_b"))] == []


async def test_a_key_may_be_kept_to_some_models(settings: Settings) -> None:
    async with opener(FakeBackend())(settings) as service:
        with service.seat(caller("key_a", models=("qwen*",))) as seat, pytest.raises(Forbidden, match="sketch"):
            await seat.submit(ask())


async def test_an_estimate_accepts_nothing(settings: Settings) -> None:
    async with opener(FakeBackend())(settings) as service:
        small = await service.estimate(ask(params=STEPS))
        large = await service.estimate(ask(params={"num_inference_steps": 20}))
        assert 0 < small.cost_micro < large.cost_micro
        assert small.eta_s > 0
        assert await service.jobs(JobFilter()) == []


async def test_a_page_of_jobs_reads_its_pictures_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opener(FakeBackend())(settings) as service:
        drawn = [await (await service.submit(ask(n=2, params=STEPS))).result() for _ in range(3)]
    async with opener(FakeBackend())(settings) as service:
        asked: list[int] = []
        images_of_all = service.store.images_of_all

        async def counted(job_ids: Sequence[str]) -> dict[str, tuple[ImageRow, ...]]:
            asked.append(len(job_ids))
            return await images_of_all(job_ids)

        monkeypatch.setattr(service.store, "images_of_all", counted)
        jobs = await service.jobs(JobFilter())
        assert asked == [3]
        found = [[picture.id for picture in (await job.result()).pictures] for job in jobs]
        assert found == [[picture.id for picture in outcome.pictures] for outcome in reversed(drawn)]


async def test_two_services_share_one_database(settings: Settings) -> None:
    """One accepts and does not draw, the other draws: whoever waits at the first sees it all."""
    accepting = settings.model_copy(update={"draws": False})
    idle, busy = FakeBackend(), FakeBackend(delay_s=0.3)
    async with opener(idle)(accepting) as front, opener(busy)(settings) as back:
        job = await front.submit(ask(params={"num_inference_steps": 8}))
        outcome = await asyncio.wait_for(job.result(), 20)
        assert await front.data_of(outcome.pictures[0]) == await back.data_of(outcome.pictures[0])
        kinds = [type(event) async for event in job.events()]
    assert (len(idle.requests), len(busy.requests)) == (0, 1)
    assert kinds[0] is Queued
    assert kinds[-1] is Outcome
    assert Progress in kinds


async def test_an_answer_in_words_outlives_its_process(settings: Settings) -> None:
    """Whoever follows it later hears the words, and its pictures are counted though nobody holds them."""
    asked = ask("what is it?", operation=Operation.DESCRIBE, inputs=(Picture("RGB", Size(96, 64), bytes(96 * 64 * 3)),))
    async with opener(FakeBackend(), "reader")(settings) as service:
        drawn = await service.submit(asked)
        await drawn.result()
        told = [event.text async for event in drawn.events() if isinstance(event, Words)]
    async with opener(FakeBackend(), "reader")(settings) as service:
        found = await service.find(drawn.id)
        *words, end = [event async for event in found.events()]
        assert found.request.inputs == ()
    assert words == [Words("".join(told))]
    assert isinstance(end, Outcome)
    assert usage(found) == usage(drawn)
    assert usage(found)["input_tokens_details"]["image_tokens"] == 6


async def test_of_an_answer_that_another_process_took_over_the_rest_is_told(settings: Settings) -> None:
    async with opener(FakeBackend())(settings) as service:
        for heard, rest in ((("a ", "red "), ("circle",)), (("a red circle",), ()), (("no ",), ())):
            job = await service.submit(ask(params=STEPS))
            answer = replace(await job.result(), text="a red circle")
            told = copy(job)
            told.status, told._history = "running", [Words(text) for text in heard]
            told.finish(answer)
            words = [event.text async for event in told.events() if isinstance(event, Words)]
            assert words == [*heard, *rest]


async def test_what_an_attempt_says_again_is_told_once(settings: Settings) -> None:
    asked = ask("what is it?", operation=Operation.DESCRIBE, inputs=(Picture("RGB", Size(64, 64), bytes(64 * 64 * 3)),))
    for heard, rest in (
        (("A", " red"), (" circle.",)),
        (("A re",), ("d", " circle.")),
        (("No",), ("A", " red", " circle.")),
    ):
        backend = FakeBackend(delay_s=0.4)
        async with opener(backend, "reader")(settings) as service:
            job = await service.submit(asked)
            await until(partial(bool, backend.requests))
            for text in heard:
                job.record(Words(text))
            await service.store.expire(now_s=time.time() + settings.lease_s + 1, max_crashes=9)
            service._worker.wake()
            words = [event.text async for event in job.events() if isinstance(event, Words)]
            assert (len(backend.requests), words) == (2, [*heard, *rest])


async def test_old_things_are_swept(settings: Settings) -> None:
    brief = settings.model_copy(update={"keep_images_s": 0.01, "keep_jobs_s": 0.01})
    async with opener(FakeBackend())(brief) as service:
        job = await service.submit(ask())
        outcome = await job.result()
        await asyncio.sleep(0.05)
        assert await service.sweep() >= 1
        with pytest.raises(NotFound):
            await service.blobs.get(outcome.pictures[0].key)
        await service.sweep()
        with pytest.raises(NotFound):
            await service.store.get(job.id)


async def test_the_key_of_a_cancelled_job_is_free_again(settings: Settings) -> None:
    keyed = Submission(idempotency_key="once")
    async with opener(FakeBackend(delay_s=0.05))(settings) as service:
        with service.seat() as seat:
            first = await seat.submit(ask(params=STEPS), keyed)
            await service.cancel(first)
            second = await seat.submit(ask(params=STEPS), keyed)
        assert second.id != first.id
        await second.result()


async def test_how_long_to_wait_makes_no_other_request_and_whom_to_tell_does(settings: Settings) -> None:
    async with opener(FakeBackend())(settings) as service:
        with service.seat() as seat:
            first = await seat.submit(ask(), Submission(idempotency_key="once"))
            patient = await seat.submit(ask(timeout_s=60.0, previews=1), Submission(idempotency_key="once"))
            assert patient.id == first.id
            told = Submission(idempotency_key="once", hook=Hook("https://example.org"))
            with pytest.raises(Conflict):
                await seat.submit(ask(), told)


async def test_a_key_that_pays_has_one_job_while_no_cost_is_known(settings: Settings) -> None:
    payer = caller("key_a", metered=True)
    async with opener(FakeBackend(delay_s=0.05))(settings) as service:
        with service.seat(payer) as seat:
            first = await seat.submit(ask(params=STEPS))
            with pytest.raises(Overloaded):
                await seat.submit(ask(params=STEPS))
            await first.result()
            for job in [await seat.submit(ask(params=STEPS)) for _ in range(2)]:
                await service.cancel(job)


async def test_those_who_wait_hear_at_once_that_the_server_leaves(settings: Settings) -> None:
    one_at_once = settings.model_copy(update={"jobs_at_once": 1})
    async with opener(FakeBackend(delay_s=0.1))(one_at_once) as service:
        running, waiting = await service.submit(ask(params=STEPS)), await service.submit(ask(params=STEPS))
        await asyncio.sleep(0.05)
        draining = asyncio.create_task(service.drain(10))
        with pytest.raises(NotReady, match=waiting.id):
            await asyncio.wait_for(waiting.result(), 0.1)
        assert waiting.status == "queued"
        await running.result()
        await draining


async def test_a_sign_of_life_that_crosses_the_end_of_its_job_does_not_take_the_job_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[Ended] = []
    async with opener(FakeBackend())(settings) as service:
        monkeypatch.setattr(service._worker, "on_end", ends.append)
        finish = service.store.finish

        async def heard_late(*of: Any) -> bool:
            recorded = await finish(*of)
            await asyncio.sleep(settings.lease_s / 2)  # longer than until the next beat
            return recorded

        monkeypatch.setattr(service.store, "finish", heard_late)
        job = await service.submit(ask(params=STEPS))
        await asyncio.wait_for(job.result(), 10)
        while service._worker.busy:  # noqa: ASYNC110 - nothing else tells it
            await asyncio.sleep(0.01)
    assert [ended.over for ended in ends] == [True]


async def test_a_job_whose_lease_passed_unnoticed_may_be_claimed_by_the_same_process(settings: Settings) -> None:
    """As after the machine slept: the attempt that is still under way ends first, and its end is not the other's."""
    backend = FakeBackend(delay_s=0.4)
    async with opener(backend)(settings) as service:
        job = await service.submit(ask(params={"num_inference_steps": 6}))
        await asyncio.sleep(0.05)
        await service.store.expire(now_s=time.time() + settings.lease_s + 1, max_crashes=9)
        service._worker.wake()
        async with asyncio.timeout(10):
            while len(backend.requests) < 2:  # noqa: ASYNC110 - nothing else tells it
                await asyncio.sleep(0.01)
        assert backend.cancelled == 1
        await asyncio.sleep(0.7)  # longer than until the next beat
        assert service._worker.holds(job.id)
        await asyncio.wait_for(job.result(), 10)
        row = await service.store.get(job.id)
        assert (row.attempt, row.crashes) == (2, 1)
