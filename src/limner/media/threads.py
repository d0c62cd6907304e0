"""Decoding and encoding away from the event loop, with a bound on how many run at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from limner.core import ImageFormat, Output, Picture, Size
from limner.media.decode import DecodeLimits, decode, decode_base64
from limner.media.encode import encode
from limner.media.thumbnail import thumbnail


class MediaThreads:
    """A few threads for the codecs. ``workers`` bounds memory: each may hold two copies of the largest picture.

    The bound holds under cancellation too: a caller that leaves frees no thread before its work is done. Decoding
    and encoding have threads of their own, so that hostile inputs cannot hold up finished pictures.
    """

    def __init__(self, limits: DecodeLimits, *, workers: int = 2) -> None:
        self.limits = limits
        self._decoders = ThreadPoolExecutor(workers, "limner-decode")
        self._encoders = ThreadPoolExecutor(workers, "limner-encode")
        self._thumbnails = asyncio.Semaphore(workers)

    async def decode(self, data: bytes, *, param: str) -> Picture:
        """As ``decode.decode``."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, lambda: decode(data, self.limits, param=param))

    async def restore(self, data: bytes, size: Size) -> Picture:
        """As ``decode.decode`` of a file of ``size`` that this server wrote: the bounds for clients do not hold."""
        limits = DecodeLimits(max_bytes=len(data), max_pixels=size.pixels)
        return await asyncio.get_running_loop().run_in_executor(
            self._decoders, lambda: decode(data, limits, param="image")
        )

    async def decode_base64(self, text: str, *, param: str) -> Picture:
        """As ``decode.decode_base64``: a data URL or bare base64."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, lambda: decode_base64(text, self.limits, param=param))

    async def encode(self, picture: Picture, output: Output, text: Mapping[str, str] | None = None) -> bytes:
        """As ``encode.encode``."""
        return await asyncio.get_running_loop().run_in_executor(self._encoders, encode, picture, output, text)

    async def thumbnail(self, read: Callable[[], Awaitable[bytes]], image_format: ImageFormat, size: Size) -> bytes:
        """As ``thumbnail.thumbnail`` of what ``read`` gives; no more files are read than are resized at once."""
        async with self._thumbnails:
            data = await read()
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._decoders, thumbnail, data, image_format, size)

    def close(self) -> None:
        """Drop what has not started; what runs ends on its own."""
        for executor in (self._decoders, self._encoders):
            executor.shutdown(wait=False, cancel_futures=True)
