"""Answers as chat completions and as the chunks of a stream.

Owns those shapes: the message in each `ReplyForm`, usage, and the ``limner`` object at their end.
"""

import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pybase64

from limner.api.chat.forms import ReplyForm
from limner.api.drawing import told_in_their_words
from limner.api.embedding import Embedded, data_url, embedded
from limner.api.envelope import error_body
from limner.api.gateway import Gateway
from limner.api.replies import TEXT_TOKEN_BYTES, Links, limner_object, spoken_tokens, usage
from limner.core import Operation, Preview, Request, Tokens, Warning
from limner.errors import LimnerError, NotFound
from limner.jobs import Job, Outcome, StoredPicture
from limner.media.encode import media_type
from limner.records import warning_records
from limner.store.rows import MICRO

POINTS_IN_A_CREDIT = 100
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Telling:
    """What a reply says beside its pictures: why the operation was chosen, what the client calls otherwise, and how it
    calls the model; None: by its id."""

    reason: str | None
    names: Mapping[str, str]
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """What every chunk of one answer begins with."""

    id: str
    created_s: int
    model: str

    @classmethod
    def of_job(cls, job: Job, model: str | None = None) -> "Head":
        """The answer that a job gives; ``model`` is how the client calls the one that drew."""
        return cls(f"chatcmpl-{job.id.removeprefix('job_')}", int(job.times.created_at_s), model or job.model)

    @classmethod
    def of_words(cls, model: str) -> "Head":
        """An answer that no single job gives."""
        return cls(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), model)


@dataclass(frozen=True, slots=True)
class Answer:
    """All that a reply says: words, pictures, usage and the ``limner`` object."""

    head: Head
    text: str
    pictures: Sequence[StoredPicture]
    usage: Mapping[str, Any]
    limner: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Showing:
    """How pictures are shown to the client of one exchange."""

    gateway: Gateway
    links: Links
    form: ReplyForm


