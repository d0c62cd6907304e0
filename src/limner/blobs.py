"""Finished files by content: a directory by default, any object store obstore speaks by URL.

Owns keys, storing, reading, and removal by age. A key is ``YYYY/MM/DD/<sha256>.<extension>``: the day (UTC) it was
stored makes old ones cheap to find, the hash makes storing the same content twice one object. Knows nothing of HTTP;
links are ``limner.links``'s.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from obstore.exceptions import AlreadyExistsError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from limner.errors import NotFound

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp", "application/json": "json"}
_MEDIA_TYPES = {extension: media_type for media_type, extension in EXTENSIONS.items()}
_KEY = re.compile(r"(\d{4}/\d{2}/\d{2})/[0-9a-f]{64}\.([a-z]{3,4})", re.ASCII)
_DELETE_BATCH = 500


def _today() -> date:
    return datetime.now(UTC).date()


class Blobs:
    """Content-addressed files in one object store."""

    def __init__(self, store: ObjectStore, *, today: Callable[[], date] = _today) -> None:
        self._store = store
        self._today = today

    @classmethod
    def open(cls, location: Path | str, *, today: Callable[[], date] = _today) -> "Blobs":
        """The store at ``location``: a directory, which is created, or a URL such as ``s3://bucket/prefix``."""
        if isinstance(location, str) and "://" in location:
            return cls(from_url(location), today=today)
        return cls(LocalStore(Path(location), automatic_cleanup=True, mkdir=True), today=today)

    async def put(self, data: bytes, media_type: str) -> str:
        """Store ``data`` (a type in EXTENSIONS) and give its key. Atomic; the same content on a day is one object."""
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        key = f"{self._today():%Y/%m/%d}/{digest}.{EXTENSIONS[media_type]}"
        try:
            await self._store.put_async(key, data, mode="create", attributes={"Content-Type": media_type})
        except AlreadyExistsError:
            pass
        return key

    async def get(self, key: str) -> bytes:
        """The whole content; raises NotFound."""
        _check_key(key)
        try:
            return bytes(await (await self._store.get_async(key)).bytes_async())
        except NotFoundError as error:
            raise _no_such(key) from error

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes ``start`` up to but not with ``end``, both within the content; raises NotFound."""
        _check_key(key)
        try:
            return bytes(await self._store.get_range_async(key, start=start, end=end))
        except NotFoundError as error:
            raise _no_such(key) from error

    async def size(self, key: str) -> int:
        """The content's length in bytes; raises NotFound."""
        _check_key(key)
        try:
            return (await self._store.head_async(key))["size"]
        except NotFoundError as error:
            raise _no_such(key) from error

    async def delete(self, key: str) -> None:
        """Remove the content; one that is already gone is no error. Raises NotFound for what is no key."""
        _check_key(key)
        try:
            await self._store.delete_async(key)
        except NotFoundError:
            pass

    async def sweep(self, older_than: date) -> int:
        """Remove everything stored on a day before ``older_than``; gives how many. Foreign files are left alone."""
        old: list[str] = []
        async for metas in self._store.list(chunk_size=_DELETE_BATCH):
            old += [meta["path"] for meta in metas if _is_older(meta["path"], older_than)]
        for start in range(0, len(old), _DELETE_BATCH):
            await self._store.delete_async(old[start : start + _DELETE_BATCH])
        return len(old)


def media_type_of(key: str) -> str:
    """The media type a key was stored under; raises NotFound for what is no key."""
    return _MEDIA_TYPES[_check_key(key)[2]]


def _check_key(key: str) -> re.Match[str]:
    """A key is exactly what ``put`` gives: no path can be smuggled in."""
    match = _KEY.fullmatch(key)
    if match is None or match[2] not in _MEDIA_TYPES:
        raise _no_such(key)
    return match


def _is_older(path: str, day: date) -> bool:
    match = _KEY.fullmatch(path)
    return match is not None and match[1] < f"{day:%Y/%m/%d}"


def _no_such(key: str) -> NotFound:
    return NotFound(f"There is no file {key[:100]!r}: it never was, or its time is over.")
