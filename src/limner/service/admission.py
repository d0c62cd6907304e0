"""Taking requests in: a seat while one is read, what it becomes, its row, and what one would cost.

Owns all that stands between a dialect and the queue, and knows which jobs clients wait for. Draws nothing.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakSet

from limner.accounts import OPEN, Caller, estimate_micro
from limner.catalogue import ModelSpec, effective
from limner.catalogue.resolve import Policy, Resolution, resolve
from limner.chat.language import LanguageModel
from limner.config import Settings
from limner.core import Queued, Request
from limner.errors import LimnerError, NotReady, Overloaded
from limner.jobs import HandedIn, Job, Submission, Times
from limner.logs import request_id
from limner.records import fingerprint, request_record, warning_records
from limner.roster import Roster, ServedModel
from limner.service.live import LiveJobs
from limner.service.pace import Pace
from limner.service.prompts import in_better_words, rewriter_of
from limner.service.publishing import Publisher
from limner.service.tools import Tools
from limner.service.worker import Worker, leaving
from limner.store import JobRow, NewJob, Quota

INTERACTIVE = 1  # added to the priority of a job that somebody waits for
PRIORITY_STEP = 2  # a key's own priority outweighs that


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request would cost (micro-credits), the device time it would take, and when it would be done. ``request``
    is the one that would be drawn."""

    cost_micro: int
    device_s: float
    eta_s: float
    position: int
    request: Request


class Seat:
    """The right to submit one job, or those of one led answer; `Service.seat` gives it. ``replayed`` says afterwards
    whether the job was there before, made by the same idempotency key. ``left`` hears of a job that was accepted when
    whoever submitted it had been cancelled."""

    def __init__(
        self,
        accept: Callable[[Request, Submission], Coroutine[Any, Any, tuple[Job, bool]]],
        left: Callable[[Job], None],
    ) -> None:
        self._accept, self._left = accept, left
        self.replayed = False

    async def submit(self, request: Request, submission: Submission = Submission()) -> Job:  # noqa: B008 - immutable
        """Accept ``request`` as a job, or raise: ModelNotFound, NotReady, InvalidRequest, Forbidden, Conflict,
        Overloaded, InsufficientCredits."""
        accepting = asyncio.create_task(self._accept(request, submission))
        try:
            job, self.replayed = await asyncio.shield(accepting)
        except asyncio.CancelledError:
            accepting.add_done_callback(self._forgo)  # it may be in the store by now, and somebody must have it
            raise
        return job

    def _forgo(self, accepting: asyncio.Task[tuple[Job, bool]]) -> None:
        if not accepting.cancelled() and accepting.exception() is None:
            self._left(accepting.result()[0])


