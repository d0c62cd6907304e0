"""Which texts a database can hold at all, so that no driver is asked for others.

PostgreSQL refuses NUL, and no driver writes lone surrogates: asked for those, the answer is that there is no such
thing.
"""

import re

from limner.errors import NotFound

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


def is_id(text: str) -> bool:
    """Whether a row may have this id."""
    return _ID.fullmatch(text) is not None


def check_id(text: str, what: str, *, param: str | None = None) -> None:
    """Raise NotFound for what no row has as its id."""
    if not is_id(text):
        raise NotFound(f"no such {what}: {text[:100]!a}", param=param)


def is_storable(text: str) -> bool:
    """Whether any row may hold this text."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
