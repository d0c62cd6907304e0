"""Jobs as Response objects and as the events of their streams.

Owns those shapes: the object in each of its states, one image_generation_call item a picture, and the events' order.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson

from limner.api.calls import Call
from limner.api.chat_replies import Telling, points_of, told
from limner.api.embedding import Embedded, embedded
from limner.api.gateway import Gateway
from limner.api.replies import common_fields, usage
from limner.api.responses_input import call_id
from limner.core import Operation, Preview
from limner.errors import LimnerError, NotFound
from limner.jobs import Job, Outcome

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


def response(
    job: Job, status: str, echo: Mapping[str, Any], output: Sequence[Mapping[str, Any]], **more: Any
) -> dict[str, Any]:
    """The Response object; ``more`` replaces what is null while a job goes on."""
    return {
        "id": response_id(job),
        "object": "response",
        "created_at": int(job.times.created_at_s),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "max_output_tokens": None,
        "model": job.model,
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


def unfinished(job: Job, echo: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A job that goes on, or has ended without pictures."""
    if job.error is None:
        return response(job, STATUSES[job.status], echo, [], **more)
    if job.status == "cancelled":
        return response(job, "cancelled", echo, [], **more)
    error = {"code": job.error.code, "message": job.error.message}
    return response(job, "failed", echo, [], error=error, **more)


@dataclass(slots=True)
class Events:
    """The events of one stream, numbered as they are made."""

    call: Call
    echo: Mapping[str, Any]
    telling: Telling
    _numbers: Iterator[int] = field(default_factory=count)

    def opening(self) -> list[bytes]:
        """Accepted, and at work on every picture."""
        job = self.call.job
        begun = response(job, "in_progress", self.echo, [])
        events = [self._event("response.created", response=begun), self._event("response.in_progress", response=begun)]
        for index in range(job.request.n):
            events.append(
                self._event("response.output_item.added", output_index=index, item=item(job, index, "in_progress"))
            )
            events += [self._of_call("in_progress", index), self._of_call("generating", index)]
        return events

    async def partial(self, preview: Preview) -> bytes:
        """A partial picture, in the format asked for."""
        file = await self.call.gateway.media.encode(preview.picture, self.call.job.request.output)
        files, common = Embedded([file]), common_fields(self.call.job)
        return self._of_call(
            "partial_image",
            preview.image_index,
            files,
            partial_image_index=preview.preview_index,
            partial_image_b64=files.text(0),
            **common,
        )

    async def closing(self, outcome: Outcome) -> AsyncIterator[bytes]:
        """Every picture, whole, and the whole response."""
        job = self.call.job
        files = await _files(self.call.gateway, job, outcome)
        for index in range(len(outcome.pictures)):
            yield self._of_call("completed", index)
            done = item(job, index, "completed", files.text(index))
            yield self._event("response.output_item.done", files, output_index=index, item=done)
        whole = _completed(job, outcome, self.echo, self.telling, files)
        yield self._event("response.completed", files, response=whole)

    def failure(self, error: LimnerError) -> bytes:
        """The end of a job without pictures."""
        told_as = {"code": error.code, "message": error.message}
        return self._event("response.failed", response=response(self.call.job, "failed", self.echo, [], error=told_as))

    def _of_call(self, kind: str, index: int, files: Embedded | None = None, **more: Any) -> bytes:
        name = f"response.image_generation_call.{kind}"
        identity = {"output_index": index, "item_id": item(self.call.job, index, "")["id"]}
        return self._event(name, files, **identity, **more)

    def _event(self, name: str, files: Embedded | None = None, **more: Any) -> bytes:
        body = {"type": name, "sequence_number": next(self._numbers), **more}
        return b"event: %s\ndata: %s\n\n" % (
            name.encode(),
            orjson.dumps(body) if files is None else files.in_json(body),
        )


async def _files(gateway: Gateway, job: Job, outcome: Outcome) -> Embedded:
    if not outcome.pictures:
        raise NotFound(f"the pictures of {job.id} are no longer kept")
    return await embedded(gateway.service, outcome.pictures)


def _completed(
    job: Job, outcome: Outcome, echo: Mapping[str, Any], telling: Telling, files: Embedded
) -> dict[str, Any]:
    items = [item(job, index, "completed", files.text(index)) for index in range(len(outcome.pictures))]
    ended_at_s = job.times.ended_at_s or job.times.created_at_s
    return response(
        job,
        "completed",
        echo,
        items,
        completed_at=int(ended_at_s),
        usage=_usage(job),
        limner=told(job, outcome, telling),
    )


def _usage(job: Job) -> dict[str, Any]:
    counted = usage(job.request)
    return {
        "input_tokens": counted["input_tokens"],
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, **counted["input_tokens_details"]},
        "output_tokens": counted["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0, "image_tokens": counted["output_tokens"]},
        "total_tokens": counted["total_tokens"],
        "compute_points_used": points_of(job),
    }
