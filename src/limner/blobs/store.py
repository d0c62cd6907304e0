"""Files by content and by job: in a directory by default, in any object store obstore speaks by URL.

Owns keys, and removal by age. A finished picture's key is ``YYYY/MM/DD/<blake3>.<extension>``: the day (UTC) it was
stored makes old ones cheap to find, the hash makes storing the same content twice one object. An input picture's key
is ``inputs/<job>/<name>``, and it goes when its job is over and nothing goes on from it. Knows nothing of HTTP or
databases.
"""

import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from blake3 import blake3

from limner.blobs.durable import DRAFT_SUFFIX
from limner.blobs.links import LinkSigner
from limner.blobs.location import open_place, reason_of
from limner.blobs.shelf import BATCH, Nobody, Shelf, Watcher, no_such
from limner.errors import NotFound, NotReady
from limner.secrets_file import SECRET_BYTES, secret_for

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp", "application/json": "json"}
_MEDIA_TYPES = {extension: media_type for media_type, extension in EXTENSIONS.items()}
_KEY = re.compile(r"(\d{4}/\d{2}/\d{2})/[0-9a-f]{64}\.([a-z]{3,4})", re.ASCII)
_DRAFT = re.compile(rf"{_KEY.pattern}\.[0-9a-f]{{16}}{re.escape(DRAFT_SUFFIX)}", re.ASCII)
_DAY_OR_ABOVE = re.compile(r"\d{4}(/\d{2}){0,2}", re.ASCII)
_INPUT_KEY = re.compile(r"inputs/[A-Za-z0-9_-]{1,100}/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}", re.ASCII)

IsLive = Callable[[frozenset[str]], Awaitable[frozenset[str]]]


