"""Input pictures as they arrive (uploaded files, data URLs, http URLs) made into decoded Pictures.

Owns the order of checks: count first, then bytes, then fetching, then decoding.
"""

import asyncio
import weakref
from collections.abc import Awaitable, Callable

from starlette.datastructures import UploadFile

from limner.catalogue.values import shown
from limner.core import Picture
from limner.errors import InvalidRequest, Overloaded, TooLarge, UnsupportedMedia
from limner.media.decode import is_data_url
from limner.media.fetch import Fetcher
from limner.media.threads import MediaThreads

Source = UploadFile | str


FILES_AT_ONCE = 4  # sources whose bytes are in memory at the same time
FETCHES_AT_ONCE = 8


class PixelBudget:
    """Bounds the decoded pixels that requests hold; a picture gives its share back when nobody holds it any more."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._held_pixels = 0

    def hold(self, picture: Picture) -> Picture:
        """Count ``picture`` for as long as it lives. Raises Overloaded when there is no room for it."""
        if self._held_pixels + picture.size.pixels > self._max_pixels:
            raise Overloaded("the server holds as many input pixels as it may; try again soon", retry_after_s=5)
        self._held_pixels += picture.size.pixels
        weakref.finalize(picture, self._release, picture.size.pixels).atexit = False
        return picture

    def _release(self, pixels: int) -> None:
        self._held_pixels -= pixels


class PictureReader:
    """Turns sources into Pictures under the server's limits."""

    def __init__(
        self, media: MediaThreads, fetcher: Fetcher, budget: PixelBudget, *, max_images: int, max_image_bytes: int
    ) -> None:
        self._media, self._fetcher, self._budget = media, fetcher, budget
        self._max_images, self._max_image_bytes = max_images, max_image_bytes
        self._files = asyncio.Semaphore(FILES_AT_ONCE)
        self._fetches = asyncio.Semaphore(FETCHES_AT_ONCE)

    def check_count(self, count: int, model_max: int, model_id: str, param: str = "image") -> None:
        """Raise InvalidRequest when there are more pictures than the model, or the server, takes."""
        allowed = min(model_max, self._max_images)
        if count > allowed:
            raise InvalidRequest(
                f"Invalid value for {param!r}: {count} images were given. Allowed for {model_id}: "
                + (f"at most {allowed}" if allowed else "none"),
                param=param,
            )  # fmt: skip

    async def read(self, source: Source, param: str) -> Picture:
        """Decode one source: an upload, a ``data:`` URL or an http(s) URL. Raises TooLarge, UnsupportedMedia,
        InvalidRequest, and Overloaded where there is no room for its pixels."""
        if isinstance(source, UploadFile):
            self._check_bytes(source, param)
            async with self._files:
                return self._budget.hold(await self._media.decode(await source.read(), param=param))
        text = source.strip()
        if is_data_url(text):
            async with self._files:
                return self._budget.hold(await self._media.decode_base64(text, param=param))
        if text[:7].lower() == "http://" or text[:8].lower() == "https://":
            async with self._fetches:
                return self._budget.hold(await self._media.decode(await self._fetcher.fetch(text, param), param=param))
        raise UnsupportedMedia(
            f"{param!r} must be an uploaded file, a data: URL or an http(s) URL, not {shown(text)}", param=param
        )

    async def read_own(self, load: Callable[[], Awaitable[Picture]]) -> Picture:
        """A picture of the server's own, which ``load`` brings."""
        async with self._files:
            return self._budget.hold(await load())

    def _check_bytes(self, upload: UploadFile, param: str) -> None:
        if upload.size is not None and upload.size > self._max_image_bytes:
            raise TooLarge(f"{param!r} has {upload.size} bytes; at most {self._max_image_bytes} are taken", param=param)
