"""Finished jobs as reply bodies of the OpenAI Images wire.

Owns encoding off the event loop, links, usage figures and the ``limner`` object; megabytes of base64 are joined into
the body as bytes and never pass through a JSON encoder.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import pybase64
from obstore.exceptions import BaseError

from limner.blobs import Blobs
from limner.catalogue import effective
from limner.core import EncodedPicture, Finished, Operation, Output, Picture, Request, Size, Warning
from limner.errors import InternalError
from limner.jobs import Job
from limner.media.encode import media_type
from limner.media.threads import MediaThreads

logger = logging.getLogger(__name__)
PATCH_PX = 32  # one image token of ``usage`` stands for a patch of 32 x 32 pixels
TEXT_TOKEN_BYTES = 4  # and one text token for 4 bytes of UTF-8


@dataclass(frozen=True, slots=True)
class Links:
    """Stores files and makes the signed links under which this server serves them."""

    blobs: Blobs
    base_url: str
    lifetime_s: float

    async def store(self, data: bytes, kind: str) -> str:
        """Keep ``data`` and return its absolute, expiring URL."""
        try:
            key = await self.blobs.put(data, kind)
        except (OSError, BaseError) as error:
            logger.error("a picture could not be stored: %s", error)
            raise InternalError("the picture could not be stored; ask for response_format b64_json") from error
        query = self.blobs.sign(key, time.time() + self.lifetime_s)
        return f"{self.base_url.rstrip('/')}/files/{key}?{query}"


async def as_file(media: MediaThreads, picture: Picture | EncodedPicture, output: Output) -> bytes:
    """The picture as a file; one that a backend delivered in the right format passes unchanged."""
    if isinstance(picture, EncodedPicture):
        assert picture.format == output.format, "backends deliver the format that was asked for"
        return picture.data
    return await media.encode(picture, output)


def usage(request: Request) -> dict[str, Any]:
    """OpenAI's usage block, by the fixed rates above."""
    text = -(-len(request.prompt.encode()) // TEXT_TOKEN_BYTES)
    image = sum(_image_tokens(picture.size) for picture in request.inputs)
    assert request.size is not None
    output = request.n * _image_tokens(request.size)
    return {
        "input_tokens": text + image,
        "input_tokens_details": {"text_tokens": text, "image_tokens": image},
        "output_tokens": output,
        "total_tokens": text + image + output,
    }


def limner_object(job: Job, finished: Finished, warnings: Sequence[Warning]) -> dict[str, Any]:
    """What was really done: the top-level ``limner`` key."""
    return {
        "job_id": job.id,
        "operation": job.request.operation.value,
        "reason": None,
        "model": job.spec.id,
        "model_revision": finished.model_revision,
        "effective": {**effective(job.request, job.spec), **_asked(job.request)},
        "warnings": [{"param": w.param, "code": w.code, "message": w.message} for w in (*warnings, *finished.warnings)],
        "timings_s": {name: round(value, 6) for name, value in finished.timings_s.items()},
    }


def _asked(request: Request) -> dict[str, Any]:
    """How the reply was made, beside what the catalogue says of the drawing."""
    output = request.output
    return {
        "n": request.n,
        "output_format": output.format,
        "output_compression": output.compression,
        "partial_images": request.previews,
        "timeout": request.timeout_s,
    }


def common_fields(job: Job) -> dict[str, Any]:
    """The keys that OpenAI puts beside every picture."""
    output = job.request.output
    return {
        "background": "opaque" if output.background == "auto" else output.background,
        "output_format": output.format,
        "quality": "auto",
        "size": str(job.request.size),
    }


async def images_body(
    job: Job,
    finished: Finished,
    *,
    warnings: Sequence[Warning],
    media: MediaThreads,
    links: Links | None,
) -> bytes:
    """``{"created", "data": [...], ...}`` as JSON bytes; ``links`` makes ``data[].url``, None ``data[].b64_json``."""
    output = job.request.output
    files = await asyncio.gather(*(as_file(media, picture, output) for picture in finished.pictures))
    envelope = {
        **common_fields(job),
        "usage": usage(job.request),
        "limner": limner_object(job, finished, warnings),
    }
    if links is not None:
        urls = [await links.store(file, media_type(output.format)) for file in files]
        return orjson.dumps({"created": int(time.time()), "data": [{"url": url} for url in urls], **envelope})
    parts: list[bytes | memoryview] = [b'{"created":%d,"data":[' % int(time.time())]
    for file in files:
        parts += [b'{"b64_json":"', pybase64.b64encode(file), b'"},']
    parts[-1] = b'"}],'
    parts.append(memoryview(orjson.dumps(envelope))[1:])
    return b"".join(parts)  # one copy of the megabytes, not three


def event_bytes(kind: Literal["partial_image", "completed"], job: Job, file: bytes, extra: Mapping[str, Any]) -> bytes:
    """One server-sent event of the Images stream."""
    prefix = "image_generation" if job.request.operation is Operation.GENERATE else "image_edit"
    name = f"{prefix}.{kind}"
    fields = {"created_at": int(time.time()), **common_fields(job), **extra}
    head = b'event: %s\ndata: {"type":"%s","b64_json":"' % (name.encode(), name.encode())
    return head + pybase64.b64encode(file) + b'",' + orjson.dumps(fields)[1:] + b"\n\n"


def _image_tokens(size: Size) -> int:
    return -(-size.width_px // PATCH_PX) * -(-size.height_px // PATCH_PX)
