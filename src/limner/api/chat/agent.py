"""One turn of a conversation led by a language model, which calls the server's models: as chat's answer or stream.

Owns making each of its decisions a job, and one answer of all of them. What the model may do is `chat.agent`'s.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.calls import ClosingStream, with_keep_alive
from limner.api.chat.fields import ChatAsked, settle_chat, settle_words
from limner.api.chat.pictures import in_order
from limner.api.chat.replies import (
    Answer,
    Head,
    Showing,
    Telling,
    added,
    chat_usage,
    closing,
    completion,
    failure,
    language_usage,
    opening,
    picture_chunks,
    told,
    words_answer,
    words_chunk,
)
from limner.api.chat.turns import Plan, abilities_of, fitted, planned_for
from limner.api.composing import Brief, to_request
from limner.api.doorkeeper import caller_of
from limner.api.gateway import Gateway, gateway_of
from limner.api.leaving import Presence
from limner.api.manners import manners_of
from limner.chat import Conversation, Decision, decide
from limner.chat.agent import Rules, converse
from limner.chat.language import LanguageModel
from limner.chat.steps import Calling, Done, Made, Step
from limner.core import Operation, Request, Warning, Words
from limner.errors import InvalidRequest, LimnerError
from limner.jobs import Job, Outcome, StoredPicture, Submission
from limner.records import warning_records
from limner.service import Seat

AT_ONCE = 4  # jobs of one answer


@dataclass(slots=True)
class Led:
    """One answer in the making: the jobs that were run for it, in their order, and their pictures by file."""

    http: HttpRequest
    asked: ChatAsked
    conversation: Conversation
    head: Head
    jobs: list[tuple[Job, Outcome, str]] = field(default_factory=list)
    pictures: dict[str, StoredPicture] = field(default_factory=dict)
    turns: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        """As many jobs at once as the key may have; one that pays may have one while prices are not known."""
        caller = caller_of(self.http)
        most = 1 if caller.metered else caller.quota.concurrency or AT_ONCE
        self.turns = asyncio.Semaphore(max(1, min(most, AT_ONCE)))

    @property
    def gateway(self) -> Gateway:
        """The server's."""
        return gateway_of(self.http)

    def steps(self, model: LanguageModel, seat: Seat) -> AsyncGenerator[Step, None]:
        """What the language model does with the turn, as it happens; its calls are made from the answer's ``seat``."""
        settings = self.gateway.settings
        rules = Rules(
            abilities_of(self.gateway.service.roster),
            max_rounds=settings.agent_rounds,
            total_timeout_s=settings.agent_timeout_s,
        )
        abilities = rules.abilities
        run = partial(self._run, seat)
        return converse(self.conversation, model, run, rules, fallback=lambda turns: decide(turns, abilities))

    async def _run(self, seat: Seat, decision: Decision) -> Made:
        """Do one decision as a job. Raises its error."""
        async with self.turns:
            return await self._done(seat, decision)

    async def _done(self, seat: Seat, decision: Decision) -> Made:
        plan = planned_for(self.http, self.asked.fields.model or "", decision)
        assert plan.spec is not None, "a decision that is run has an operation"
        # Further seats would not do: answers that fill the queue would then keep each other from every picture.
        request, warnings = await self._request(plan)
        job = await seat.submit(request, Submission(warnings=warnings, response_format="url"))
        try:
            outcome = await job.result()
        except asyncio.CancelledError:
            self.gateway.service.left(job)
            raise
        self.jobs.append((job, outcome, plan.reason))
        self.pictures |= {picture.id: picture for picture in outcome.pictures}
        return Made(tuple(one.id for one in outcome.pictures), outcome.text, None, outcome.warnings)

    async def _request(self, plan: Plan) -> tuple[Request, tuple[Warning, ...]]:
        assert plan.spec is not None, "what is run has a model"
        pictures, counts = in_order(plan.spec, plan.pictures, {})
        if plan.operation is Operation.DESCRIBE:
            drawing, warnings = settle_words(self.asked, {}, plan.spec)
        else:
            fields, warnings = fitted({**self.asked.given, **counts}, plan)
            drawing, more = settle_chat(self.asked, fields, plan.spec)
            drawing = plan.sized(drawing, fields, in_prompt=False)
            warnings = (*warnings, *more)
        brief = Brief(plan.prompt, pictures, plan.named_mask, drawing, 0, plan.operation)
        request, further = await to_request(self.http, plan.spec, brief)
        return request, (*self.asked.warnings, *warnings, *further)

    def answer(self, done: Done) -> Answer:
        """The whole of it."""
        shown = [self.pictures[one] for one in done.pictures if one in self.pictures]
        words = words_answer(self.head, self.conversation.asked.text, done.text, _who(done))
        own = words.usage if done.tokens is None else language_usage(done.tokens)
        usage = added([own, *(chat_usage(job, outcome) for job, outcome, _ in self.jobs)])
        return Answer(self.head, done.text, shown, usage, self._limner(done, words.limner))

    def _limner(self, done: Done, words: Mapping[str, Any]) -> dict[str, Any]:
        """The last job's object, with all jobs and what the language model warns of."""
        unused = tuple(
            Warning(name, "ignored", f"{name!r} has no effect: a language model leads, by the server's settings")
            for name, value in self.asked.for_words.items()
            if value is not None
        )
        warned = list(warning_records((*unused, *done.warnings)))
        steps = [
            {"job_id": job.id, "operation": job.request.operation.value, "model": job.model, "reason": reason}
            for job, _, reason in self.jobs
        ]
        if not self.jobs:
            return {**words, "warnings": warned, "steps": steps, "rounds": done.rounds}
        job, outcome, reason = self.jobs[-1]
        last = told(job, outcome, Telling(reason, {}))
        return {**last, "files": list(done.pictures), "steps": steps, "rounds": done.rounds} | {
            "warnings": [*last["warnings"], *warned]
        }


