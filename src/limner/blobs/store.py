"""Finished files by content: a directory by default, any object store obstore speaks by URL.

Owns keys, storing, reading, and removal by age. A key is ``YYYY/MM/DD/<sha256>.<extension>``: the day (UTC) it was
stored makes old ones cheap to find, the hash makes storing the same content twice one object. Knows nothing of HTTP.
"""

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore, ObjectStore, from_url

from limner.blobs.links import LinkSigner, load_secret
from limner.errors import NotFound

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp", "application/json": "json"}
_MEDIA_TYPES = {extension: media_type for media_type, extension in EXTENSIONS.items()}
_KEY = re.compile(r"(\d{4}/\d{2}/\d{2})/[0-9a-f]{64}\.([a-z]{3,4})", re.ASCII)
_DELETE_BATCH = 500


class Blobs:
    """Content-addressed files and the links that open them.

    Files lie in ``data/files``, or in ``location``, an object store's URL such as ``s3://bucket/prefix``; the links'
    secret is always ``data/link-secret``. Both are created on first use. ``clock`` gives unix seconds.
    """

    def __init__(self, data: Path, *, location: str | None = None, clock: Callable[[], float] = time.time) -> None:
        self._store = _open_store(data / "files" if location is None else location)
        self._signer = LinkSigner(load_secret(data / "link-secret"), clock=clock)
        self._clock = clock

    def sign(self, key: str, expires_at: float) -> str:
        """The query string that opens ``key`` until ``expires_at`` (unix seconds; fractions are cut off)."""
        return self._signer.sign(key, int(expires_at))

    def verify(self, key: str, expires: str, signature: str) -> None:
        """Return for a link that is genuine and still good; raises Forbidden otherwise."""
        self._signer.verify(key, expires, signature)

    async def put(self, data: bytes, media_type: str) -> str:
        """Store ``data`` (a type in EXTENSIONS) and give its key. Atomic; the same content on a day is one object."""
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        key = f"{datetime.fromtimestamp(self._clock(), UTC):%Y/%m/%d}/{digest}.{EXTENSIONS[media_type]}"
        with contextlib.suppress(AlreadyExistsError):
            await self._store.put_async(key, data, mode="create", attributes=self._attributes(media_type))
        return key

    def _attributes(self, media_type: str) -> dict[str, str] | None:
        # Directories keep no attributes, and obstore refuses to be asked.
        return None if isinstance(self._store, LocalStore) else {"Content-Type": media_type}

    async def get(self, key: str) -> bytes:
        """The whole content; raises NotFound."""
        _check_key(key)
        try:
            return bytes(await (await self._store.get_async(key)).bytes_async())
        except FileNotFoundError as error:
            raise _no_such(key) from error

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes ``start`` up to but not with ``end``, both within the content; raises NotFound."""
        _check_key(key)
        try:
            return bytes(await self._store.get_range_async(key, start=start, end=end))
        except FileNotFoundError as error:
            raise _no_such(key) from error

    async def size(self, key: str) -> int:
        """The content's length in bytes; raises NotFound."""
        _check_key(key)
        try:
            return (await self._store.head_async(key))["size"]
        except FileNotFoundError as error:
            raise _no_such(key) from error

    async def delete(self, key: str) -> None:
        """Remove the content; one that is already gone is no error. Raises NotFound for what is no key."""
        _check_key(key)
        with contextlib.suppress(FileNotFoundError):
            await self._store.delete_async(key)

    async def sweep(self, older_than: date) -> int:
        """Remove everything stored on a day before ``older_than``; gives how many. Foreign files are left alone."""
        old: list[str] = []
        async for metas in self._store.list(chunk_size=_DELETE_BATCH):
            old += [meta["path"] for meta in metas if _is_older(meta["path"], older_than)]
        for start in range(0, len(old), _DELETE_BATCH):
            await self._delete_all(old[start : start + _DELETE_BATCH])
        return len(old)

    async def _delete_all(self, keys: list[str]) -> None:
        try:
            await self._store.delete_async(keys)
        except FileNotFoundError:  # another process sweeps too
            for key in keys:
                await self.delete(key)


def _open_store(location: Path | str) -> ObjectStore:
    if isinstance(location, str):
        return from_url(location)
    return LocalStore(location, automatic_cleanup=True, mkdir=True)


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
    return match is not None and match[2] in _MEDIA_TYPES and match[1] < f"{day:%Y/%m/%d}"


def _no_such(key: str) -> NotFound:
    return NotFound(f"There is no file {key[:100]!r}: it never was, or its time is over.")
