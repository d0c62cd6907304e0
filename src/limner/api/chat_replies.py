"""Finished jobs as chat completions and as the chunks of a stream.

Owns those shapes: the message in each `ReplyForm`, usage, and the ``limner`` object at their end.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from limner.api.calls import Call
from limner.api.chat_forms import ReplyForm
from limner.api.drawing import told_in_their_words
from limner.api.embedding import Embedded, data_url, embedded
from limner.api.envelope import error_body
from limner.api.replies import limner_object, usage
from limner.core import Warning
from limner.errors import LimnerError, NotFound
from limner.jobs import Job, Outcome
from limner.records import warning_records
from limner.store.rows import MICRO

POINTS_IN_A_CREDIT = 100
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Telling:
    """What a reply says beside its pictures: why the operation was chosen, and what the client calls otherwise."""

    reason: str | None
    names: Mapping[str, str]


def points_of(job: Job) -> int:
    """What the job has cost in points, rounded up."""
    return -(-job.account.cost_micro * POINTS_IN_A_CREDIT // MICRO)


def chat_usage(job: Job) -> dict[str, Any]:
    """Chat's usage block, counted as the images API counts."""
    counted = usage(job.request)
    return {
        "prompt_tokens": counted["input_tokens"],
        "completion_tokens": counted["output_tokens"],
        "total_tokens": counted["total_tokens"],
        "prompt_tokens_details": {"cached_tokens": 0, **counted["input_tokens_details"]},
        "completion_tokens_details": {"image_tokens": counted["output_tokens"], "reasoning_tokens": 0},
        "compute_points_used": points_of(job),
    }


def told(job: Job, outcome: Outcome, telling: Telling) -> dict[str, Any]:
    """The ``limner`` object, in the client's words."""
    warnings: Sequence[Warning] = (*job.warnings, *outcome.warnings)
    theirs = [told_in_their_words(warning, telling.names) for warning in warnings]
    return {**limner_object(job, outcome), "reason": telling.reason, "warnings": warning_records(theirs)}


async def completion(call: Call, outcome: Outcome, form: ReplyForm, telling: Telling) -> bytes:
    """The whole reply as JSON bytes. Raises NotFound once the pictures' time is over."""
    job = call.job
    files, urls = await _addressed(call, outcome, form)
    choice = {"index": 0, "message": _message(urls, form), "logprobs": None, "finish_reason": "stop"}
    body = {
        **_head(job, "chat.completion"),
        "choices": [choice],
        "usage": chat_usage(job),
        "limner": told(job, outcome, telling),
    }
    return files.in_json(body)


def opening(job: Job) -> bytes:
    """The first chunk: somebody answers."""
    return _chunk(job, [_choice({"role": "assistant", "content": ""})])


async def picture_chunks(call: Call, outcome: Outcome, form: ReplyForm) -> AsyncIterator[bytes]:
    """A chunk for every picture, whole. A stream has no parts: they come as ``images``."""
    files, urls = await _addressed(call, outcome, form)
    for index, url in enumerate(urls):
        if form.form == "markdown":
            delta: dict[str, Any] = {"content": ("\n\n" if index else "") + _markdown(url)}
        else:
            delta = {"content": "", "images": [_image(url, index)]}
        yield _event(files.in_json({**_head(call.job, "chat.completion.chunk"), "choices": [_choice(delta)]}))


def closing(job: Job, outcome: Outcome, telling: Telling, *, usage_apart: bool) -> Iterator[bytes]:
    """The last chunks; ``usage_apart``: usage gets one without choices, as ``include_usage`` asks."""
    last = {"usage": chat_usage(job), "limner": told(job, outcome, telling)}
    end = [_choice({}, "stop")]
    if usage_apart:
        yield _chunk(job, end)
    yield _chunk(job, [] if usage_apart else end, **last)
    yield DONE


def failure(job: Job, error: LimnerError) -> Iterator[bytes]:
    """An error in the middle of a stream, which SDKs raise."""
    yield _chunk(job, [_choice({"content": ""}, "error")], **error_body(error))
    yield DONE


async def _addressed(call: Call, outcome: Outcome, form: ReplyForm) -> tuple[Embedded, list[str]]:
    """An address of each picture, and what `Embedded.in_json` puts into those that hold the picture itself."""
    if not outcome.pictures:
        raise NotFound(f"the pictures of {call.job.id} are no longer kept")
    if form.urls == "link":
        return Embedded(()), [call.links.to(picture) for picture in outcome.pictures]
    files = await embedded(call.gateway.service, outcome.pictures)
    return files, [data_url(files, index, picture) for index, picture in enumerate(outcome.pictures)]


def _message(urls: Sequence[str], form: ReplyForm) -> dict[str, Any]:
    if form.form == "markdown":
        return {"role": "assistant", "content": "\n\n".join(map(_markdown, urls)), "refusal": None}
    parts = [_part(url) for url in urls] if form.form == "parts" else ""
    images = [_image(url, index) for index, url in enumerate(urls)]
    return {"role": "assistant", "content": parts, "refusal": None, "images": images}


def _part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _image(url: str, index: int) -> dict[str, Any]:
    return {**_part(url), "index": index}


def _markdown(url: str) -> str:
    return f"![image]({url})"


def _head(job: Job, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{job.id.removeprefix('job_')}",
        "object": kind,
        "created": int(job.times.created_at_s),
        "model": job.model,
        "system_fingerprint": None,
    }


def _choice(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _chunk(job: Job, choices: Sequence[Mapping[str, Any]], **more: Any) -> bytes:
    return _event(orjson.dumps({**_head(job, "chat.completion.chunk"), "choices": choices, **more}))


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
