"""Jobs as Response objects and as the events of their streams.

Owns those shapes: the object in each of its states, one image_generation_call item a picture, and the events' order.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import orjson

from limner.api.calls import Call
from limner.api.chat.replies import Answer, Head, Telling, points_of, require_kept, told
from limner.api.embedding import Embedded, embedded
from limner.api.gateway import Gateway
from limner.api.replies import common_fields, spoken_tokens, usage
from limner.api.responses.reading import call_id
from limner.core import Operation, Preview
from limner.errors import LimnerError
from limner.jobs import Job, Outcome, StoredPicture

STATUSES = {"queued": "queued", "running": "in_progress", "finished": "completed"}
NOTHING_ECHOED: Mapping[str, Any] = {
    "instructions": None,
    "metadata": {},
    "previous_response_id": None,
    "tool_choice": "auto",
    "tools": [{"type": "image_generation"}],
    "user": None,
}


def response_id(job: Job) -> str:
    """The id under which a job is a response."""
    return f"resp_{job.id.removeprefix('job_')}"


def job_id(response: str) -> str:
    """The id of the job that is a response."""
    return response.replace("resp_", "job_", 1)


def input_id(job: Job, place: int) -> str:
    """The name of a picture that came with a response, as a source for the turns after it."""
    return f"input_{job.id.removeprefix('job_')}_{place}"


def place_of(picture: StoredPicture) -> int:
    """Which of its job's pictures it is, whether or not those before it are still kept."""
    return int(picture.id.rpartition("_")[2])


def item(job: Job, index: int, status: str, result: str | None = None) -> dict[str, Any]:
    """One picture as the call that made it, or is making it."""
    common = common_fields(job)
    return {
        "id": call_id(f"img_{job.id.removeprefix('job_')}_{index}"),
        "type": "image_generation_call",
        "status": status,
        "result": result,
        "action": "generate" if job.request.operation is Operation.GENERATE else "edit",
        **{name: common[name] for name in ("background", "output_format", "quality", "size")},
    }


def head_of(job: Job, model: str | None = None) -> Head:
    """What the Response of a job is known by; ``model`` is how the client calls the one that draws."""
    return Head(response_id(job), int(job.times.created_at_s), model or job.model)


def head_of_words(model: str) -> Head:
    """What a Response is known by for which nothing is run; it cannot be asked for again."""
    words = Head.of_words(model)
    return replace(words, id=words.id.replace("chatcmpl-", "resp_", 1))