async def led(http: HttpRequest, asked: ChatAsked, conversation: Conversation, model: LanguageModel) -> Response:
    """Let ``model`` answer the last turn. Raises InvalidRequest for what only a single job can do."""
    _check_manners(http)
    gateway = gateway_of(http)
    caller_of(http).require_model(gateway.settings.language_model, (), language_runs_on(gateway))
    name = asked.fields.model or "limner/auto"
    answer = Led(http, asked, conversation, Head.of_words(name))
    showing = Showing(gateway, gateway.links(http), asked.form)
    with gateway.service.seat(caller_of(http)):  # refused here, a stream is still an error with a status
        pass
    if asked.fields.stream:
        return ClosingStream(_stream(answer, model, showing))
    async with Presence(http) as client:
        content = await client.unless_left(_whole(answer, model, showing))
    return Response(content, media_type="application/json")


def language_runs_on(gateway: Gateway) -> str:
    """The backend of the language model, for keys that are kept to this server's own."""
    return "upstream" if gateway.settings.language_url else "speaker"


async def _whole(answer: Led, model: LanguageModel, showing: Showing) -> bytes:
    with answer.gateway.service.seat(caller_of(answer.http)) as seat:
        async for step in answer.steps(model, seat):
            if isinstance(step, Done):
                return await completion(showing, answer.answer(step))
    raise AssertionError("an agent ends with Done")


async def _stream(answer: Led, model: LanguageModel, showing: Showing) -> AsyncGenerator[bytes]:
    """Words as they are said, comments about what is called, the pictures at the end; an error is the last chunk."""
    head = answer.head
    options = answer.asked.fields.stream_options
    apart = options is not None and bool(options.include_usage)
    yield opening(head)
    try:
        with answer.gateway.service.seat(caller_of(answer.http)) as seat:
            async for step in with_keep_alive(answer.steps(model, seat)):
                async for chunk in _told(answer, step, showing, apart=apart):
                    yield chunk
    except LimnerError as error:
        for chunk in failure(head, error):
            yield chunk


async def _told(answer: Led, step: Step | None, showing: Showing, *, apart: bool) -> AsyncIterator[bytes]:
    head = answer.head
    match step:
        case None:
            yield b": keep-alive\n\n"
        case Words(text):
            yield words_chunk(head, text)
        case Calling(decision):
            name = "" if decision.operation is None else decision.operation.value
            if answer.gateway.settings.chat_progress == "comments":
                yield b": %s\n\n" % name.encode()
            else:
                yield words_chunk(head, f"{name}\n", thought=True)
        case Done():
            whole = answer.answer(step)
            if step.text and whole.pictures and showing.form.form == "markdown":
                yield words_chunk(head, "\n\n")
            async for chunk in picture_chunks(showing, head, whole.pictures):
                yield chunk
            for chunk in closing(whole, usage_apart=apart):
                yield chunk
        case _:
            pass


def _who(done: Done) -> str:
    alone = any(warning.message.startswith("plain rules") for warning in done.warnings)
    return "plain rules have answered" if alone else "a language model has answered"


def _check_manners(http: HttpRequest) -> None:
    manners = manners_of(http)
    if manners.idempotency_key is not None or manners.respond_async or manners.estimate:
        raise InvalidRequest(
            "a language model answers here, with any number of jobs: 'Idempotency-Key', 'Prefer: respond-async' and "
            "'estimate' are for requests that name the model that draws",
            param="model",
        )
