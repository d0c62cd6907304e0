"""Finished jobs as reply bodies of the OpenAI Images wire.

Owns links, usage figures and the ``limner`` object; megabytes of base64 are joined into
the body as bytes and never pass through a JSON encoder.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import pybase64

from limner.blobs import Blobs
from limner.core import Operation, Request, Size
from limner.errors import NotFound
from limner.jobs import Job, Outcome, StoredPicture
from limner.service import Service
from limner.tasks import together

PATCH_PX = 32  # one image token of ``usage`` stands for a patch of 32 x 32 pixels
TEXT_TOKEN_BYTES = 4  # and one text token for 4 bytes of UTF-8


@dataclass(frozen=True, slots=True)
class Links:
    """Makes the signed links under which this server serves pictures, for as long as they are kept."""

    blobs: Blobs
    base_url: str
    lifetime_s: float

    def to(self, picture: StoredPicture) -> str:
        """The picture's absolute, expiring URL."""
        query = self.blobs.sign(picture.id, min(time.time() + self.lifetime_s, picture.expires_at_s))
        return f"{self.base_url.rstrip('/')}/v1/files/{picture.id}.{picture.format}?{query}"


def text_tokens(text: str) -> int:
    """What words are counted as where no model has counted them."""
    return -(-len(text.encode()) // TEXT_TOKEN_BYTES)


def usage(job: Job) -> dict[str, Any]:
    """OpenAI's usage block, by the fixed rates above."""
    return request_usage(job.request, job.handed_in.input_sizes)


def request_usage(request: Request, input_sizes: Iterable[Size]) -> dict[str, Any]:
    """As `usage`, for a request with a size and with input pictures of `input_sizes`."""
    text = text_tokens(request.prompt)
    image = sum(map(_image_tokens, input_sizes))
    assert request.size is not None
    output = request.n * _image_tokens(request.size)
    return {
        "input_tokens": text + image,
        "input_tokens_details": {"text_tokens": text, "image_tokens": image},
        "output_tokens": output,
        "total_tokens": text + image + output,
    }


def spoken_tokens(job: Job, outcome: Outcome) -> tuple[dict[str, int], int]:
    """What an answer in words took: tokens read, of text and of pictures, and written; as the model has counted them,
    or else by fixed rates."""
    details: dict[str, int] = usage(job)["input_tokens_details"]
    if outcome.tokens is None:
        return details, -(-len((outcome.text or "").encode()) // TEXT_TOKEN_BYTES)
    image = min(details["image_tokens"], outcome.tokens.read)
    return {"text_tokens": outcome.tokens.read - image, "image_tokens": image}, outcome.tokens.written


def limner_object(job: Job, outcome: Outcome) -> dict[str, Any]:
    """What was really done: the top-level ``limner`` key."""
    warnings = (*job.warnings, *outcome.warnings)
    return {
        "job_id": job.id,
        "operation": job.request.operation.value,
        "reason": None,
        "model": job.model,
        "model_revision": outcome.model_revision,
        "effective": {**job.effective, **_asked(job.request)},
        "files": [picture.id for picture in outcome.pictures],
        "warnings": [{"param": w.param, "code": w.code, "message": w.message} for w in warnings],
        "timings_s": {name: round(value, 6) for name, value in outcome.timings_s.items()},
    }


def _asked(request: Request) -> dict[str, Any]:
    """How the reply was made, beside what the catalogue says of the drawing."""
    output = request.output
    return {
        "n": request.n,
        "output_format": output.format,
        "output_compression": None if output.format == "png" else output.compression,
        "partial_images": request.previews,
        "timeout": request.timeout_s,
    }


def common_fields(job: Job) -> dict[str, Any]:
    """The keys that OpenAI puts beside every picture."""
    output = job.request.output
    return {
        "background": "opaque" if output.background == "auto" else output.background,
        "output_format": output.format,
        "quality": job.effective.get("quality", "auto"),
        "size": str(job.request.size),
    }


async def images_body(job: Job, outcome: Outcome, service: Service, links: Links | None) -> bytes:
    """``{"created", "data": [...], ...}`` as JSON bytes; ``links`` makes ``data[].url``, None ``data[].b64_json``.

    An answer in words is `words_body`. Raises NotFound once the pictures' time is over.
    """
    if outcome.text is not None:
        return words_body(job, outcome)
    if not outcome.pictures:
        raise NotFound(f"the pictures of {job.id} are no longer kept")
    created = int(job.times.ended_at_s or job.times.created_at_s)
    revised = {name: job.effective[name] for name in ("revised_prompt",) if name in job.effective}
    envelope = {**common_fields(job), "usage": usage(job), "limner": limner_object(job, outcome)}
    if links is not None:
        urls = [links.to(picture) for picture in outcome.pictures]
        return orjson.dumps({"created": created, "data": [{"url": url, **revised} for url in urls], **envelope})
    parts: list[bytes | memoryview] = [b'{"created":%d,"data":[' % created]
    beside = b',"revised_prompt":' + orjson.dumps(revised["revised_prompt"]) if revised else b""
    for file in await together(service.data_of(picture) for picture in outcome.pictures):
        parts += [b'{"b64_json":"', pybase64.b64encode(file), b'"%b},' % beside]
    parts[-1] = b'"%b}],' % beside
    parts.append(memoryview(orjson.dumps(envelope))[1:])
    return b"".join(parts)  # one copy of the megabytes, not three


def words_body(job: Job, outcome: Outcome) -> bytes:
    """``{"created", "text", "usage", "limner"}`` as JSON bytes: the answer of an operation that answers in words."""
    read, written = spoken_tokens(job, outcome)
    counted = {
        "input_tokens": sum(read.values()),
        "input_tokens_details": read,
        "output_tokens": written,
        "total_tokens": sum(read.values()) + written,
    }
    created = int(job.times.ended_at_s or job.times.created_at_s)
    told = {"created": created, "text": outcome.text, "usage": counted, "limner": limner_object(job, outcome)}
    return orjson.dumps(told)


def event_bytes(kind: Literal["partial_image", "completed"], job: Job, file: bytes, extra: Mapping[str, Any]) -> bytes:
    """One server-sent event of the Images stream."""
    prefix = "image_generation" if job.request.operation is Operation.GENERATE else "image_edit"
    name = f"{prefix}.{kind}"
    fields = {"created_at": int(time.time()), **common_fields(job), **extra}
    head = b'event: %s\ndata: {"type":"%s","b64_json":"' % (name.encode(), name.encode())
    return head + pybase64.b64encode(file) + b'",' + orjson.dumps(fields)[1:] + b"\n\n"


def _image_tokens(size: Size) -> int:
    return -(-size.width_px // PATCH_PX) * -(-size.height_px // PATCH_PX)