class Blobs:
    """Files and the links that open them.

    They lie in ``data/files``, or in ``location``: an object store's URL, a directory, or ``memory://``, which ends
    with the process. The links' secret is ``data/link-secret``, or derived from
    ``shared_secret`` (hex); for ``memory://`` it is made up. Both are created on
    first use. ``clock`` gives unix seconds, ``watcher`` hears of bytes moved and of failures. In a directory, what was
    put survives a power loss once `put` has returned.

    Raises InvalidRequest for a wrong ``location``. Every method raises NotReady when the store fails or cannot be
    reached; the log has the store's reason.
    """

    def __init__(
        self,
        data: Path,
        *,
        location: str = "",
        shared_secret: str = "",
        clock: Callable[[], float] = time.time,
        watcher: Watcher = Nobody(),  # noqa: B008 - it keeps nothing
    ) -> None:
        place = open_place(location, data / "files")
        secret = secrets.token_bytes(SECRET_BYTES) if place.forgets else secret_for(data / "link-secret", shared_secret)
        self.title = place.title
        self._shelf = Shelf(place, watcher)
        self._signer = LinkSigner(secret, clock=clock)
        self._clock = clock

    def sign(self, name: str, expires_at: float) -> str:
        """The query string that opens ``name`` until ``expires_at`` (unix seconds; fractions are cut off)."""
        return self._signer.sign(name, int(expires_at))

    def verify(self, name: str, expires: str, signature: str) -> None:
        """Return for a link that is genuine and still good; raises Forbidden otherwise."""
        self._signer.verify(name, expires, signature)

    async def put(self, data: bytes, media_type: str) -> str:
        """Store ``data`` (a type in EXTENSIONS) and give its key. Atomic; the same content on a day is one object."""
        day = f"{datetime.fromtimestamp(self._clock(), UTC):%Y/%m/%d}"

        def key() -> str:
            return f"{day}/{blake3(data).hexdigest()}.{EXTENSIONS[media_type]}"

        return await self._shelf.put_by_content(key, data, {"Content-Type": media_type})

    async def get(self, key: str) -> bytes:
        """The whole content; raises NotFound."""
        _check_key(key)
        return await self._shelf.get(key)

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes ``start`` up to but not with ``end``, both within the content; raises NotFound."""
        _check_key(key)
        return await self._shelf.get_range(key, start, end)

    async def stream(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """As `get_range`, in chunks; what is missing raises NotFound here, before the first one."""
        _check_key(key)
        return await self._shelf.stream(key, start, end)

    async def size(self, key: str) -> int:
        """The content's length in bytes; raises NotFound."""
        _check_key(key)
        return await self._shelf.size(key)

    async def delete(self, key: str) -> None:
        """As `delete_many`, for one."""
        await self.delete_many([key])

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Remove the contents; what is already gone is no error. Raises NotFound for what is no key."""
        for key in keys:
            _check_key(key)
        await self._shelf.delete(keys)

    async def sweep(self, older_than: date) -> int:
        """Remove everything stored on a day before ``older_than``; gives how many. Foreign files are left alone."""
        removed = 0
        async for day in self._days_before(f"{older_than:%Y/%m/%d}", ""):
            paths = [meta["path"] for meta in await self._shelf.files(day)]
            old = [path for path in paths if _KEY.fullmatch(path) or _DRAFT.fullmatch(path)]
            await self._shelf.delete(old)
            removed += len(old)
        return removed

    async def _days_before(self, end: str, within: str) -> AsyncIterator[str]:
        """Directories ``YYYY/MM/DD`` before ``end``, looking only into years and months that can hold one."""
        for path in await self._shelf.directories(within):
            if not _DAY_OR_ABOVE.fullmatch(path) or path > end[: len(path)]:
                continue
            if len(path) < len(end):
                async for day in self._days_before(end, path):
                    yield day
            elif path < end:
                yield path

    async def put_input(self, job_id: str, name: str, data: bytes) -> str:
        """Store one of a job's input files and give its key; ``name`` is the file's among the job's, used once."""
        key = f"inputs/{job_id}/{name}"
        assert _INPUT_KEY.fullmatch(key), f"not an input's key: {key!r}"
        await self._shelf.put(key, data, {})
        return key

    async def get_input(self, key: str) -> bytes:
        """An input file's content; raises NotFound."""
        if not _INPUT_KEY.fullmatch(key):
            raise no_such(key)
        return await self._shelf.get(key)

    async def drop_inputs(self, job_id: str, spare: Collection[str] = ()) -> None:
        """Remove a job's input files, but for those named in ``spare``; none is no error."""
        assert _INPUT_KEY.fullmatch(f"inputs/{job_id}/0"), f"not a job's id: {job_id!r}"
        paths = [meta["path"] for meta in await self._shelf.files(f"inputs/{job_id}")]
        await self._shelf.delete([path for path in paths if path.rpartition("/")[2] not in spare])

    async def sweep_inputs(self, is_live: IsLive, older_than_s: float) -> int:
        """Remove input files that nobody needs any more; gives how many jobs they were of.

        Files younger than ``older_than_s`` stay, since a job's inputs come before its row. Of the others' job ids
        ``is_live`` gives those whose jobs may still run.
        """
        idle = await self._jobs_idle_since(self._clock() - older_than_s)
        swept = 0
        for start in range(0, len(idle), BATCH):
            asked = frozenset(idle[start : start + BATCH])
            for job_id in sorted(asked - await is_live(asked)):
                await self.drop_inputs(job_id)
                swept += 1
        return swept

    async def _jobs_idle_since(self, before_s: float) -> list[str]:
        """Jobs whose every input file is older."""
        idle = []
        for directory in await self._shelf.directories("inputs"):
            stored_s = [meta["last_modified"].timestamp() for meta in await self._shelf.files(directory)]
            if _INPUT_KEY.fullmatch(f"{directory}/0") and max(stored_s, default=before_s) < before_s:
                idle.append(directory.removeprefix("inputs/"))
        return idle

    async def check(self) -> str:
        """Write, read and remove a probe; gives a sentence. Raises NotReady with the store's own reason."""
        path, data, started_s = f"probe/{secrets.token_hex(8)}", secrets.token_bytes(64), time.perf_counter()
        try:
            await self._shelf.put(path, data, {})
            read = await self._shelf.get(path)
            await self._shelf.delete([path])
        except (NotReady, NotFound) as error:
            reason = reason_of(error.__cause__) if isinstance(error.__cause__, Exception) else error.message
            raise NotReady(f"the picture store {self.title} does not work: {reason}") from error
        if read != data:
            raise NotReady(f"the picture store {self.title} gives other bytes than it was given")
        return f"{self.title}: wrote, read and removed a file in {time.perf_counter() - started_s:.3f} s"


def media_type_of(key: str) -> str:
    """The media type a key was stored under; raises NotFound for what is no key."""
    return _MEDIA_TYPES[_check_key(key)[2]]


def _check_key(key: str) -> re.Match[str]:
    """A key is exactly what ``put`` gives: no path can be smuggled in."""
    match = _KEY.fullmatch(key)
    if match is None or match[2] not in _MEDIA_TYPES:
        raise no_such(key)
    return match
