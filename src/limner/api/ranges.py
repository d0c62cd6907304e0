"""Whether a client needs a file at all, and which part of it (RFC 9110, sections 13 and 14).

Owns reading those headers; sends nothing.
"""

import re

from starlette.datastructures import Headers

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})", re.ASCII | re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range lies outside the file: 416, with the file's length in Content-Range."""


def is_known(headers: Headers, etag: str) -> bool:
    """Whether If-None-Match says that the client has the file (304)."""
    known = [tag.strip() for value in headers.getlist("if-none-match") for tag in value.split(",")]
    return "*" in known or etag in [tag.removeprefix("W/") for tag in known]


def requested_extent(headers: Headers, etag: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last of a single range; None for the whole file: without a Range, for several
    ranges or another unit, and where If-Range names another version. Raises Unsatisfiable.
    """
    match = _ONE_RANGE.fullmatch(headers.get("range", "").strip())
    if match is None or headers.get("if-range", etag).strip() != etag:
        return None
    first, last = match[1], match[2]
    if not first:
        return _suffix(last, size)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise Unsatisfiable
    return int(first), min(int(last) + 1, size) if last else size


def _suffix(length: str, size: int) -> tuple[int, int] | None:
    if not length:
        return None
    if not int(length):
        raise Unsatisfiable
    return max(size - int(length), 0), size
