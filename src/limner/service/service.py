"""The front of the service: takes requests in, finds jobs again, cancels them, says what one would cost.

Owns admission and the jobs that somebody in this process holds on to. Knows no wire format and no model.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakSet

from limner.accounts import OPEN, Caller, charge_micro, estimate_micro
from limner.catalogue import ModelSpec, effective
from limner.catalogue.resolve import Policy, Resolution, resolve
from limner.config import Settings
from limner.core import Queued, Request
from limner.errors import ClientLeft, LimnerError, NotFound, NotReady, Overloaded
from limner.jobs import Job, StoredPicture, Submission, Times
from limner.logs import request_id
from limner.records import error_record, fingerprint, request_of, request_record, warning_records
from limner.roster import Roster, ServedModel
from limner.service.figures import count_end, log_end
from limner.service.live import LiveJobs
from limner.service.liveness import Liveness
from limner.service.pace import Pace
from limner.service.publishing import Publisher
from limner.service.tools import Tools
from limner.service.watch import Watch
from limner.service.worker import CANCELLED, Ended, Worker, WorkerRules, leaving
from limner.store import JobFilter, JobRow, NewJob, Quota

logger = logging.getLogger(__name__)
IDLE_S = 2.0
LEAVING_S = 0.05  # until a client that has left is no longer counted among those who wait
INTERACTIVE = 1  # added to the priority of a job that somebody waits for
PRIORITY_STEP = 2  # a key's own priority outweighs that
SEEN_ENOUGH = 0.05  # share of a job after which its own speed tells most
LEARN_FROM_JOBS = 20  # of each model, at start
UNCLAIMED_S = 3600.0  # how long inputs may lie before their job is in the store


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request would cost (micro-credits), the device time it would take, and when it would be done."""

    cost_micro: int
    device_s: float
    eta_s: float
    position: int


class Seat:
    """The right to submit one job; `Service.seat` gives it. ``replayed`` says afterwards whether the job was there
    before, made by the same idempotency key."""

    def __init__(self, accept: Callable[[Request, Submission], Awaitable[tuple[Job, bool]]]) -> None:
        self._accept = accept
        self.replayed = False

    async def submit(self, request: Request, submission: Submission = Submission()) -> Job:  # noqa: B008 - immutable
        """Accept ``request`` as a job, or raise: ModelNotFound, NotReady, InvalidRequest, Forbidden, Conflict,
        Overloaded, InsufficientCredits."""
        job, self.replayed = await self._accept(request, submission)
        return job


