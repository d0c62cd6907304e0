"""Hashes of the adapter files a picture was drawn with, so that a recipe says which ones they were.

Owns a small memory of hashes by path, size and time of change: adapters have hundreds of megabytes.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

from limner.core import Request


def file_sha256s(request: Request) -> dict[str, str]:
    """SHA-256 by path of every adapter that is a file here; reads whole files: not for the event loop."""
    found = {}
    for value in request.params.values():
        for lora in value if isinstance(value, tuple) else ():
            path = Path(lora.path)
            if path.is_file():
                state = path.stat()
                found[lora.path] = _sha256(path, state.st_size, state.st_mtime_ns)
    return found


@lru_cache(maxsize=256)
def _sha256(path: Path, size_bytes: int, changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