def message(head: Head, status: str, text: str | None = None) -> dict[str, Any]:
    """Words as the item that says them; None while they are still to come."""
    content = [] if text is None else [_part(text)]
    return {
        "id": head.id.replace("resp_", "msg_", 1),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def response(
    head: Head, status: str, echo: Mapping[str, Any], output: Sequence[Mapping[str, Any]], **more: Any
) -> dict[str, Any]:
    """The Response object; ``more`` replaces what is null while a job goes on."""
    return {
        "id": head.id,
        "object": "response",
        "created_at": head.created_s,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "max_output_tokens": None,
        "model": head.model,
        "output": list(output),
        "parallel_tool_calls": True,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "top_p": None,
        "truncation": "disabled",
        "usage": None,
        **echo,
        **more,
    }


async def completed(gateway: Gateway, job: Job, outcome: Outcome, echo: Mapping[str, Any], telling: Telling) -> bytes:
    """A finished job as JSON bytes. Raises NotFound once the pictures' time is over."""
    files = await _files(gateway, job, outcome)
    return files.in_json(_completed(job, outcome, echo, telling, files))


def said(answer: Answer, echo: Mapping[str, Any]) -> dict[str, Any]:
    """The whole response in words for which nothing was run."""
    used = answer.usage
    usage_block = _tokens({"text_tokens": used["prompt_tokens"]}, used["completion_tokens"], 0, 0)
    return response(
        answer.head,
        "completed",
        echo,
        [message(answer.head, "completed", answer.text)],
        completed_at=answer.head.created_s,
        store=False,
        usage=usage_block,
        limner=answer.limner,
    )


def unfinished(job: Job, echo: Mapping[str, Any], model: str | None = None, **more: Any) -> dict[str, Any]:
    """A job that goes on, or has ended without pictures; ``model`` as in `head_of`."""
    head = head_of(job, model)
    if job.error is None:
        return response(head, STATUSES[job.status], echo, [], **more)
    if job.status == "cancelled":
        return response(head, "cancelled", echo, [], **more)
    error = {"code": job.error.code, "message": job.error.message}
    return response(head, "failed", echo, [], error=error, **more)


@dataclass(slots=True)
class Events:
    """The events of one stream, numbered as they are made."""

    call: Call | None  # None: nothing is run, `said` is the whole stream
    echo: Mapping[str, Any]
    telling: Telling
    spoken: bool = False
    spoken_at: int = 0  # which of the output's items the words are
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def _job(self) -> Job:
        assert self.call is not None, "without a job there is only what is said"
        return self.call.job

    @property
    def _head(self) -> Head:
        return head_of(self._job, self.telling.model)

    @property
    def _speaks(self) -> bool:
        return self._job.request.operation is Operation.DESCRIBE

    def opening(self) -> list[bytes]:
        """Accepted, and at work on every picture, or on the answer."""
        job = self._job
        events = self._begun(self._head)
        if self._speaks:
            return [*events, *self._opened(self._head)]
        for index in range(job.request.n):
            events.append(
                self._event("response.output_item.added", output_index=index, item=item(job, index, "in_progress"))
            )
            events += [self._of_call("in_progress", index), self._of_call("generating", index)]
        return events

    def words(self, text: str) -> bytes:
        """More of the answer."""
        self.spoken = True
        return self._of_text("delta", self._head, delta=text, logprobs=[])

    def said(self, answer: Answer) -> list[bytes]:
        """A whole stream of words for which nothing was run."""
        head, text = answer.head, answer.text
        delta = self._of_text("delta", head, delta=text, logprobs=[])
        whole = self._event("response.completed", response=said(answer, self.echo))
        return [*self._begun(head), *self._opened(head), delta, *self._closed(head, text), whole]

    def _begun(self, head: Head) -> list[bytes]:
        begun = response(head, "in_progress", self.echo, [])
        return [self._event("response.created", response=begun), self._event("response.in_progress", response=begun)]

    def _opened(self, head: Head) -> list[bytes]:
        begun = message(head, "in_progress")
        added = self._event("response.output_item.added", output_index=self.spoken_at, item=begun)
        return [added, self._of_part("added", begun["id"], "")]

    def _closed(self, head: Head, text: str) -> list[bytes]:
        done = message(head, "completed", text)
        return [
            self._of_text("done", head, text=text, logprobs=[]),
            self._of_part("done", done["id"], text),
            self._event("response.output_item.done", output_index=self.spoken_at, item=done),
        ]

    def _of_text(self, kind: str, head: Head, **more: Any) -> bytes:
        place: dict[str, Any] = {"item_id": message(head, "")["id"], "output_index": self.spoken_at, "content_index": 0}
        return self._event(f"response.output_text.{kind}", **place, **more)

    def _of_part(self, kind: str, item_id: str, text: str) -> bytes:
        place: dict[str, Any] = {"item_id": item_id, "output_index": self.spoken_at, "content_index": 0}
        return self._event(f"response.content_part.{kind}", **place, part=_part(text))

    async def partial(self, preview: Preview) -> bytes:
        """A partial picture, in the format asked for."""
        assert self.call is not None, "without a job there are no pictures"
        file = await self.call.gateway.media.encode(preview.picture, self._job.request.output)
        files, common = Embedded([file]), common_fields(self._job)
        return self._of_call(
            "partial_image",
            preview.image_index,
            files,
            partial_image_index=preview.preview_index,
            partial_image_b64=files.text(0),
            **common,
        )

    async def closing(self, outcome: Outcome) -> AsyncIterator[bytes]:
        """Every picture, whole, or the end of the answer; and the whole response."""
        job = self._job
        assert self.call is not None, "without a job there are no pictures"
        files = await _files(self.call.gateway, job, outcome)
        for event in self._unmade(outcome):
            yield event
        if outcome.text is not None:
            if outcome.text and not self.spoken:  # they ask back
                yield self.words(outcome.text)
            for event in self._closed(self._head, outcome.text):
                yield event
        for position, picture in enumerate(outcome.pictures):
            index = place_of(picture)
            yield self._of_call("completed", index)
            done = item(job, index, "completed", files.text(position))
            yield self._event("response.output_item.done", files, output_index=index, item=done)
        whole = _completed(job, outcome, self.echo, self.telling, files)
        yield self._event("response.completed", files, response=whole)

    def _unmade(self, outcome: Outcome) -> list[bytes]:
        """The calls that came to nothing, and words in their place."""
        calls = _unmade(self._job, outcome)
        self.spoken_at = len(calls)
        done = [self._event("response.output_item.done", output_index=i, item=one) for i, one in enumerate(calls)]
        return [*done, *(self._opened(self._head) if calls else ())]

    def failure(self, error: LimnerError) -> bytes:
        """The end of a job without pictures."""
        told_as = {"code": error.code, "message": error.message}
        return self._event("response.failed", response=response(self._head, "failed", self.echo, [], error=told_as))

    def _of_call(self, kind: str, index: int, files: Embedded | None = None, **more: Any) -> bytes:
        name = f"response.image_generation_call.{kind}"
        identity = {"output_index": index, "item_id": item(self._job, index, "")["id"]}
        return self._event(name, files, **identity, **more)

    def _event(self, name: str, files: Embedded | None = None, **more: Any) -> bytes:
        body = {"type": name, "sequence_number": next(self._numbers), **more}
        return b"event: %s\ndata: %s\n\n" % (
            name.encode(),
            orjson.dumps(body) if files is None else files.in_json(body),
        )


async def _files(gateway: Gateway, job: Job, outcome: Outcome) -> Embedded:
    require_kept(job, outcome)
    return await embedded(gateway.service, outcome.pictures)


def _completed(
    job: Job, outcome: Outcome, echo: Mapping[str, Any], telling: Telling, files: Embedded
) -> dict[str, Any]:
    head = head_of(job, telling.model)
    items = [item(job, place_of(one), "completed", files.text(i)) for i, one in enumerate(outcome.pictures)]
    items += _unmade(job, outcome)
    if outcome.text is not None:
        items.append(message(head, "completed", outcome.text))
    ended_at_s = job.times.ended_at_s or job.times.created_at_s
    return response(
        head,
        "completed",
        echo,
        items,
        completed_at=int(ended_at_s),
        usage=_usage(job, outcome),
        limner=told(job, outcome, telling),
    )


def _unmade(job: Job, outcome: Outcome) -> list[dict[str, Any]]:
    """The calls for pictures in whose place the answer asks back."""
    if outcome.text is None or outcome.pictures or job.request.operation is Operation.DESCRIBE:
        return []
    return [item(job, index, "failed") for index in range(job.request.n)]


def _usage(job: Job, outcome: Outcome) -> dict[str, Any]:
    if outcome.text is not None:
        read, written = spoken_tokens(job, outcome)
        return _tokens(read, written, 0, points_of(job))
    counted = usage(job)
    return _tokens(counted["input_tokens_details"], 0, counted["output_tokens"], points_of(job))


def _tokens(read: Mapping[str, int], text: int, image: int, points: int) -> dict[str, Any]:
    total = sum(read.values())
    return {
        "input_tokens": total,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, **read},
        "output_tokens": text + image,
        "output_tokens_details": {"reasoning_tokens": 0, "image_tokens": image},
        "total_tokens": total + text + image,
        "compute_points_used": points,
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
