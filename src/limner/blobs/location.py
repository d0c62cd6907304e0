"""Where the files lie, from the setting that says so.

Owns the forms of that setting and opening what it names; credentials and endpoints are read from the environment by
obstore (AWS_*, GOOGLE_*, AZURE_*).
"""

import os
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from limner.errors import InvalidRequest

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

ALLOWED = "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, memory:// or a directory"
_REMOTE = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss")
_URL = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)  # two characters at least
# Failing in half a minute tells a waiting client more than succeeding after three.
_RETRIES: "RetryConfig" = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}
_TIMEOUTS: "ClientConfig" = {"connect_timeout": "5s", "timeout": "120s"}


@dataclass(frozen=True, slots=True)
class Place:
    """An opened store. ``directory`` is where a local one lies, ``title`` what to call it in messages."""

    store: ObjectStore
    title: str
    directory: Path | None = None

    @property
    def forgets(self) -> bool:
        """Whether the files end with the process."""
        return isinstance(self.store, MemoryStore)


def open_place(location: str, default: Path) -> Place:
    """The store that ``location`` names, "" being the directory ``default``; directories are created.

    Raises InvalidRequest for anything that is no place to store files; whether a remote one can be reached shows
    only in use.
    """
    scheme = _URL.match(location)
    try:
        if not location or scheme is None:
            return _directory(Path(location).expanduser() if location else default)
        return _by_url(scheme[1].lower(), location)
    except (BaseError, OSError, ValueError) as error:
        raise _wrong(location, reason_of(error)) from error


def _by_url(scheme: str, location: str) -> Place:
    parts = urlsplit(location)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("it may hold no credentials, query or fragment: those come from the environment")
    if scheme == "memory":
        return Place(MemoryStore(), "memory://")
    if scheme == "file" and not parts.netloc:
        return _directory(Path(unquote(parts.path)))
    if scheme not in _REMOTE or not parts.netloc:
        raise ValueError(f"{scheme}: is not a kind of store that is known here" if parts.netloc else "it names none")
    client: ClientConfig = {**_TIMEOUTS, "allow_http": True} if _has_plain_endpoint() else _TIMEOUTS
    return Place(from_url(location, client_options=client, retry_config=_RETRIES), location)


def _directory(path: Path) -> Place:
    path = path.absolute()
    return Place(LocalStore(path, automatic_cleanup=True, mkdir=True), str(path), path)


def _has_plain_endpoint() -> bool:
    """Whether the owner's own environment points at an http endpoint, such as a MinIO next door."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_ENDPOINT")
    return any(os.environ.get(name, "").lower().startswith("http://") for name in names)


def reason_of(error: Exception) -> str:
    """The part of a store's error that a person can use, on one line."""
    text = str(error).partition("\n\nDebug source")[0]
    said = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL)
    plain = f"{said[2]} ({said[1]})" if said else text
    return " ".join(plain.split())[:500] or type(error).__name__


def _wrong(location: str, reason: str) -> InvalidRequest:
    shown = re.sub(r"//[^/]*@", "//...@", location)[:200]
    return InvalidRequest(f"blobs: {shown!r} cannot be used: {reason}; allowed: {ALLOWED}", param="blobs")
