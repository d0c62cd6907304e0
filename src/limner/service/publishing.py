"""From what a backend drew to what is handed out: encoded files in the blob store, and the rows that know them.

Owns encoding with the recipe in it, the ids and rows of pictures, input pictures on their way to disk and back, and
reading all of it again for a job that was drawn by another process.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from limner.blobs import Blobs
from limner.core import EncodedPicture, Finished, ImageFormat, Output, Picture, PixelMode, Request, Size, Tokens
from limner.jobs import Job, Outcome, StoredPicture
from limner.media.convert import from_image, to_image
from limner.media.encode import media_type
from limner.media.recipe_text import recipe_text
from limner.media.threads import MediaThreads
from limner.records import StoredInput, pixels_sha256, recipe, stored_inputs, warning_records, warnings_of
from limner.service.patience import patiently
from limner.store import ImageRow, JobRow, Store
from limner.tasks import together

FORMATS: Mapping[str, ImageFormat] = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}
VERSIONED = ("limner", "torch", "diffusers")


@dataclass(frozen=True, slots=True)
class Publisher:
    """Puts pictures away and finds them again. ``keep_s`` is how long finished ones are kept."""

    store: Store
    blobs: Blobs
    media: MediaThreads
    keep_s: float
    embed_recipe: bool

    async def publish(self, job: Job, record: Mapping[str, Any], finished: Finished, limit_s: float) -> Outcome:
        """Encode and store the pictures; nothing is visible before the job's row says so. A picture store that is away
        is waited for, ``limit_s`` at most; then raises NotReady."""
        pictures = await together(
            self._put(job, record, finished, index, limit_s) for index in range(len(finished.pictures))
        )
        return Outcome(
            pictures,
            finished.model_revision,
            finished.timings_s,
            finished.warnings,
            finished.text,
            finished.tokens,
        )

    async def _put(
        self, job: Job, record: Mapping[str, Any], finished: Finished, index: int, limit_s: float
    ) -> StoredPicture:
        picture, output = finished.pictures[index], job.request.output
        assert job.request.seed is not None, "seeds are settled before work begins"
        seed = job.request.seed + index
        text = recipe(record, seed, finished.model_revision) if self.embed_recipe else None
        data = await self._file(picture, output, text)
        key = await patiently(lambda: self.blobs.put(data, media_type(output.format)), limit_s)
        return StoredPicture(
            id=f"img_{job.id.removeprefix('job_')}_{index}",
            key=key,
            format=output.format,
            size=picture.size,
            seed=seed,
            size_bytes=len(data),
            expires_at_s=time.time() + self.keep_s,
            data=data,
        )

    async def _file(
        self, picture: Picture | EncodedPicture, output: Output, recipe_record: Mapping[str, Any] | None
    ) -> bytes:
        if isinstance(picture, EncodedPicture):
            assert picture.format == output.format, "backends deliver the format that was asked for"
            return picture.data
        text = None if recipe_record is None else recipe_text(recipe_record)
        return await self.media.encode(picture, output, text)

    async def outcomes_of(self, rows: Sequence[JobRow]) -> list[Outcome]:
        """What `publish` made, from the rows of finished jobs; the files stay where they are."""
        images = await self.store.images_of_all([row.id for row in rows])
        return [_outcome(row, images[row.id]) for row in rows]

    async def data_of(self, picture: StoredPicture) -> bytes:
        """The file; raises NotFound once its time is over."""
        return picture.data if picture.data is not None else await self.blobs.get(picture.key)

    async def decoded(self, picture: StoredPicture) -> Picture:
        """The file, decoded; raises NotFound once its time is over."""
        return await self.media.restore(await self.data_of(picture), picture.size)

    async def put_inputs(self, job_id: str, request: Request) -> tuple[Sequence[StoredInput], StoredInput | None]:
        """Keep the request's pictures until the job is over."""
        pictures = [*request.inputs, *([] if request.mask is None else [request.mask])]
        stored = await together(self._put_input(job_id, i, one) for i, one in enumerate(pictures))
        return (stored[:-1], stored[-1]) if request.mask is not None else (stored, None)

    async def _put_input(self, job_id: str, index: int, picture: Picture) -> StoredInput:
        data = await self.media.encode(picture, Output("png"))
        digest = await asyncio.to_thread(pixels_sha256, picture)
        key = await self.blobs.put_input(job_id, _input_name(index), data)
        return StoredInput(key, digest, picture.mode, picture.size)

    async def drop_inputs(self, job: Job) -> None:
        """The job was not accepted: nobody needs its pictures."""
        if job.request.inputs or job.request.mask:
            await self.blobs.drop_inputs(job.id)

    async def end_inputs(self, job_id: str, attached: Collection[int]) -> None:
        """The job is over: nobody needs its pictures any more, but for those that conversations go on from."""
        await self.blobs.drop_inputs(job_id, spare={_input_name(place) for place in attached})

    async def read_inputs(self, record: Mapping[str, Any]) -> tuple[list[Picture], Picture | None]:
        """The pictures that `put_inputs` kept: inputs and mask. Raises NotFound when they are gone."""
        stored = stored_inputs(record)
        pictures = [await self.read_input(one) for one in stored]
        return (pictures[:-1], pictures[-1]) if record["mask"] else (pictures, None)

    async def read_input(self, stored: StoredInput) -> Picture:
        """The picture that was put away. Raises NotFound when it is gone."""
        picture = await self.media.restore(await self.blobs.get_input(stored.key), stored.size)
        return await asyncio.to_thread(_in_mode, picture, stored.mode)


