"""An opened store as the rest of this package sees it: paths and bytes, and one way to fail.

Owns talking to obstore, durable writes where the store is a directory, and the words for a store that is out of reach.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from obstore.exceptions import BaseError

from limner.blobs.durable import write_durably
from limner.blobs.location import Place, reason_of
from limner.errors import NotFound, NotReady

if TYPE_CHECKING:
    from obstore import ObjectMeta

logger = logging.getLogger(__name__)
BATCH = 500  # objects in one list or delete
CHUNK_BYTES = 2 * 1024 * 1024
RETRY_AFTER_S = 5


Operation: TypeAlias = Literal["put", "get", "delete"]
_UNDONE: Mapping[Operation, str] = {"put": "written", "get": "read", "delete": "removed"}


class Watcher(Protocol):
    """Who hears what is moved and what fails; see `limner.metrics.Metrics`."""

    def blob_moved(self, operation: Literal["put", "get"], size_bytes: int) -> None:
        """So many bytes were put or got."""
        ...

    def blob_failed(self, operation: Operation) -> None:
        """The store failed; a file that is not there is no failure."""
        ...


class Nobody:
    """Nobody listens."""

    def blob_moved(self, operation: Literal["put", "get"], size_bytes: int) -> None:
        """Heard by none."""

    def blob_failed(self, operation: Operation) -> None:
        """Heard by none."""


class Shelf:
    """Every method raises NotReady when the store fails, with the store's reason in the log and as its cause."""

    def __init__(self, place: Place, watcher: Watcher) -> None:
        self._place, self._watcher = place, watcher
        self._store = place.store

    async def put(self, path: str, data: bytes, attributes: Mapping[str, str]) -> None:
        """Store ``data``, whole or not at all; a directory keeps no ``attributes``."""
        await self.put_by_content(lambda: path, data, attributes)

    async def put_by_content(self, path_of: Callable[[], str], data: bytes, attributes: Mapping[str, str]) -> str:
        """As `put`, under the path that ``path_of`` finds on a thread."""
        directory = self._place.directory

        def write() -> str:
            path = path_of()
            if directory is not None:
                write_durably(directory / path, data)
            return path

        with self._telling("put"):
            path = await asyncio.to_thread(write)
            if directory is None:
                await self._store.put_async(path, data, attributes=dict(attributes), use_multipart=False)
        self._watcher.blob_moved("put", len(data))
        return path

    async def get(self, path: str) -> bytes:
        """The whole content; raises NotFound."""
        with self._reading(path):
            data = bytes(await (await self._store.get_async(path)).bytes_async())
        self._watcher.blob_moved("get", len(data))
        return data

    async def get_range(self, path: str, start: int, end: int) -> bytes:
        """Bytes ``start`` up to but not with ``end``, both within the content; raises NotFound."""
        with self._reading(path):
            data = bytes(await self._store.get_range_async(path, start=start, end=end))
        self._watcher.blob_moved("get", len(data))
        return data

    async def stream(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        """As `get_range`, in chunks; what is missing raises NotFound here, before the first one."""
        # obstore's own stream of a directory's file comes in pieces of 8 KiB: 2 MB take 12 ms so, and 1 ms this way.
        first = await self.get_range(path, start, min(start + CHUNK_BYTES, end))
        return self._chunks(path, first, start + len(first), end)

    async def _chunks(self, path: str, first: bytes, position: int, end: int) -> AsyncIterator[bytes]:
        yield first
        while position < end:
            chunk = await self.get_range(path, position, min(position + CHUNK_BYTES, end))
            position += len(chunk)
            yield chunk

    async def size(self, path: str) -> int:
        """The content's length in bytes; raises NotFound."""
        with self._reading(path):
            return (await self._store.head_async(path))["size"]

    async def delete(self, paths: Sequence[str]) -> None:
        """Remove all of them; what is already gone is no error."""
        for start in range(0, len(paths), BATCH):
            await self._delete(list(paths[start : start + BATCH]))

    async def _delete(self, paths: list[str]) -> None:
        with self._telling("delete"):
            try:
                await self._store.delete_async(paths)
            except FileNotFoundError:  # a directory's store stops at the first that is already gone
                for path in paths:
                    with contextlib.suppress(FileNotFoundError):
                        await self._store.delete_async(path)

    async def directories(self, within: str) -> list[str]:
        """The directories right under ``within`` ("" being the top), as whole paths, sorted."""
        with self._telling("get"):
            return sorted((await self._store.list_with_delimiter_async(within or None))["common_prefixes"])

    async def files(self, within: str) -> list["ObjectMeta"]:
        """All files under ``within``, at any depth."""
        with self._telling("get"):
            return [meta async for chunk in self._store.list(within, chunk_size=BATCH) for meta in chunk]

    @contextlib.contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        with self._telling("get"):
            try:
                yield
            except FileNotFoundError as error:
                raise no_such(path) from error

    @contextlib.contextmanager
    def _telling(self, operation: Operation) -> Iterator[None]:
        try:
            yield
        except (OSError, BaseError) as error:
            self._watcher.blob_failed(operation)
            logger.error("the picture store %s failed: %s", self._place.title, reason_of(error))
            raise NotReady(
                f"the picture store cannot be {_UNDONE[operation]} now; the server's log has the reason",
                retry_after_s=RETRY_AFTER_S,
            ) from error


def no_such(path: str) -> NotFound:
    """The error for a file that is not there."""
    return NotFound(f"There is no file {path[:100]!r}: it never was, or its time is over.")