class Admission:
    """The door to the queue. Jobs begin at once where ``worker`` has room; ``place`` counts the jobs before one."""

    def __init__(
        self,
        roster: Roster,
        settings: Settings,
        tools: Tools,
        *,
        live: LiveJobs,
        publisher: Publisher,
        worker: Worker,
        pace: Pace,
        place: Callable[[str], Awaitable[int | None]],
    ) -> None:
        self._roster, self._settings = roster, settings
        self._policy = Policy.of(settings)
        self._store = tools.store
        self._metrics, self._tracing = tools.metrics, tools.tracing
        self._live, self._publisher, self._worker = live, publisher, worker
        self._pace, self._place = pace, place
        self.language: LanguageModel | None = None  # who puts prompts into better words, if anybody does
        self._waited_for: WeakSet[Job] = WeakSet()
        self._seated = 0

    def language_for(self, caller: Caller) -> LanguageModel | None:
        """The language model that may see the caller's words: none elsewhere, for keys that are kept to this server."""
        return None if caller.local_only and self._settings.language_url else self.language

    @contextmanager
    def seat(self, caller: Caller, *, detached: bool, left: Callable[[Job], None]) -> Iterator[Seat]:
        """A place in the queue, held while a request is still being read; raises Overloaded when there is none.
        ``left`` is the Seat's.

        Dialects take it before they read pictures, so that what waits to be decoded is bounded too. Jobs that nobody
        waits for have the store for their queue: only their reading is bounded here.
        """
        waiting = 0 if detached else sum(not job.done for job in self._waited_for)
        limit = self._settings.queue_limit
        if waiting + self._seated >= limit:
            self._metrics.job_refused(Overloaded.code)
            wait_s = self._pace.retry_after_s()
            raise Overloaded(f"the queue is full ({limit} jobs); try again in about {wait_s:g} s", retry_after_s=wait_s)
        self._seated += 1
        try:
            yield Seat(lambda request, submission: self._accept(request, submission, caller), left)
        finally:
            self._seated -= 1

    async def _accept(self, request: Request, submission: Submission, caller: Caller) -> tuple[Job, bool]:
        try:
            return await self._admit(request, submission, caller)
        except LimnerError as error:
            self._metrics.job_refused(error.code)
            raise

    async def _admit(self, request: Request, submission: Submission, caller: Caller) -> tuple[Job, bool]:
        if self._worker.is_leaving:
            raise NotReady("the server is shutting down", retry_after_s=5)
        model = self._roster.route(request.model, request.operation, has_images=bool(request.inputs))
        caller.require_model(model.spec.id, model.spec.aliases, model.runs_on)
        request = _owned(request, caller)
        mark = await _fingerprint(request, submission) if submission.idempotency_key else ""
        if submission.idempotency_key:
            known = await self._replay(caller.key_id, submission.idempotency_key, mark)
            if known is not None:
                return known, True
        if model.state == "failed" or not submission.detached:
            model.require_ready()
        request, rewriter = rewriter_of(request, model.spec, self.language_for(caller))
        resolution = resolve(request, model.spec, self._policy)
        revised: dict[str, str] = {}
        if rewriter is not None:  # only now: what is refused costs no completion
            better, told = await in_better_words(request, rewriter)
            resolution = resolve(better, model.spec, self._policy)
            resolution = replace(resolution, warnings=(*told, *resolution.warnings))
            revised = {} if better.prompt == request.prompt else {"revised_prompt": better.prompt}
        return await self._enqueue(resolution, model, submission, caller, mark, revised)

    async def _replay(self, owner: str, key: str, mark: str) -> Job | None:
        """The job that this key has made; one that is being cancelled is waited for, since its key is then free."""
        row = await self._store.find_replay(owner, key, mark, time.time())
        if row is not None and row.cancel_requested and not row.done:
            await (await self._live.of(row)).wait(self._settings.lease_s)
            row = await self._store.find_replay(owner, key, mark, time.time())
        return None if row is None else await self._live.of(row)

    async def _enqueue(
        self,
        resolution: Resolution,
        model: ServedModel,
        submission: Submission,
        caller: Caller,
        mark: str,
        revised: Mapping[str, str],
    ) -> tuple[Job, bool]:
        """Put the job into the store, and into work at once where there is room and nobody waits."""
        now_s = time.time()
        request = resolution.request
        job = self._job(resolution, submission, Times(now_s, now_s + request.timeout_s), revised)
        inputs, mask = await self._publisher.put_inputs(job.id, request)
        record = request_record(request, inputs, mask) | {
            "effective": dict(job.effective),
            "response_format": job.handed_in.response_format,
            "previous": job.handed_in.previous,
            "attached": list(job.handed_in.attached),
            "request_id": request_id.get(),
            "trace": self._tracing.headers(),
        }
        new = self._new_job(job, model.spec, record, submission, caller, mark)
        self._live.add(job)  # who claims it may know of it before we do
        begin = model.state == "ready" and await self._worker.promise()
        try:
            accepted = await self._store.enqueue(
                new,
                worker=self._worker.id if begin else None,
                behind=self._worker.claimable,
                lease_until_s=self._worker.lease_until_s() if begin else 0.0,
                queue_limit=self._settings.jobs_limit,
            )
        except LimnerError as error:
            self._worker.wake()
            if not isinstance(error, NotReady):  # after that nobody knows: its row may be there and need them
                await self._publisher.drop_inputs(job)
            if isinstance(error, Overloaded) and error.retry_after_s is None:
                error.retry_after_s = self._pace.retry_after_s()
            raise
        finally:
            if begin:
                self._worker.break_promise()
        if accepted.replayed:
            self._worker.wake()
            await self._publisher.drop_inputs(job)
            return await self._live.of(accepted.job), True
        await self._accepted(job, accepted.job, detached=submission.detached)
        return job, False

    async def _accepted(self, job: Job, row: JobRow, *, detached: bool) -> None:
        self._metrics.job_accepted(job.model, job.request.operation.value)
        if not detached:
            self._waited_for.add(job)
        begun = row.status == "running"
        position = self._worker.busy if begun else await self._place_of(job)
        if job.status == "queued":  # meanwhile the worker may have taken it
            job.record(Queued(position, self._pace.eta_s(job.request, position)))
        if begun:
            self._worker.adopt(job, row)
        elif self._worker.is_leaving:
            job.abandon(leaving(job))
        else:
            self._worker.wake()

    async def _place_of(self, job: Job) -> int:
        """How many jobs are ahead; 0 when that cannot be told, which is no reason to refuse what is accepted."""
        try:
            return await self._place(job.id) or 0
        except NotReady:
            return 0

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

    def _job(self, resolution: Resolution, submission: Submission, times: Times, revised: Mapping[str, str]) -> Job:
        return Job(
            f"job_{uuid.uuid4().hex}",
            resolution.request,
            effective={**effective(resolution.request, resolution.spec), **revised},
            warnings=(*submission.warnings, *resolution.warnings),
            times=times,
            handed_in=HandedIn(
                submission.response_format,
                submission.previous,
                tuple(place for place in submission.attached if place < len(resolution.request.inputs)),
                tuple(picture.size for picture in resolution.request.inputs),
            ),
        )

    async def estimate(self, request: Request, caller: Caller = OPEN) -> Estimate:
        """What ``request`` would cost and when it would be done; accepts nothing. Raises what submitting would."""
        model = self._roster.route(request.model, request.operation, has_images=bool(request.inputs))
        caller.require_model(model.spec.id, model.spec.aliases, model.runs_on)
        resolved = resolve(_owned(request, caller), model.spec, self._policy).request
        device_s = self._pace.device_s(resolved)
        queued, running = (await self._store.depth()).get(model.spec.id, (0, 0))
        position = queued + (running if not self._worker.room else 0)
        cost_micro = estimate_micro(model.spec, resolved, device_s, self._settings.credits_per_device_s)
        return Estimate(cost_micro, device_s, self._pace.eta_s(resolved, position), position, resolved)


async def _fingerprint(request: Request, submission: Submission) -> str:
    """Of the pictures that are asked for, the form in which they are, and who is told."""
    hook = "" if submission.hook is None else f"{submission.hook.url} {submission.hook.secret}"
    form = f"{submission.response_format} {hook}"
    return await asyncio.to_thread(fingerprint, request, form) if request.inputs else fingerprint(request, form)


def _owned(request: Request, caller: Caller) -> Request:
    return request if request.owner == caller.key_id else replace(request, owner=caller.key_id)