def _input_name(place: int) -> str:
    return f"{place}.png"


def _in_mode(picture: Picture, mode: PixelMode) -> Picture:
    """Decoding gives colour, and drops an alpha channel that hides nothing."""
    return picture if picture.mode == mode else from_image(to_image(picture).convert(mode))


def _outcome(row: JobRow, images: Sequence[ImageRow]) -> Outcome:
    assert row.result is not None, "a finished job has its result"
    return Outcome(
        tuple(picture_of(image) for image in images),
        row.result["model_revision"],
        row.result["timings_s"],
        warnings_of(row.result["warnings"]),
        row.result.get("text"),
        None if row.result.get("tokens") is None else Tokens(**row.result["tokens"]),
    )


def result_record(outcome: Outcome, loras: Mapping[str, str]) -> dict[str, Any]:
    """What a finished job's row keeps of its outcome, beside the rows of its pictures."""
    words: dict[str, Any] = {} if outcome.text is None else {"text": outcome.text}
    if outcome.tokens is not None:
        words["tokens"] = asdict(outcome.tokens)
    return {
        **words,
        "model_revision": outcome.model_revision,
        "timings_s": dict(outcome.timings_s),
        "warnings": warning_records(outcome.warnings),
        "files_sha256": dict(loras),
        "versions": versions(),
    }


def image_rows(job: Job, outcome: Outcome, now_s: float) -> tuple[ImageRow, ...]:
    """One row a picture."""
    return tuple(
        ImageRow(
            id=picture.id,
            job_id=job.id,
            index=index,
            owner=job.request.owner,
            key=picture.key,
            media_type=media_type(picture.format),
            width_px=picture.size.width_px,
            height_px=picture.size.height_px,
            size_bytes=picture.size_bytes,
            seed=picture.seed,
            created_at_s=now_s,
            expires_at_s=picture.expires_at_s,
        )
        for index, picture in enumerate(outcome.pictures)
    )


def picture_of(image: ImageRow) -> StoredPicture:
    """The picture of a row; its file stays where it is."""
    return StoredPicture(
        id=image.id,
        key=image.key,
        format=FORMATS[image.media_type],
        size=Size(image.width_px, image.height_px),
        seed=image.seed,
        size_bytes=image.size_bytes,
        expires_at_s=image.expires_at_s,
    )


@cache
def versions() -> dict[str, str]:
    """The versions of what draws, as far as it is installed."""
    found = {}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
