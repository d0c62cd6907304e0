"""Input pictures as they arrive (uploaded files, data URLs, http URLs) made into decoded Pictures.

Owns the order of checks: count first, then bytes, then fetching, then decoding.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import UploadFile

from limner.core import Picture
from limner.errors import InvalidRequest, TooLarge, UnsupportedMedia
from limner.media.fetch import Fetcher
from limner.media.threads import MediaThreads

Source = UploadFile | str


@dataclass(frozen=True, slots=True)
class PictureReader:
    """Turns sources into Pictures under the server's limits."""

    media: MediaThreads
    fetcher: Fetcher
    max_images: int
    max_image_bytes: int

    def check_count(self, count: int, model_max: int, model_id: str, param: str = "image") -> None:
        """Raise InvalidRequest when there are more pictures than the model, or the server, takes."""
        allowed = min(model_max, self.max_images)
        if count > allowed:
            raise InvalidRequest(
                f"{count} images were given; {model_id!r} takes at most {allowed}" if allowed
                else f"{count} images were given; {model_id!r} takes none",
                param=param,
            )  # fmt: skip

    async def read_all(self, sources: Sequence[tuple[str, Source]]) -> tuple[Picture, ...]:
        """Decode all (parameter, source) pairs, in order. Raises TooLarge, UnsupportedMedia, InvalidRequest."""
        return tuple(await asyncio.gather(*(self.read(source, param) for param, source in sources)))

    async def read(self, source: Source, param: str) -> Picture:
        """Decode one source: an upload, a ``data:`` URL, an http(s) URL, or bare base64."""
        if isinstance(source, UploadFile):
            return await self.media.decode(await self._bytes_of(source, param), param=param)
        text = source.strip()
        if text[:5].lower() == "data:":
            return await self.media.decode_base64(text, param=param)
        if text[:7].lower() == "http://" or text[:8].lower() == "https://":
            return await self.media.decode(await self.fetcher.fetch(text, param), param=param)
        raise UnsupportedMedia(
            f"{param!r} must be an uploaded file, a data: URL or an http(s) URL, not {text[:40]!r}", param=param
        )

    async def _bytes_of(self, upload: UploadFile, param: str) -> bytes:
        if upload.size is not None and upload.size > self.max_image_bytes:
            raise TooLarge(f"{param!r} has {upload.size} bytes; at most {self.max_image_bytes} are taken", param=param)
        return await upload.read()