class Service:
    """Accepts requests, makes them jobs in the store and follows them. `start` before use, `aclose` after it."""

    def __init__(self, roster: Roster, settings: Settings, tools: Tools) -> None:
        self.roster = roster
        self.policy = Policy.of(settings)
        self.store, self.blobs, self.media = tools.store, tools.blobs, tools.media
        self.metrics, self.tracing = tools.metrics, tools.tracing
        self.metrics.watch_models(lambda: {model.spec.id: model.state == "ready" for model in roster})
        self._settings = settings
        self._tools = tools
        self._pace = Pace()
        self._publisher = Publisher(
            tools.store, tools.blobs, tools.media, settings.keep_images_s, settings.embed_recipe
        )
        self._live = LiveJobs(self._publisher)
        worker_id = uuid.uuid4().hex
        self._liveness = None if tools.workers is None else Liveness(tools.workers, worker_id)
        self._worker = self._new_worker(worker_id)
        self._watch = Watch(tools.store, self._unwatched, self._live.conclude, self._place, self._pace)
        self._waited_for: WeakSet[Job] = WeakSet()
        self.on_job_end: list[Callable[[], None]] = []
        self._forgotten: dict[str, float] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self._seated = 0
        self._closing_since_s: float | None = None

    def _new_worker(self, worker_id: str) -> Worker:
        settings = self._settings
        slots = (settings.jobs_at_once or 2 * settings.max_batch) if settings.draws else 0
        return Worker(
            id=worker_id,
            tools=self._tools,
            roster=self.roster,
            publisher=self._publisher,
            liveness=self._liveness,
            rules=WorkerRules(slots, settings.lease_s, settings.max_crashes),
            job_of=self._live.of,
            bring_inputs=self._live.bring_inputs,
            charge=self._charge,
            on_end=self._ended,
        )

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

    @contextmanager
    def seat(self, caller: Caller = OPEN, *, detached: bool = False) -> Iterator[Seat]:
        """A place in the queue, held while a request is still being read; raises Overloaded when there is none.

        Dialects take it before they read pictures, so that what waits to be decoded is bounded too. Jobs that nobody
        waits for have the store for their queue: only their reading is bounded here.
        """
        waiting = 0 if detached else sum(not job.done for job in self._waited_for)
        limit = self._settings.queue_limit
        if waiting + self._seated >= limit:
            self.metrics.job_refused(Overloaded.code)
            wait_s = self._pace.retry_after_s()
            raise Overloaded(f"the queue is full ({limit} jobs); try again in about {wait_s:g} s", retry_after_s=wait_s)
        self._seated += 1
        try:
            yield Seat(lambda request, submission: self._accept(request, submission, caller))
        finally:
            self._seated -= 1

    async def submit(self, request: Request) -> Job:
        """Take a seat and submit at once: see `Seat.submit`."""
        with self.seat() as seat:
            return await seat.submit(request)

    async def _accept(self, request: Request, submission: Submission, caller: Caller) -> tuple[Job, bool]:
        try:
            return await self._admit(request, submission, caller)
        except LimnerError as error:
            self.metrics.job_refused(error.code)
            raise

    async def _admit(self, request: Request, submission: Submission, caller: Caller) -> tuple[Job, bool]:
        if self.closing:
            raise NotReady("the server is shutting down", retry_after_s=5)
        model = self.roster.route(request.model, request.operation, has_images=bool(request.inputs))
        caller.require_model(model.spec.id, model.spec.aliases, model.runs_on)
        request = _owned(request, caller)
        mark = await _fingerprint(request, submission) if submission.idempotency_key else ""
        if submission.idempotency_key:
            known = await self._replay(caller.key_id, submission.idempotency_key, mark)
            if known is not None:
                return known, True
        if model.state == "failed" or not submission.detached:
            model.require_ready()
        resolution = resolve(request, model.spec, self.policy)
        return await self._enqueue(resolution, model, submission, caller, mark)

    async def _replay(self, owner: str, key: str, mark: str) -> Job | None:
        """The job that this key has made; one that is being cancelled is waited for, since its key is then free."""
        row = await self.store.find_replay(owner, key, mark, time.time())
        if row is not None and row.cancel_requested and not row.done:
            await (await self._live.of(row)).wait(self._settings.lease_s)
            row = await self.store.find_replay(owner, key, mark, time.time())
        return None if row is None else await self._live.of(row)

    async def _enqueue(
        self, resolution: Resolution, model: ServedModel, submission: Submission, caller: Caller, mark: str
    ) -> tuple[Job, bool]:
        """Put the job into the store, and into work at once where there is room."""
        now_s = time.time()
        request = resolution.request
        job = self._job(resolution, submission, Times(now_s, now_s + request.timeout_s))
        inputs, mask = await self._publisher.put_inputs(job.id, request)
        record = request_record(request, inputs, mask) | {
            "effective": dict(job.effective),
            "response_format": job.response_format,
            "request_id": request_id.get(),
            "trace": self.tracing.headers(),
        }
        new = self._new_job(job, model.spec, record, submission, caller, mark)
        begin = self._worker.room > 0 and model.state == "ready"
        if begin:
            self._worker.promise()
        try:
            accepted = await self.store.enqueue(
                new,
                worker=self._worker.id if begin else None,
                lease_until_s=self._worker.lease_until_s() if begin else 0.0,
                queue_limit=self._settings.jobs_limit,
            )
        except LimnerError as error:
            self._worker.wake()
            await self._drop_inputs(job)
            if isinstance(error, Overloaded) and error.retry_after_s is None:
                error.retry_after_s = self._pace.retry_after_s()
            raise
        finally:
            if begin:
                self._worker.break_promise()
        if accepted.replayed:
            self._worker.wake()
            await self._drop_inputs(job)
            return await self._live.of(accepted.job), True
        await self._accepted(job, accepted.job, begin=begin, detached=submission.detached)
        return job, False

    async def _accepted(self, job: Job, row: JobRow, *, begin: bool, detached: bool) -> None:
        self.metrics.job_accepted(job.model, job.request.operation.value)
        self._live.add(job)
        if not detached:
            self._waited_for.add(job)
        position = self._worker.busy if begin else await self._place(job.id) or 0
        await job.record(Queued(position, self._pace.eta_s(job.request, position)))
        if begin:
            self._worker.adopt(job, row)
        else:
            self._worker.wake()

    def _new_job(
        self, job: Job, spec: ModelSpec, record: Mapping[str, Any], submission: Submission, caller: Caller, mark: str
    ) -> NewJob:
        weight_s = self._pace.device_s(job.request)
        job.account.reserve_micro = estimate_micro(spec, job.request, weight_s, self._settings.credits_per_device_s)
        return NewJob(
            id=job.id,
            owner=caller.key_id,
            operation=job.request.operation.value,
            model=job.model,
            request=record,
            warnings=warning_records(job.warnings),
            created_at_s=job.times.created_at_s,
            deadline_at_s=job.times.deadline_at_s,
            weight_s=weight_s,
            priority=caller.priority * PRIORITY_STEP + (0 if submission.detached else INTERACTIVE),
            reserve_micro=job.account.reserve_micro,
            idempotency_key=submission.idempotency_key,
            fingerprint=mark,
            hook=submission.hook,
            quota=self._quota(job, caller),
        )

    def _quota(self, job: Job, caller: Caller) -> Quota:
        """One at a time for a key that pays, while nobody knows what a job of this model costs here."""
        if not caller.metered or self._pace.knows(job.model):
            return caller.quota
        return replace(caller.quota, concurrency=1)

    def _job(self, resolution: Resolution, submission: Submission, times: Times) -> Job:
        return Job(
            f"job_{uuid.uuid4().hex}",
            resolution.request,
            effective=effective(resolution.request, resolution.spec),
            warnings=(*submission.warnings, *resolution.warnings),
            times=times,
            response_format=submission.response_format,
        )

    async def find(self, job_id: str, caller: Caller = OPEN) -> Job:
        """The job as it is now, and as it goes on for as long as somebody holds it. Raises NotFound for one that is
        unknown or somebody else's."""
        row = await self.store.get(job_id)
        if not caller.sees_all and row.owner != caller.key_id:
            raise NotFound(f"no such job: {job_id[:100]!r}", param="id")
        return await self._live.of(row)

    async def jobs(self, wanted: JobFilter) -> list[Job]:
        """Jobs as they are now, newest first."""
        return [await self._live.of(row) for row in await self.store.list(wanted)]

    async def cancel(self, job: Job) -> None:
        """End the job if it has not ended; returns when it will not be drawn any further."""
        if job.done:
            return
        row = await self.store.cancel(job.id, error=error_record(ClientLeft(CANCELLED)), now_s=time.time())
        if self._worker.holds(job.id):
            job.cancel()
            await job.wait(self._settings.lease_s)
        elif row.done:
            await self._live.conclude(job, row)
            if row.request["inputs"]:
                await self.blobs.drop_inputs(job.id)

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
            await self.cancel(job)

    async def data_of(self, picture: StoredPicture) -> bytes:
        """A finished picture's file; raises NotFound once its time is over."""
        return await self._publisher.data_of(picture)

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
            return (time.time() - job.times.started_at_s) * (1.0 - job.progress) / job.progress
        return self._pace.eta_s(job.request, position or 0)

    async def estimate(self, request: Request, caller: Caller = OPEN) -> Estimate:
        """What ``request`` would cost and when it would be done; accepts nothing. Raises what submitting would."""
        model = self.roster.route(request.model, request.operation, has_images=bool(request.inputs))
        caller.require_model(model.spec.id, model.spec.aliases, model.runs_on)
        resolved = resolve(_owned(request, caller), model.spec, self.policy).request
        device_s = self._pace.device_s(resolved)
        queued, running = (await self.store.depth()).get(model.spec.id, (0, 0))
        position = queued + (running if not self._worker.room else 0)
        cost_micro = estimate_micro(model.spec, resolved, device_s, self._settings.credits_per_device_s)
        return Estimate(cost_micro, device_s, self._pace.eta_s(resolved, position), position)

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
            await job.abandon(leaving(job))
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

    def forget(self, key: str) -> None:
        """A picture's row is gone. Its file goes with a later sweep, unless another picture is the same: one that is
        being stored just now has no row yet."""
        self._forgotten[key] = time.time()

    async def _sweep_forgotten(self, now_s: float) -> int:
        due = [key for key, at_s in self._forgotten.items() if at_s < now_s - UNCLAIMED_S]
        unused = [key for key in due if not await self.store.is_used(key)]
        await self.blobs.delete_many(unused)
        for key in due:
            del self._forgotten[key]
        return len(unused)

    async def sweep(self) -> int:
        """Remove what is past its time: pictures, ended jobs, inputs of jobs that are over. How many files went."""
        now_s = time.time()
        keys = await self.store.purge(
            now_s=now_s,
            images_before_s=now_s - self._settings.keep_images_s,
            jobs_before_s=now_s - self._settings.keep_jobs_s,
        )
        await self.blobs.delete_many(keys)
        inputs = await self.blobs.sweep_inputs(self._not_over, older_than_s=0)
        inputs += await self.blobs.sweep_inputs(self._live_jobs, older_than_s=UNCLAIMED_S)
        # Pictures of which no row was ever written, because their process died in between.
        forgotten = datetime.fromtimestamp(now_s - self._settings.keep_images_s, UTC) - timedelta(days=2)
        return len(keys) + inputs + await self._sweep_forgotten(now_s) + await self.blobs.sweep(forgotten.date())

    async def _not_over(self, job_ids: frozenset[str]) -> frozenset[str]:
        """Those that go on, or may be about to be accepted."""
        rows = await self.store.get_many(sorted(job_ids))
        return frozenset(job_id for job_id in job_ids if job_id not in rows or not rows[job_id].done)

    async def _live_jobs(self, job_ids: frozenset[str]) -> frozenset[str]:
        rows = await self.store.get_many(sorted(job_ids))
        return frozenset(job_id for job_id, row in rows.items() if not row.done)

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
        log_end(ended, prompts=self._settings.log_prompts)
        if ended.over:
            count_end(ended, self.metrics)
        if ended.over and (ended.job.request.inputs or ended.job.request.mask):
            self._run_errand(self._drop_inputs(ended.job))
        for hear in self.on_job_end:
            hear()
        if not self._worker.busy:
            asyncio.get_running_loop().call_later(IDLE_S, self._rest)

    async def _drop_inputs(self, job: Job) -> None:
        if job.request.inputs or job.request.mask:
            await self.blobs.drop_inputs(job.id)

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


async def _fingerprint(request: Request, submission: Submission) -> str:
    """Of the pictures that are asked for, the form in which they are, and who is told."""
    hook = "" if submission.hook is None else f"{submission.hook.url} {submission.hook.secret}"
    form = f"{submission.response_format} {hook}"
    return await asyncio.to_thread(fingerprint, request, form) if request.inputs else fingerprint(request, form)


def _owned(request: Request, caller: Caller) -> Request:
    return replace(request, owner=caller.key_id)