def points_of(job: Job) -> int:
    """What the job has cost in points, rounded up."""
    return -(-job.account.cost_micro * POINTS_IN_A_CREDIT // MICRO)


def job_answer(job: Job, outcome: Outcome, telling: Telling) -> Answer:
    """What a finished job answers."""
    return Answer(
        head=Head.of_job(job, telling.model),
        text=outcome.text or "",
        pictures=outcome.pictures,
        usage=chat_usage(job, outcome),
        limner=told(job, outcome, telling),
    )


def words_answer(head: Head, prompt: str, text: str, reason: str) -> Answer:
    """An answer for which nothing was run."""
    limner: dict[str, Any] = {
        "job_id": None,
        "operation": None,
        "reason": reason,
        "model": head.model,
        "effective": {},
        "files": [],
        "warnings": [],
        "timings_s": {},
    }
    read, written = (-(-len(words.encode()) // TEXT_TOKEN_BYTES) for words in (prompt, text))
    return Answer(head, text, (), _usage({"text_tokens": read, "image_tokens": 0}, written, 0, 0), limner)


def chat_usage(job: Job, outcome: Outcome | None = None) -> dict[str, Any]:
    """Chat's usage block: what the model that spoke has counted, otherwise as the images API counts."""
    counted = usage(job)
    details = counted["input_tokens_details"]
    if outcome is None or outcome.text is None:
        return _usage(details, 0, counted["output_tokens"], points_of(job))
    read, written = spoken_tokens(job, outcome)
    return _usage(read, written, 0, points_of(job))


def language_usage(tokens: Tokens) -> dict[str, Any]:
    """What a language model's own turns took."""
    return _usage({"text_tokens": tokens.read, "image_tokens": 0}, tokens.written, 0, 0)


def added(usages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The usage of several jobs together."""
    total: dict[str, Any] = _usage({"text_tokens": 0, "image_tokens": 0}, 0, 0, 0)
    for one in usages:
        for name, value in one.items():
            if isinstance(value, Mapping):
                total[name] = {key: total[name].get(key, 0) + count for key, count in value.items()}
            else:
                total[name] += value
    return total


def told(job: Job, outcome: Outcome, telling: Telling) -> dict[str, Any]:
    """The ``limner`` object, in the client's words."""
    warnings: Sequence[Warning] = (*job.warnings, *outcome.warnings)
    theirs = [told_in_their_words(warning, telling.names) for warning in warnings]
    return {**limner_object(job, outcome), "reason": telling.reason, "warnings": warning_records(theirs)}


async def completion(showing: Showing, answer: Answer) -> bytes:
    """The whole reply as JSON bytes. Raises NotFound once the pictures' time is over."""
    files, urls = await _addressed(showing, answer.pictures)
    message = _message(answer, urls, showing.form)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = {
        **_head(answer.head, "chat.completion"),
        "choices": [choice],
        "usage": answer.usage,
        "limner": answer.limner,
    }
    return files.in_json(body)


def opening(head: Head) -> bytes:
    """The first chunk: somebody answers."""
    return _chunk(head, [_choice({"role": "assistant", "content": ""})])


def words_chunk(head: Head, text: str, *, thought: bool = False) -> bytes:
    """More words of the answer; or, ``thought``, of what is done for it, which clients show apart."""
    return _chunk(head, [_choice({"content": "", "reasoning_content": text} if thought else {"content": text})])


def preview_chunk(head: Head, preview: Preview, file: bytes, request: Request) -> bytes:
    """A partial picture among ``images``, known by its ``partial_image_index``."""
    url = f"data:{media_type(request.output.format)};base64,{pybase64.b64encode(file).decode()}"
    image = {**_image(url, preview.image_index), "partial_image_index": preview.preview_index}
    return _chunk(head, [_choice({"content": "", "images": [image]})])


async def picture_chunks(showing: Showing, head: Head, pictures: Sequence[StoredPicture]) -> AsyncIterator[bytes]:
    """A chunk for every picture, whole. A stream has no parts: they come as ``images``."""
    files, urls = await _addressed(showing, pictures)
    for index, (picture, url) in enumerate(zip(pictures, urls, strict=True)):
        if showing.form.form == "markdown":
            delta: dict[str, Any] = {"content": ("\n\n" if index else "") + _markdown(picture, url)}
        else:
            delta = {"content": "", "images": [_image(url, index)]}
        yield _event(files.in_json({**_head(head, "chat.completion.chunk"), "choices": [_choice(delta)]}))


def closing(answer: Answer, *, usage_apart: bool) -> Iterator[bytes]:
    """The last chunks; ``usage_apart``: usage gets one without choices, as ``include_usage`` asks."""
    last = {"usage": answer.usage, "limner": answer.limner}
    end = [_choice({}, "stop")]
    if usage_apart:
        yield _chunk(answer.head, end)
    yield _chunk(answer.head, [] if usage_apart else end, **last)
    yield DONE


def failure(head: Head, error: LimnerError) -> Iterator[bytes]:
    """An error in the middle of a stream, which SDKs raise."""
    yield _chunk(head, [_choice({"content": ""}, "error")], **error_body(error))
    yield DONE


def require_kept(job: Job, outcome: Outcome) -> None:
    """Raise NotFound when the pictures that a job has made are no longer there."""
    if not outcome.pictures and outcome.text is None and job.request.operation is not Operation.DESCRIBE:
        raise NotFound(f"the pictures of {job.id} are no longer kept")


async def _addressed(showing: Showing, pictures: Sequence[StoredPicture]) -> tuple[Embedded, list[str]]:
    """An address of each picture, and what `Embedded.in_json` puts into those that hold the picture itself."""
    if showing.form.urls == "link" or not pictures:
        return Embedded(()), [showing.links.to(picture) for picture in pictures]
    files = await embedded(showing.gateway.service, pictures)
    return files, [data_url(files, index, picture) for index, picture in enumerate(pictures)]


def _message(answer: Answer, urls: Sequence[str], form: ReplyForm) -> dict[str, Any]:
    text = answer.text
    words = [text] if text else []
    if form.form == "markdown" or not urls:
        pictures = map(_markdown, answer.pictures, urls)
        return {"role": "assistant", "content": "\n\n".join((*words, *pictures)), "refusal": None}
    parts = [*({"type": "text", "text": one} for one in words), *map(_part, urls)]
    images = [_image(url, index) for index, url in enumerate(urls)]
    content = parts if form.form == "parts" else text
    return {"role": "assistant", "content": content, "refusal": None, "images": images}


def _part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _image(url: str, index: int) -> dict[str, Any]:
    return {**_part(url), "index": index}


def _markdown(picture: StoredPicture, url: str) -> str:
    """Known by its file, for clients that send it back from an address of their own."""
    return f"![{picture.id}]({url})"


def _usage(read: Mapping[str, int], text: int, image: int, points: int) -> dict[str, Any]:
    prompt = sum(read.values())
    return {
        "prompt_tokens": prompt,
        "completion_tokens": text + image,
        "total_tokens": prompt + text + image,
        "prompt_tokens_details": {"cached_tokens": 0, **read},
        "completion_tokens_details": {"image_tokens": image, "reasoning_tokens": 0},
        "compute_points_used": points,
    }


def _head(head: Head, kind: str) -> dict[str, Any]:
    return {
        "id": head.id,
        "object": kind,
        "created": head.created_s,
        "model": head.model,
        "system_fingerprint": None,
    }


def _choice(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _chunk(head: Head, choices: Sequence[Mapping[str, Any]], **more: Any) -> bytes:
    return _event(orjson.dumps({**_head(head, "chat.completion.chunk"), "choices": choices, **more}))


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
