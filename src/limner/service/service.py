"""The front of the service: submits requests, finds jobs again, cancels them, comes and goes.

Owns the life of a process's service, put together from its parts, and the jobs that somebody here holds on to. Knows
no wire format and no model.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager

from limner.accounts import OPEN, Caller, charge_micro
from limner.chat.language import LanguageModel
from limner.config import Settings
from limner.core import Picture, Request
from limner.errors import Cancelled, ClientLeft, NotFound
from limner.jobs import Job, StoredPicture
from limner.logs import bind_job
from limner.records import attached_inputs, error_record, request_of, stored_inputs
from limner.roster import Roster
from limner.service.admission import Admission, Estimate, Seat
from limner.service.attempt import Attempts
from limner.service.figures import count_end, log_end
from limner.service.live import LiveJobs
from limner.service.liveness import Liveness
from limner.service.pace import Pace
from limner.service.pixel_room import PixelRoom
from limner.service.publishing import Publisher
from limner.service.tools import Tools
from limner.service.upkeep import Upkeep, kept_attachments
from limner.service.watch import Watch
from limner.service.worker import Ended, Worker, WorkerRules, leaving
from limner.store import JobFilter, JobRow

logger = logging.getLogger(__name__)
IDLE_S = 2.0
LEAVING_S = 0.05  # until a client that has left is no longer counted among those who wait
SEEN_ENOUGH = 0.05  # share of a job after which its own speed tells most
LEARN_FROM_JOBS = 20  # of each model, at start
CANCELLED = "the job was cancelled"
ALL_LEFT = "the client that waited for the job closed its connection"


class Service:
    """Accepts requests, makes them jobs in the store and follows them. `start` before use, `aclose` after it."""

    def __init__(self, roster: Roster, settings: Settings, tools: Tools) -> None:
        self.roster = roster
        self.store, self.blobs, self.media = tools.store, tools.blobs, tools.media
        self.metrics, self.tracing = tools.metrics, tools.tracing
        self.metrics.watch_models(lambda: {model.spec.id: model.state == "ready" for model in roster})
        self._settings = settings
        self._tools = tools
        self._pace = Pace()
        self._publisher = Publisher(
            tools.store, tools.blobs, tools.media, settings.keep_images_s, settings.embed_recipe
        )
        self._live = LiveJobs(self._publisher, PixelRoom(settings.max_held_pixels))
        worker_id = uuid.uuid4().hex
        self._liveness = None if tools.workers is None else Liveness(tools.workers, worker_id)
        self._worker = self._new_worker(worker_id)
        self._watch = Watch(tools.store, self._unwatched, self._live.conclude, self._place, self._pace)
        self._admission = Admission(
            roster,
            settings,
            tools,
            live=self._live,
            publisher=self._publisher,
            worker=self._worker,
            pace=self._pace,
            place=self._place,
        )
        self._upkeep = Upkeep(tools.store, tools.blobs, settings)
        self.on_job_end: list[Callable[[Ended], None]] = []
        self._errands: set[asyncio.Task[None]] = set()
        self._closing_since_s: float | None = None

    def _new_worker(self, worker_id: str) -> Worker:
        settings = self._settings
        slots = (settings.jobs_at_once or 2 * settings.max_batch) if settings.draws else 0
        attempts = Attempts(
            tools=self._tools,
            roster=self.roster,
            publisher=self._publisher,
            lease_s=settings.lease_s,
            with_inputs=self._live.with_inputs,
            charge=self._charge,
        )
        return Worker(
            id=worker_id,
            tools=self._tools,
            roster=self.roster,
            attempts=attempts,
            liveness=self._liveness,
            rules=WorkerRules(slots, settings.lease_s, settings.max_crashes),
            job_of=self._live.of,
            on_end=self._ended,
            on_given_up=lambda job_ids: self._run_errand(self._given_up(job_ids)),
        )

    @property
    def language(self) -> LanguageModel | None:
        """Who leads conversations and puts prompts into better words, if anybody does."""
        return self._admission.language

    @language.setter
    def language(self, model: LanguageModel | None) -> None:
        self._admission.language = model

    def language_for(self, caller: Caller) -> LanguageModel | None:
        """The language model that may see the caller's words."""
        return self._admission.language_for(caller)

    async def start(self) -> None:
        """Take up what the last process left, and begin to work."""
        if self._liveness is not None:
            await asyncio.to_thread(self._liveness.__enter__)
        await self._learn()
        await self._worker.start()
        self._watch.start()

    async def ready(self) -> None:
        """Wait until every model is loaded; raises the first one's failure."""
        await self.roster.settled()
        self._worker.wake()

    @property
    def closing(self) -> bool:
        """Whether the server is on its way out."""
        return self._closing_since_s is not None

    def seat(self, caller: Caller = OPEN, *, detached: bool = False) -> AbstractContextManager[Seat]:
        """A place in the queue, held while a request is still being read: see `Admission.seat`."""
        return self._admission.seat(caller, detached=detached, left=self.left)

    async def submit(self, request: Request) -> Job:
        """Take a seat and submit at once: see `Seat.submit`."""
        with self.seat() as seat:
            return await seat.submit(request)

    async def find(self, job_id: str, caller: Caller = OPEN) -> Job:
        """The job as it is now, and as it goes on for as long as somebody holds it. Raises NotFound for one that is
        unknown or somebody else's."""
        return await self._live.of(await self._row(job_id, caller))

    def attachments(self, job: Job) -> tuple[int, ...]:
        """The places of the inputs that came with a job and from which a conversation can still go on."""
        return kept_attachments(job.handed_in.attached, job.times.ended_at_s, self._settings.keep_images_s)

    async def attachment(self, job_id: str, place: int, caller: Caller = OPEN) -> Picture:
        """One of `attachments`. Raises NotFound for any other, and for one whose time is over."""
        row = await self._row(job_id, caller)
        if place not in kept_attachments(attached_inputs(row.request), row.ended_at_s, self._settings.keep_images_s):
            raise NotFound(f"no picture {place} is kept of job {job_id[:100]!r}", param="id")
        return await self._publisher.read_input(stored_inputs(row.request)[place])

    async def _row(self, job_id: str, caller: Caller) -> JobRow:
        row = await self.store.get(job_id)
        if not caller.sees_all and row.owner != caller.key_id:
            raise NotFound(f"no such job: {job_id[:100]!r}", param="id")
        return row

    async def jobs(self, wanted: JobFilter) -> list[Job]:
        """Jobs as they are now, newest first."""
        return await self._live.of_all(await self.store.list(wanted))

    async def cancel(self, job: Job, reason: ClientLeft | None = None) -> None:
        """End the job if it has not ended; returns when it will not be drawn any further, or after the length of a
        lease. Whoever waits for it hears the ``reason``, by default that it was Cancelled."""
        if job.done:
            return
        reason = reason or Cancelled(CANCELLED)
        now_s = time.time()
        row = await self.store.cancel(job.id, error=error_record(reason), now_s=now_s)
        if self._worker.holds(job.id):
            job.cancel(reason)
            await job.wait(self._settings.lease_s)
        elif row.done:
            await self._live.conclude(job, row)
            if row.ended_at_s == now_s:  # otherwise it had ended before, and whoever ended it has told
                self._tell_undrawn(job, row)
            if row.request["inputs"]:
                await self._end_inputs(job)
        elif not self.closing:  # the process that draws it hears of it, and ours then of the end
            await job.wait(self._settings.lease_s)

    def left(self, job: Job) -> None:
        """A client that waited for ``job`` has gone: go by the setting ``client_left``, unless another one waits here.

        A server on its way out cuts clients off itself; what they waited for is then drawn by the next one.
        """
        rule = self._settings.client_left
        if job.done or self.closing or rule == "detach" or (isinstance(rule, float) and job.progress >= rule):
            return
        self._run_errand(self._cancel_if_alone(job))

    async def _cancel_if_alone(self, job: Job) -> None:
        await asyncio.sleep(LEAVING_S)
        if not job.waiters and not job.followers:
            await self.cancel(job, ClientLeft(ALL_LEFT))

    async def data_of(self, picture: StoredPicture) -> bytes:
        """A finished picture's file; raises NotFound once its time is over."""
        return await self._publisher.data_of(picture)

    async def decoded(self, picture: StoredPicture) -> Picture:
        """The same, decoded."""
        return await self._publisher.decoded(picture)

    async def position(self, job: Job) -> int | None:
        """How many jobs will be begun before it; None once it has begun."""
        if job.status != "queued":
            return None
        return await self._place(job.id)

    async def _place(self, job_id: str) -> int | None:
        """Among the jobs of all models, since they share devices."""
        return await self.store.position(job_id, [model.spec.id for model in self.roster])

    def eta_s(self, job: Job, position: int | None) -> float | None:
        """Seconds until it is probably done; None once it is."""
        if job.done:
            return None
        if job.progress > SEEN_ENOUGH and job.times.started_at_s is not None:
            took_s = max(0.0, time.time() - job.times.started_at_s)  # another machine's clock may be ahead
            return took_s * (1.0 - job.progress) / job.progress
        return self._pace.eta_s(job.request, position or 0)

    async def estimate(self, request: Request, caller: Caller = OPEN) -> Estimate:
        """What ``request`` would cost and when it would be done; accepts nothing. Raises what submitting would."""
        return await self._admission.estimate(request, caller)

    def stop_accepting(self) -> None:
        """Refuse new jobs from now on and begin no more; what runs goes on."""
        if self._closing_since_s is None:
            self._closing_since_s = time.monotonic()
            self._worker.leave()

    async def drain(self, limit_s: float) -> None:
        """Let what runs go on until ``limit_s`` after `stop_accepting`, then hand it back to the queue; those who wait
        for it, and at once those who wait for what is not drawn here, hear NotReady."""
        self.stop_accepting()
        assert self._closing_since_s is not None
        for job in self._unwatched():
            job.abandon(leaving(job))
        await self._worker.drain(limit_s - (time.monotonic() - self._closing_since_s))

    async def aclose(self, drain_s: float = 0.0) -> None:
        """`drain`, and close the backends."""
        await self.drain(drain_s)
        await self._watch.stop()
        await self._worker.stop()
        if self._errands:
            await asyncio.wait(set(self._errands))
        for backend in {id(model.backend): model.backend for model in self.roster}.values():
            await backend.aclose()
        if self._liveness is not None:
            self._liveness.__exit__(None, None, None)

    async def forget(self, image_id: str) -> None:
        """Remove a picture before its time: see `Upkeep.forget`."""
        await self._upkeep.forget(image_id)

    async def sweep(self) -> int:
        """Remove what is past its time: see `Upkeep.sweep`."""
        return await self._upkeep.sweep()

    async def _learn(self) -> None:
        for model in self.roster:
            wanted = JobFilter(statuses=frozenset({"finished"}), model=model.spec.id, limit=LEARN_FROM_JOBS)
            rows = await self.store.list(wanted)
            self._pace.learn((request_of(row.request, owner=row.owner), row.device_s) for row in reversed(rows))

    def _unwatched(self) -> list[Job]:
        """Jobs that somebody here holds and that are not drawn here."""
        return [job for job in self._live.going_on() if not self._worker.holds(job.id)]

    def _charge(self, job: Job, device_s: float) -> int:
        self._pace.used(job.request, device_s)
        spec = self.roster.find(job.model).spec
        return charge_micro(spec, job.request, job.request.n, device_s, self._settings.credits_per_device_s)

    def _ended(self, ended: Ended) -> None:
        now_s = time.monotonic()
        self._pace.ended(now_s - ended.wall_s, now_s)
        self._tell(ended)
        if ended.over and (ended.job.request.inputs or ended.job.request.mask):
            self._run_errand(self._end_inputs(ended.job))
        if not self._worker.busy:
            asyncio.get_running_loop().call_later(IDLE_S, self._rest)

    def _tell(self, ended: Ended) -> None:
        log_end(ended, prompts=self._settings.log_prompts)
        if ended.over:
            count_end(ended, self.metrics)
        for hear in self.on_job_end:
            hear(ended)

    def _tell_undrawn(self, job: Job, row: JobRow) -> None:
        """As `_tell`, of a job that has ended without an attempt here."""
        times = job.times
        until_s = times.started_at_s or times.ended_at_s or times.created_at_s
        bind_job(job.id)
        waited_s = max(until_s - times.created_at_s, 0.0)
        self._tell(Ended(job, over=True, hooked=row.hook_url is not None, waited_s=waited_s, wall_s=0.0))

    async def _end_inputs(self, job: Job) -> None:
        """As the publisher's. Holds the job meanwhile: who asks for it at once finds all that happened to it, and its
        pictures in the request, which its row does not tell."""
        await self._publisher.end_inputs(job.id, job.handed_in.attached)

    async def _given_up(self, job_ids: Sequence[str]) -> None:
        for job_id, row in (await self.store.get_many(job_ids)).items():
            await self._publisher.end_inputs(job_id, attached_inputs(row.request))
            self._tell_undrawn(await self._live.of(row), row)

    def _rest(self) -> None:
        if not self._worker.busy and not self.closing:
            asyncio.get_running_loop().run_in_executor(None, self._tools.on_idle)

    def _run_errand(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(_logged(work))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)


async def _logged(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:  # the task's root: nobody waits for it
        logger.exception("clearing up after a job failed")
